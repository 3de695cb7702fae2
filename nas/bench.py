"""A device that was reached over `--target`: it times whole networks while a search goes on, and the files of picks at its end."""

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nas.measuring.files as model_files
from hardware_profiles import THIS_MACHINE, table_file
from hardware_profiles.measurable import PRECISIONS, runtime_of
from latency_models import timing_web
from latency_models.hosts import Host, Report, Request, connect
from latency_models.lookup_table import LookupTable
from nas.core.architecture import Architecture
from nas.core.device import RuntimeTarget
from nas.core.errors import MeasurementError, TargetMismatchError
from nas.core.latency import LatencyEstimate
from nas.core.network import NetworkSpec
from nas.display import Display
from nas.measuring.journal import Found, Journal, Key
from nas.measuring.target import Asked, find
from nas.problem import Problem

if TYPE_CHECKING:
    from nas.finishing import Latency

PASSES = 6
"""Timings of each network, in turns; their median counts, and the least and the greatest are its bounds."""

TRIES = 3
"""How often what was disturbed, or lost with the connection, is tried again in a round."""

WIDTH, SECONDS = 0.02, 1.0
"""Each timing goes on until its 95 % interval is that narrow, relative to it, or that long."""

SENTINEL = "sentinel"
"""The smallest network of the space, timed before and after each pass."""

FORM_CHOSEN_HERE = "which of its operators stay in float was decided by timing on this machine, not on the device"

LOST = "it is predicted, since the device was lost when the file was to be timed: "

RUNTIMES = {"tensorrt": ("onnxruntime", "tensorrt"), "tflite": ("litert", "cpu")}
"""Runtimes that are measured through another one: as its execution provider, or under its present name."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A device that was reached and can time what a problem is about. `target` is what is measured there, `machine` its fingerprint.

    Of a problem in several precisions `target` is in the first; the others differ in nothing else.
    """

    host: Host
    target: RuntimeTarget
    machine: str
    provider: str
    max_opset: int

    def time(self, models: Sequence[Path]) -> Iterator[Report]:
        """A report a model, in their order.

        Raises:
            MeasurementError: as `Host.stream`.
        """
        runtime = runtime_of(self.target.runtime)
        request = Request(runtime, self.provider, max(1, self.target.threads), WIDTH, SECONDS)
        return timing_web.stream(models, request) if runtime == "onnxruntime-web" else self.host.stream(models, request)

    def latency_of_files(self, problem: Problem, display: Display) -> "Latency":
        """Times the files of picks; where the device is lost, predicts them from then on, and says so in the note."""
        from nas import device_latency

        timed = device_latency.timed_on(self.host, self.target)
        predicted = device_latency.predicted(problem.device, problem.models, problem.space.key, problem.settings.confidence)
        lost: list[str] = []

        def latency(precision: str, path: Path, network: NetworkSpec) -> "tuple[LatencyEstimate | None, str]":
            if not lost:
                try:
                    found, note = timed(precision, path, network)
                    here = precision == "int8" and self.target.device != THIS_MACHINE
                    return found, note or (FORM_CHOSEN_HERE if here else "")
                except MeasurementError as error:
                    lost.append(str(error))
                    display.say(f"DEVICE LOST: {error}. Files are priced by prediction; the same command times them later.")
            found, note = predicted(precision, path, network)
            return found, f"{LOST}{lost[0]}" + (f"; {note}" if note else "")

        return latency


@contextmanager
def reached(problem: Problem, place: str, timed_before: bool = False) -> Iterator[Bench | None]:
    """The device at `place` (`local`, `ssh://...`), ready to time networks of `problem`; None where no place is given.

    Unless it has timed some for this run before, the sentinel is timed, so that whatever can fail does so now.

    Raises:
        MeasurementError: it cannot be reached, or cannot time the networks; the message says why.
        DeviceError: it is not the device that the problem is about.
        TargetMismatchError: it has another runtime version than the prices hold for, or they are of another machine.
    """
    if not place:
        yield None
        return
    host = connect(place)
    try:
        bench = probe(problem, host, place)
        if not timed_before:
            try_out(problem, bench)
        yield bench
    finally:
        host.close()


def probe(problem: Problem, host: Host, place: str) -> Bench:
    """`host` as the device that `problem` is about.

    Raises:
        MeasurementError, DeviceError, TargetMismatchError: as `reached`.
    """
    priced = problem.model.target
    runtime, provider = _runtime(priced)
    if runtime not in PRECISIONS:
        raise MeasurementError(
            f"candidates are priced for {priced}, which this program cannot time (it times {', '.join(PRECISIONS)}): "
            f"search for another --runtime, or leave out --target"
        )
    given = problem.settings.device, place, runtime, provider
    every = [find(Asked(*given, model.target.precision, priced.threads), host, may_write=False) for model in problem.models]
    for model, found in zip(problem.models, every, strict=True):
        if isinstance(model, LookupTable):
            table = table_file.path_of(Path(problem.device.path), model.target)
            machine = table_file.read(table).head.machine
            if machine != found.machine:
                raise TargetMismatchError(
                    f"{table} was measured on {machine}, the device at {place} is {found.machine}: measure it under a name of its own "
                    f"(python -m nas.measure --device NAME --target {place})"
                )
    return Bench(host, every[0].target, every[0].machine, provider, min(every[0].max_onnx_opset, problem.device.max_onnx_opset))


def _runtime(target: RuntimeTarget) -> tuple[str, str]:
    """The runtime and the execution provider that time for `target`."""
    if target.runtime in RUNTIMES:
        return RUNTIMES[target.runtime]
    if target.runtime in PRECISIONS:
        return target.runtime, "cpu"
    runtime, _, provider = target.runtime.partition("-")
    return runtime, provider or "cpu"


def try_out(problem: Problem, bench: Bench) -> None:
    """Times the sentinel once.

    Raises:
        MeasurementError: it cannot be written or timed.
    """
    with tempfile.TemporaryDirectory(prefix="on-device-") as folder:
        for _ in bench.time([_file(problem, bench, _sentinel(problem), Path(folder) / SENTINEL)]):
            pass


def title(problem: Problem, bench: Bench) -> dict[str, Any]:
    """What timings on `bench` hold for."""
    targets = [str(_in(model.target.precision, bench)) for model in problem.models]
    return {"target": " and ".join(targets), "machine": bench.machine, "space": problem.searched.key}


def time_networks(
    problem: Problem, bench: Bench, wanted: Sequence[Architecture], number: int, partial: Path, at: Callable[[int], None]
) -> tuple[dict[Architecture, list[Found]], float | None, str]:
    """All passes over each network of which there are all, what the sentinel took, and why some are missing ("" if none are).

    Every timing is in the file `partial` as soon as it is known, and not made again.
    """
    journal = _journal(partial, {**title(problem, bench), "round": number})
    by_name = {architecture.id: architecture for architecture in wanted}
    keys = [(name, count) for count in range(PASSES) for name in by_name]
    lost, sentinel = "", list[float]()
    with tempfile.TemporaryDirectory(prefix="on-device-") as folder:
        for _ in range(TRIES if keys else 0):
            done = journal.done()
            missing = [key for key in keys if key not in done]
            at(len(keys) - len(missing))
            if not missing:
                break
            try:
                files = {name: _file(problem, bench, one, Path(folder) / name) for name, one in by_name.items()}
                files[SENTINEL] = _file(problem, bench, _sentinel(problem), Path(folder) / SENTINEL)
                plan = _plan(missing, journal.next_chunk())
                models = [files[key[0] if key else SENTINEL] for _, key in plan]
                for (chunks, key), report in zip(plan, bench.time(models), strict=True):
                    for chunk in chunks:
                        journal.add(chunk, key, report)
                    sentinel += [] if key else [report.p10_ms]
                    timed = journal.everything()
                    at(len(keys) - len(missing) + sum(one in timed for one in missing))
                lost = ""
            except MeasurementError as error:
                lost = str(error)
    everything = journal.everything()
    found = {one: [everything[name, count] for count in range(PASSES)] for name, one in by_name.items() if _whole(everything, name)}
    return found, min(sentinel, default=None), lost if len(found) < len(wanted) else ""


def _whole(everything: Mapping[Key, Found], name: str) -> bool:
    return all((name, count) in everything for count in range(PASSES))


def _plan(missing: Sequence[Key], first: int) -> list[tuple[tuple[int, ...], Key | None]]:
    """What is timed in which order, and in which chunks it counts: a chunk a pass, in random order, between two sentinels (None)."""
    passes = sorted({count for _, count in missing})
    plan: list[tuple[tuple[int, ...], Key | None]] = [((first,), None)]
    for chunk, count in enumerate(passes, start=first):
        own = [key for key in missing if key[1] == count]
        plan += [((chunk,), key) for key in random.Random(f"{first} {count}").sample(own, len(own))]
        plan.append(((chunk,) if count == passes[-1] else (chunk, chunk + 1), None))
    return plan


def _journal(path: Path, title: dict[str, Any]) -> Journal:
    """The journal of this round; one that an earlier round left behind is discarded."""
    try:
        journal = Journal(path, title)
    except MeasurementError:
        path.unlink()
        journal = Journal(path, title)
    journal.begin()
    return journal


def _file(problem: Problem, bench: Bench, architecture: Architecture, path: Path) -> Path:
    """The network as the file that the target runs, in its precision and with random weights."""
    target = _in(problem.model_of(architecture).target.precision, bench)
    path = path.with_suffix(model_files.require(target))
    if not path.exists():
        model_files.write(problem.network(architecture), path, target, bench.max_opset)
    return path


def _sentinel(problem: Problem) -> Architecture:
    """The smallest network of the space: in the first precision and whole, where these are genes."""
    smallest = problem.space.smallest()
    return problem.joint.space.architecture((*smallest.genes, 0, 0)) if problem.joint else smallest


def _in(precision: str, bench: Bench) -> RuntimeTarget:
    return replace(bench.target, precision=precision)
