"""The straight line from a command to a report. Read this first: each step is one function of another module.

Every step keeps what it has in the run's folder and finds it there again, so a run that was stopped anywhere goes on
when the same command is given again. Torch, Optuna and Ray are imported only when their step begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nas import data_sources, executors, power
from nas.core.errors import StudyError
from nas.core.result import InputFormat, Pick, RunResult
from nas.data_sources import Parts
from nas.display import Display
from nas.problem import Problem, ask
from nas.run_folder import RunFolder
from nas.settings import RunSettings

if TYPE_CHECKING:
    from nas.data import ImageData
    from nas.study import Record
    from nas.supernet import Supernet


@dataclass(frozen=True, slots=True)
class Execution:
    """How a run is executed. Nothing here changes what is asked; several workers change the order of the answers."""

    executor: str = "local"
    workers: int = 1
    ray_address: str | None = None
    fresh: bool = False
    command: str = ""


def search(settings: RunSettings, execution: Execution, path: Path, display: Display) -> RunResult:
    """Does the whole job in the run folder `path`, or what is left of it, and returns what it found.

    Raises:
        NasError: see `nas.core.errors`; whatever was finished before is kept.
    """
    question = ask(settings)
    executors.require(execution.executor)
    parts = data_sources.read(settings.data, question.space.resolutions[-1])
    problem = question.about(parts.channels, len(parts.classes))
    for finding in problem.findings:
        display.say(finding)
    folder = RunFolder(path)
    with folder.claim(settings, execution.fresh) as claim:
        if claim.continues:
            display.say(f"Continuing the run in {path}.")
        data = _prepare(problem, parts, folder, execution.command)
        with folder.timed("supernet"):
            supernet = train(problem, data, folder, display)
        with folder.timed("search"):
            records = explore(problem, supernet, data, execution, folder, display)
        with folder.timed("picks"):
            finish(problem, supernet, data, records, folder, display)
        return conclude_again(path)


def _prepare(problem: Problem, parts: Parts, folder: RunFolder, command: str) -> "ImageData":
    """The images, divided; what a report must know of them and of the command is kept in the folder."""
    from nas.data import divide

    data = divide(problem.settings.data, parts, problem.settings.seed)
    folder.save(folder.input_format, InputFormat(problem.channels, data.mean, data.std, data.classes))
    folder.save(folder.command, command)
    return data


def train(problem: Problem, data: "ImageData", folder: RunFolder, display: Display) -> "Supernet":
    """The trained supernet: the weights given, or the checkpoint in `folder` as far as that goes, trained on from there."""
    import torch

    from nas.supernet import Supernet
    from nas.supernet_training import load_trained, train_resumably

    torch.manual_seed(problem.settings.seed)
    supernet = Supernet(problem.space, problem.channels, problem.classes)
    if problem.settings.weights:
        load_trained(supernet, data, Path(problem.settings.weights))
    else:
        train_resumably(supernet, data, problem.settings.supernet, problem.settings.seed, folder.checkpoint, display)
    return supernet


def explore(
    problem: Problem, supernet: "Supernet", data: "ImageData", execution: Execution, folder: RunFolder, display: Display
) -> "Sequence[Record]":
    """Every distinct architecture that the strategy asked about, with what was found out."""
    from nas import strategies
    from nas.accuracy.supernet import SupernetAccuracy
    from nas.study import SearchStudy

    settings = problem.settings
    strategy = strategies.load(settings.strategy, problem.landscape(), settings.seed)
    study = SearchStudy(folder.path, problem.space, problem.price, problem.macs, problem.budget, strategy, settings.trials, settings.seed)
    with display.bar("Searching", settings.trials) as bar:

        def told() -> None:
            best = max(record.evaluation.accuracy for record in study.records if record.evaluation)
            bar.at(study.evaluated, f"best {best:.1%} on validation")

        bar.at(min(study.evaluated, settings.trials))
        if study.evaluated < settings.trials:
            evaluate = SupernetAccuracy.of(supernet, data, settings.calibration_images, settings.validation_images)
            job = executors.Job(study, evaluate, told, execution.workers, execution.ray_address, folder.path)
            executors.load(execution.executor)(job)
    return study.records


def finish(
    problem: Problem, supernet: "Supernet", data: "ImageData", records: "Sequence[Record]", folder: RunFolder, display: Display
) -> None:
    """Tunes, compresses, exports and verifies the picks; what is there of one is not made again."""
    from nas import compressors
    from nas.accuracy.supernet import calibration_data
    from nas.choosing import choose
    from nas.device_latency import latency_of_files
    from nas.finishing import Finisher
    from nas.tuning import Tuner, tune_all

    settings, device = problem.settings, problem.device
    chosen = choose(records, settings.picks)
    missing = [record for record in chosen if not folder.pick(record.architecture.id).exists()]
    if not missing:
        return
    slowest_first = sorted(missing, key=lambda record: -record.macs)
    untuned = {record.architecture: folder.tuned(record.architecture.id) for record in slowest_first}
    untuned = {architecture: path for architecture, path in untuned.items() if not path.exists()}
    pruners, converters = compressors.by_form(device.compressors)
    if untuned:
        tuner = Tuner.of(supernet, data, settings, pruners)
        with display.bar("Tuning the picks", tuner.steps * len(untuned)) as bar:
            tune_all(tuner, untuned, lambda done: bar.at(done, f"{len(untuned)} picks"))
    # Only now, with nothing else running: compressors choose by timing, and files may be timed.
    calibration = calibration_data(data, settings.calibration_images)
    latency = latency_of_files(device, problem.model, problem.space.key)
    watts = partial(power.of, device)
    target, opset = problem.model.target, device.max_onnx_opset
    finisher = Finisher(problem.space, data, calibration, converters, target, opset, latency, watts, problem.budget, folder)
    with display.bar("Exporting and checking", len(missing)) as bar:
        for number, record in enumerate(missing, start=1):
            assert record.evaluation is not None, "only evaluated candidates are picked"
            pick = finisher.finish(record.architecture, record.evaluation.accuracy)
            folder.save(folder.pick(record.architecture.id), pick)
            bar.at(number)


def conclude_again(path: Path) -> RunResult:
    """What the run in `path` found, from its files alone: nothing is trained, evaluated or measured.

    Raises:
        StudyError: `path` holds no run, or one whose picks are not finished.
    """
    from nas.choosing import choose
    from nas.conclusion import Circumstances, conclude
    from nas.study import load, records

    folder = RunFolder(path)
    if not folder.settings.exists():
        raise StudyError(f"{path} holds no run (settings.toml is missing): give the folder that `nas.search --out` wrote")
    settings = RunSettings.read(folder.settings)
    if settings.space.startswith("tabular:"):
        raise StudyError(f"{path} holds a search in a table, which has no models to report on: its answer is {path / 'front.json'}")
    input_format = folder.load(folder.input_format, InputFormat)
    problem = ask(settings).about(input_format.channels, len(input_format.classes))
    told = records(load(path))
    paths = [folder.pick(record.architecture.id) for record in choose(told, problem.settings.picks)]
    missing = sum(not pick.exists() for pick in paths)
    if missing or not paths:
        raise StudyError(f"the run in {path} is not finished ({missing} of {len(paths)} picks are missing): give its command again")
    circumstances = Circumstances(folder.path.name, folder.load(folder.command, str), input_format, folder.seconds())
    return conclude(problem, told, [folder.load(pick, Pick) for pick in paths], circumstances)
