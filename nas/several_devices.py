"""The straight line for several devices: one supernet, one search for each that learns from the others, and what they have in common.

The folder of the run holds what the devices share (`settings.toml`, the supernet), and a folder for each, which is a
complete run of its own: its study, picks, models and report. The best network for all of them at once, if there is one, is
finished for each device in `one-for-all/`. Every step keeps what it has, so the same command goes on with a run that was stopped.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas import data_sources, executors, on_device, pipeline, runtimes, several_problems, timed_networks, warm_start
from nas.choosing import choose, recommend
from nas.comparing import ONE_FOR_ALL, best_single, compare, evaluations
from nas.core.comparison import Comparison
from nas.core.errors import StudyError
from nas.core.result import InputFormat, Pick, RunResult
from nas.data_sources import Parts
from nas.display import Display
from nas.files import atomic_write
from nas.opening import answered, live_copy, open_study
from nas.pipeline import Execution
from nas.problem import Problem, named
from nas.run_folder import RunFolder
from nas.several_problems import Problems, for_all
from nas.several_settings import SeveralSettings
from nas.warm_start import WarmStart

if TYPE_CHECKING:
    from nas.core.architecture import Architecture
    from nas.data import ImageData
    from nas.records import Record
    from nas.study import SearchStudy
    from nas.supernet import Supernet
    from nas.turns import Known, Member


def search(several: SeveralSettings, execution: Execution, path: Path, display: Display) -> Comparison:
    """Does the whole job in the run folder `path`, or what is left of it, and returns what it found.

    Raises:
        InfeasibleBudgetError: no network fits the budget of one device; of all such devices at once.
        DeviceError: one of the devices cannot be priced as asked, or two of them are the same target.
        NasError: see `nas.core.errors`; whatever was finished before is kept.
    """
    questions = several_problems.questions(several)
    executors.require(execution.executor)
    for_all({name: runtimes.of_files(question.model.target.runtime).require for name, question in questions.items()})
    several = SeveralSettings(devices={name: question.settings for name, question in questions.items()})
    first = next(iter(questions.values()))
    parts = data_sources.read(first.settings.data, first.space.resolutions[-1])
    problems = several_problems.problems(questions, parts.channels, len(parts.classes))
    if not execution.fresh:
        problems = _repriced(problems, path)
    warm = warm_start.read(first.settings, first.space.key, {"channels": parts.channels, "classes": len(parts.classes)}, path)
    for name, problem in problems.items():
        for line in (*problem.overview(), *problem.findings):
            display.say(f"{name}: {line}")
    if warm.said:
        display.say(warm.said)
    whole, folders = RunFolder(path), {name: RunFolder(path / name) for name in problems}
    with ExitStack() as stack:
        claim = stack.enter_context(whole.claim(several, execution.fresh))
        for name, problem in problems.items():
            stack.enter_context(folders[name].claim(problem.settings, False, named))
        if claim.continues:
            display.say(f"Continuing the run in {path}.")
        data = _prepare(problems, parts, whole, folders, execution.command)
        warm.lend(whole)
        with whole.timed("supernet"):
            supernet = pipeline.train(next(iter(problems.values())), data, whole, display)
        _lend(whole, folders)
        with whole.timed("search"):
            told = _explore(problems, supernet, data, execution, whole, folders, display, warm)
        for name, problem in problems.items():
            _share_tuned(name, problems, told[name], folders)
            with folders[name].timed("picks"):
                pipeline.finish(problem, supernet, data, told[name], folders[name], display)
        with whole.timed("best single network"):
            _finish_single(problems, supernet, data, told, whole, folders, display)
        return conclude_again(path)


def conclude_again(path: Path) -> Comparison:
    """What the run in `path` found, from its files alone: nothing is trained, evaluated or measured.

    Raises:
        StudyError: `path` holds no run for several devices, or one whose picks are not finished.
    """
    whole = RunFolder(path)
    several = SeveralSettings.read(whole.settings)
    results = {name: pipeline.conclude_again(path / name) for name in several.devices}
    eats = whole.load(whole.input_format, InputFormat)
    asked = several_problems.questions(several)
    problems = _repriced(several_problems.problems(asked, eats.channels, len(eats.classes)), path)
    told = {name: answered(problem, RunFolder(path / name)) for name, problem in problems.items()}
    single = best_single(problems, told)
    singles = _singles(single.architecture, whole, problems, results) if single else {}
    networks = compare(problems, told, results, single.architecture if single else None, singles)
    name, command, found = path.resolve().name, whole.load(whole.command, str), single.architecture.id if single else ""
    return Comparison(name, command, results, networks, found, evaluations(told), whole.seconds())


def _repriced(problems: Problems, path: Path) -> Problems:
    """The problems at the prices of whole networks that were timed while one of the devices' runs went on alone, with `--target`."""
    return {name: on_device.repriced(problem, timed_networks.read(path / name)) for name, problem in problems.items()}


def _prepare(problems: Problems, parts: Parts, whole: RunFolder, folders: Mapping[str, RunFolder], command: str) -> "ImageData":
    """The images, divided; what a report must know of them and of the command is kept in every folder."""
    from nas.data import divide

    settings = next(iter(problems.values())).settings
    data = divide(settings.data, parts, settings.seed)
    for folder in (whole, *folders.values()):
        folder.save(folder.input_format, InputFormat(parts.channels, data.mean, data.std, data.classes))
        folder.save(folder.command, command)
    return data


def _lend(whole: RunFolder, folders: Mapping[str, RunFolder]) -> None:
    """Lets every device's folder refer to the supernet, so that it may go on alone, by `nas.search --out` with its name."""
    for folder in folders.values():
        if whole.checkpoint.exists() and not folder.checkpoint.exists():
            folder.checkpoint.unlink(missing_ok=True)  # one that leads nowhere
            folder.checkpoint.symlink_to(Path("..") / whole.checkpoint.name)


def _explore(
    problems: Problems,
    supernet: "Supernet",
    data: "ImageData",
    execution: Execution,
    whole: RunFolder,
    folders: Mapping[str, RunFolder],
    display: Display,
    warm: WarmStart,
) -> "Mapping[str, Sequence[Record]]":
    """Every distinct architecture that each device's search holds, what the others evaluated among them."""
    from nas.accuracy.supernet import SupernetAccuracy
    from nas.turns import Turns

    settings = next(iter(problems.values())).settings
    turns = Turns([_member(name, problem, folders[name], warm, execution, display) for name, problem in problems.items()], settings.trials)
    total = settings.trials * len(problems)
    with display.bar("Searching", total) as bar:

        def told() -> None:
            bar.at(turns.evaluated, f"for {turns.turn.name}")

        bar.at(min(turns.evaluated, total))
        if not turns.done:
            evaluate = SupernetAccuracy.of(supernet, data, settings.calibration_images, settings.validation_images)
            job = executors.Job(turns, evaluate, told, execution.workers, execution.ray_address, whole.path)
            executors.load(execution.executor)(job)
    return dict(zip(problems, turns.settled(), strict=True))


def _member(name: str, problem: Problem, folder: RunFolder, warm: WarmStart, execution: Execution, display: Display) -> "Member":
    """The search for one device."""
    from nas.turns import Member

    landscape, live = problem.landscape(), live_copy(execution.dashboard, folder, display)

    def opened(trials: int, known: "Known") -> "SearchStudy":
        return open_study(problem, folder, trials, (*warm.known, *known), warm.first, live, landscape)

    return Member(name, opened)


def _share_tuned(name: str, problems: Problems, told: "Sequence[Record]", folders: Mapping[str, RunFolder]) -> None:
    """Copies to the device what was tuned for another: training is the same for all that are pruned alike."""
    for architecture in _chosen(problems[name], told):
        _share(architecture, folders[name], [folders[other] for other in _pruned_alike(name, problems)])


def _chosen(problem: Problem, told: "Sequence[Record]") -> "list[Architecture]":
    """The picks of a device."""
    return [record.architecture for record in choose(told, problem.settings.picks, problem.objectives, problem.plain)]


def _share(architecture: "Architecture", to: RunFolder, others: Sequence[RunFolder]) -> None:
    there = next((path for path in (other.tuned(architecture.id) for other in others) if path.exists()), None)
    if there is not None and not to.tuned(architecture.id).exists():
        atomic_write(to.tuned(architecture.id), there.read_bytes())


def _pruned_alike(name: str, problems: Problems) -> list[str]:
    """The other devices that prune as the device does."""
    from nas import compressors

    pruners = {other: compressors.by_form(problem.device.compressors)[0] for other, problem in problems.items()}
    return [other for other in problems if other != name and pruners[other] == pruners[name]]


def _finish_single(
    problems: Problems,
    supernet: "Supernet",
    data: "ImageData",
    told: "Mapping[str, Sequence[Record]]",
    whole: RunFolder,
    folders: Mapping[str, RunFolder],
    display: Display,
) -> None:
    """Finishes the best network for all devices at once for those of which it is no pick."""
    single = best_single(problems, told)
    if single is None:
        display.say("No network that was evaluated is within the budgets of all devices.")
        return
    for name, problem in problems.items():
        if single.architecture in _chosen(problem, told[name]):
            continue
        folder, alike = _single_folder(whole, name), _pruned_alike(name, problems)
        _share(single.architecture, folder, [*(folders[other] for other in alike), *(_single_folder(whole, other) for other in alike)])
        here = replace(single, costs=problem.price(single.architecture), within=True)
        pipeline.finish(problem, supernet, data, (here,), folder, display)


def _single_folder(whole: RunFolder, name: str) -> RunFolder:
    return RunFolder(whole.path / ONE_FOR_ALL / name)


def _singles(architecture: "Architecture", whole: RunFolder, problems: Problems, results: Mapping[str, RunResult]) -> dict[str, Pick]:
    """The best single network as it was finished for devices of which it is no pick.

    Raises:
        StudyError: it is not finished.
    """
    found = {}
    for name, problem in problems.items():
        if any(pick.architecture == architecture for pick in results[name].picks):
            continue
        folder = _single_folder(whole, name)
        if not folder.pick(architecture.id).exists():
            raise StudyError(f"the run in {whole.path} is not finished (its best single network is missing): give its command again")
        pick = folder.load(folder.pick(architecture.id), Pick)
        best = recommend(pick.steps, problem.budget, problem.model.target.precision)  # the budget may have changed since
        found[name] = replace(pick, recommended=best)
    return found
