"""The straight line from a command to a report. Read this first: each step is one function of another module.

Every step keeps what it has in the run's folder and finds it there again, so a run that was stopped anywhere goes on
when the same command is given again. Torch, Optuna and Ray are imported only when their step begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nas import data_sources, executors, on_device, power, runtimes, timed_networks, warm_start
from nas.bench import Bench, reached
from nas.core.errors import StudyError
from nas.core.result import InputFormat, Pick, RunResult
from nas.data_sources import Parts
from nas.display import Display
from nas.opening import answered, live_copy, open_study
from nas.problem import Problem, ask, named
from nas.run_folder import RunFolder
from nas.settings import RunSettings, SupernetSettings
from nas.warm_start import WarmStart

if TYPE_CHECKING:
    from nas.data import ImageData
    from nas.records import Record
    from nas.supernet import Supernet


@dataclass(frozen=True, slots=True)
class Execution:
    """How a run is executed. Nothing here changes what is asked; several workers change the order of the answers.

    `target` is where networks are timed while the search goes on (`local`, `ssh://...`; "" times none), after each `measure_every`
    evaluations (None: a quarter of all). `dashboard` is a storage of Optuna's that gets a live copy of the study; "" is none.
    """

    executor: str = "local"
    workers: int = 1
    ray_address: str | None = None
    fresh: bool = False
    command: str = ""
    target: str = ""
    measure_every: int | None = None
    dashboard: str = ""


def search(settings: RunSettings, execution: Execution, path: Path, display: Display) -> RunResult:
    """Does the whole job in the run folder `path`, or what is left of it, and returns what it found.

    Raises:
        NasError: see `nas.core.errors`; whatever was finished before is kept.
    """
    question = ask(settings)
    executors.require(execution.executor)
    runtimes.of_files(question.model.target.runtime).require()
    parts = data_sources.read(settings.data, question.space.resolutions[-1])
    problem = question.about(parts.channels, len(parts.classes))
    warm = warm_start.read(settings, problem.searched.key, {"channels": problem.channels, "classes": problem.classes}, path)
    for line in (*problem.overview(), *problem.findings, *filter(None, (warm.said,))):
        display.say(line)
    folder = RunFolder(path)
    device = reached(problem, execution.target, timed_before=not execution.fresh and bool(timed_networks.read(path).rounds))
    with device as bench, folder.claim(problem.settings, execution.fresh, named) as claim:
        if claim.continues:
            display.say(f"Continuing the run in {path}.")
        data = _prepare(problem, parts, folder, execution.command)
        warm.lend(folder)
        with folder.timed("supernet"):
            supernet = train(problem, data, folder, display)
        with folder.timed("search"):

            def explored(priced: Problem) -> "Sequence[Record]":
                return explore(priced, supernet, data, execution, folder, display, warm)

            problem, records = on_device.search(problem, bench, execution.measure_every, folder, display, explored)
        with folder.timed("picks"):
            finish(problem, supernet, data, records, folder, display, bench)
        return conclude_again(path)


def _prepare(problem: Problem, parts: Parts, folder: RunFolder, command: str) -> "ImageData":
    """The images, divided; what a report must know of them and of the command is kept in the folder."""
    from nas.data import divide

    data = divide(problem.settings.data, parts, problem.settings.seed)
    folder.save(folder.input_format, InputFormat(problem.channels, data.mean, data.std, data.classes))
    folder.save(folder.command, command)
    return data


def train(problem: Problem, data: "ImageData", folder: RunFolder, display: Display) -> "Supernet":
    """The trained supernet: the weights given, those of the package, or the checkpoint in `folder`, trained on from where it is."""
    import torch

    from nas.supernet import Supernet
    from nas.supernet_training import load_trained, shipped, train_resumably

    settings = problem.settings
    torch.manual_seed(settings.seed)
    supernet = Supernet(problem.space, problem.channels, problem.classes)
    as_shipped = settings.supernet == SupernetSettings() and not settings.retrain and not folder.checkpoint.exists()
    if settings.weights:
        load_trained(supernet, data, Path(settings.weights))
    elif as_shipped and (path := shipped(supernet, data)):
        load_trained(supernet, data, path)
        display.say("The shared weights come with the package, trained longer than a run would: --retrain trains new ones.")
    else:
        train_resumably(supernet, data, settings.supernet, settings.seed, folder.checkpoint, display)
    return supernet


def explore(
    problem: Problem,
    supernet: "Supernet",
    data: "ImageData",
    execution: Execution,
    folder: RunFolder,
    display: Display,
    warm: WarmStart = warm_start.NOTHING,
) -> "Sequence[Record]":
    """Every distinct architecture that the strategy asked about, with what was found out."""
    from nas.accuracy.compressed import CompressedAccuracy
    from nas.accuracy.supernet import SupernetAccuracy

    settings = problem.settings
    live = live_copy(execution.dashboard, folder, display)
    study = open_study(problem, folder, settings.trials, warm.known, warm.first, live)
    with display.bar("Searching", settings.trials) as bar:

        def told() -> None:
            best = max(record.accuracy for record in study.records)
            bar.at(study.evaluated, f"best {best:.1%} on validation")

        bar.at(min(study.evaluated, settings.trials))
        if study.evaluated < settings.trials:
            whole = SupernetAccuracy.of(supernet, data, settings.calibration_images, settings.validation_images)
            evaluate = CompressedAccuracy(problem.joint.space, whole) if problem.joint else whole
            job = executors.Job(study, evaluate, told, execution.workers, execution.ray_address, folder.path)
            executors.load(execution.executor)(job)
    return study.records


def finish(
    problem: Problem,
    supernet: "Supernet",
    data: "ImageData",
    records: "Sequence[Record]",
    folder: RunFolder,
    display: Display,
    bench: Bench | None = None,
) -> None:
    """Tunes, compresses, exports and verifies the picks, and times their files where there is a bench; what is there is not made again."""
    from nas import compressors
    from nas.accuracy.supernet import calibration_data
    from nas.choosing import choose
    from nas.device_latency import latency_of_files
    from nas.finishing import Finisher
    from nas.tuning import Tuner, tune_all

    settings, device = problem.settings, problem.device
    chosen = choose(records, settings.picks, problem.objectives, problem.plain)
    missing = [record for record in chosen if not _is_finished(folder.pick(record.architecture.id), folder, bench)]
    if not missing:
        return
    slowest_first = sorted(missing, key=lambda record: -record.macs)
    untuned = {record.architecture: folder.tuned(record.architecture.id) for record in slowest_first}
    untuned = {architecture: path for architecture, path in untuned.items() if not path.exists()}
    pruners, converters = compressors.by_form(device.compressors)
    if untuned:
        tuner = Tuner.of(supernet, data, settings, pruners, problem.joint.space if problem.joint else None)
        with display.bar("Tuning the picks", tuner.steps * len(untuned)) as bar:
            tune_all(tuner, untuned, lambda done: bar.at(done, f"{len(untuned)} picks"))
    # Only now, with nothing else running: compressors choose by timing, and files may be timed.
    calibration = calibration_data(data, settings.calibration_images)
    asked = device, problem.models, problem.space.key, settings.confidence
    latency = bench.latency_of_files(problem, display) if bench else latency_of_files(*asked)
    watts = partial(power.of, device)
    target, opset = problem.model.target, device.max_onnx_opset
    finisher = Finisher(problem.searched, data, calibration, converters, target, opset, latency, watts, problem.budget, folder)
    with display.bar("Exporting and checking", len(missing)) as bar:
        for number, record in enumerate(missing, start=1):
            assert record.evaluation is not None, "only evaluated candidates are picked"
            pick = finisher.finish(record.architecture, record.evaluation.accuracy, problem.version(record.architecture))
            folder.save(folder.pick(record.architecture.id), pick)
            bar.at(number)


def _is_finished(path: Path, folder: RunFolder, bench: Bench | None) -> bool:
    """Whether the pick in the file `path` is there, and was timed where it can be."""
    return path.exists() and (bench is None or not on_device.is_forecast(folder.load(path, Pick)))


def conclude_again(path: Path) -> RunResult:
    """What the run in `path` found, from its files alone: nothing is trained, evaluated or measured.

    Raises:
        StudyError: `path` holds no run, or one whose picks are not finished.
    """
    from nas.choosing import choose
    from nas.conclusion import Circumstances, conclude

    folder = RunFolder(path)
    if not folder.settings.exists():
        raise StudyError(f"{path} holds no run (settings.toml is missing): give the folder that `nas.search --out` wrote")
    settings = RunSettings.read(folder.settings)
    if settings.table:
        raise StudyError(f"{path} holds a search in a table, which has no models to report on: its answer is {path / 'front.json'}")
    input_format = folder.load(folder.input_format, InputFormat)
    problem = ask(settings).about(input_format.channels, len(input_format.classes))
    timed = timed_networks.read(path)
    checked, problem = on_device.check(problem, timed), on_device.repriced(problem, timed)
    told = answered(problem, folder)
    paths = [folder.pick(record.architecture.id) for record in choose(told, problem.settings.picks, problem.objectives, problem.plain)]
    missing = sum(not pick.exists() for pick in paths)
    if missing or not paths:
        raise StudyError(f"the run in {path} is not finished ({missing} of {len(paths)} picks are missing): give its command again")
    circumstances = Circumstances(folder.path.name, folder.load(folder.command, str), input_format, folder.seconds(), checked)
    return conclude(problem, told, [folder.load(pick, Pick) for pick in paths], circumstances)
