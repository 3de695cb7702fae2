"""Measuring a space's blocks on a device: what is to be timed, in which order; the table it ends in is made by `tables`."""

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hardware_profiles import table_file
from hardware_profiles.table_file import NetworkTiming, Table, Timing
from latency_models import timing_web
from latency_models.calibration import CONFIDENCE
from latency_models.drawn_networks import is_timing_of
from latency_models.hosts import Host, Report, Request
from nas.core.device import RuntimeTarget
from nas.core.errors import MeasurementError, StaleTableError, TargetMismatchError
from nas.core.network import BlockSpec, NetworkSpec
from nas.core.space import SearchSpace
from nas.files import atomic_write
from nas.measuring import files as model_files
from nas.measuring import probes, tables
from nas.measuring.journal import Journal, Key, is_of
from search_spaces import blocks

CHUNK = 40
"""Models between two sentinels."""

STREAM = 5
"""Chunks that are timed in one go: their files are written first, and one process of the agent times them."""

NETWORK_PASSES = 5
"""Least passes over whole networks: errors of blocks average out in a sum, each network's goes into the fit as it is."""

ROUNDS = 4
"""How often what is disturbed is measured before the least of it is taken as it is, which the table then says."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly to measure: `passes` over all blocks, each in a new random order; networks to calibrate and to check with.

    A model is run until the 10th percentile of its undisturbed runs is known within `relative_width`, at most `max_seconds`.
    What a table holds already counts, in however few passes it was timed; those that `at_least` asks for beyond are added to it.
    """

    passes: int
    networks: int
    held_out: int
    relative_width: float
    max_seconds: float
    seed: int = 0
    at_least: int = 0

    def passes_over(self, spec: BlockSpec | NetworkSpec, known: int = 0) -> range:
        """The passes in which `spec` is timed, as numbers, where a table holds the first `known` of them."""
        wanted = self.at_least if known else self.passes
        return range(known, max(wanted, NETWORK_PASSES) if wanted and isinstance(spec, NetworkSpec) else wanted)


FULL = Plan(3, 40, 30, 0.02, 2.0)
QUICK = Plan(1, 20, 10, 0.05, 0.5)


@dataclass(frozen=True, slots=True)
class Job:
    """Everything to be measured for one table: `space` on images of `in_channels`, with `classes` outputs, on `machine`.

    `provider` is ONNX Runtime's execution provider, `confidence` the level of the interval that the whole networks are to give.
    `probes` says whether the blocks of `probes` are timed too, `fresh` that the table is to be replaced by this measurement; until it
    is whole the old one stays.
    """

    target: RuntimeTarget
    machine: str
    space: SearchSpace
    in_channels: int
    classes: int
    plan: Plan
    table: Path
    max_opset: int
    command: str
    provider: str = "cpu"
    confidence: float = CONFIDENCE
    probes: bool = False
    fresh: bool = False

    @property
    def journal(self) -> Path:
        """Where unfinished measurements are kept."""
        return self.table.with_suffix(".partial")

    @property
    def title(self) -> dict[str, Any]:
        """First line of the journal: what its lines hold for."""
        inputs = {"space": self.space.key, "channels": self.in_channels, "classes": self.classes}
        plan = {name: value for name, value in asdict(self.plan).items() if name not in ("passes", "at_least")}
        begun = {"fresh": True} if self.fresh else {}
        return {"format": 3, "target": str(self.target), "machine": self.machine, **inputs, **plan, **begun}

    def wanted(self) -> "Wanted":
        """Everything that the table is to hold, and what it knows of it already (nothing if `fresh`).

        Raises:
            MeasurementError: the space has too few networks.
            DeviceError: the table is damaged, stale, or of another version or machine.
        """
        old = None if self.fresh else self.old_table()
        specs = dict.fromkeys([*self.space.unique_blocks(self.in_channels, self.classes), *(probes.blocks() if self.probes else ())])
        found = {_key(block): block for block in specs}
        rows = {key: old.rows[block] for key, block in found.items() if old and block in old.rows}
        timed = self.timed(old) if old else ()
        more = not timed or self.plan.at_least > 0
        count = max(len(timed), (self.plan.networks + self.plan.held_out) if more else 0)
        planned = more and count > len(timed)
        networks = self._drawn(count)
        calibrating = self.plan.networks if planned else sum(not one.held_out for one in timed) or self.plan.networks
        return Wanted(found, networks, calibrating, rows, dict(zip(networks, timed, strict=False)), old)

    def networks(self) -> dict[str, NetworkSpec]:
        """The whole networks that the plan asks for: random ones, those to calibrate with first.

        Raises:
            MeasurementError: the space has too few.
        """
        return self._drawn(self.plan.networks + self.plan.held_out)

    def _drawn(self, count: int) -> dict[str, NetworkSpec]:
        """The first `count` networks that chance gives, by key: a larger count has those of a smaller one, in the same order."""
        if self.space.size < count:
            raise MeasurementError(f"{self.space.name} has {self.space.size} networks, {count} are needed to calibrate and check")
        drawn = self.space.random(count, self.plan.seed)
        return {f"network {one.id}": self.space.network(one, self.in_channels, self.classes) for one in drawn}

    def timed(self, old: Table) -> tuple[NetworkTiming, ...]:
        """The networks of the space that `old` holds, none unless they are the first that chance gives, for such images and classes."""
        timed = tuple(network for network in old.head.networks if network.space == self.space.key)
        if len(timed) > self.space.size:
            return ()
        specs = self._drawn(len(timed)).values()
        return timed if all(map(is_timing_of, timed, specs)) else ()

    def discard(self) -> None:
        """Deletes what another unfinished measurement left; one that was begun afresh goes on."""
        if self.journal.exists() and not is_of(self.journal, self.title):
            self.journal.unlink()

    def old_table(self) -> Table | None:
        """The table that is there.

        Raises:
            DeviceError: it is damaged.
            TargetMismatchError: it is of another machine, or another version that nobody checked it with.
            StaleTableError: a check found that it holds no longer.
        """
        if not self.table.exists():
            return None
        old = table_file.read(self.table)
        if old.head.is_stale(self.target):
            raise StaleTableError(f"{self.table} is stale ({old.head.checked}): run the same command with --fresh")
        if (old.head.target, old.head.machine) != (self.target, self.machine):
            raise TargetMismatchError(
                f"{self.table} holds {old.head.target} on {old.head.machine}, not {self.target} on {self.machine}: nothing is added to it; "
                "run the same command with --fresh; after an upgrade --check says whether the table still holds"
            )
        return old


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a table is to hold: `blocks` and `networks` by a key that stays the same from run to run.

    The first `calibrating` networks are fitted, the others checked with. `rows` and `timed` are what the `old` table knows of
    them already.
    """

    blocks: Mapping[str, BlockSpec]
    networks: Mapping[str, NetworkSpec]
    calibrating: int
    rows: Mapping[str, Timing]
    timed: Mapping[str, NetworkTiming]
    old: Table | None

    @property
    def items(self) -> dict[str, BlockSpec | NetworkSpec]:
        """All of it."""
        return {**self.blocks, **self.networks}

    def passes(self, item: str) -> int:
        """The passes in which the table has timed `item`, 0 if never."""
        known = self.rows.get(item) or self.timed.get(item)
        return known.passes if known else 0

    def keys(self, plan: Plan) -> list[Key]:
        """Every timing that `plan` asks for and the table lacks."""
        return [(item, number) for item, spec in self.items.items() for number in plan.passes_over(spec, self.passes(item))]


def measure(job: Job, host: Host, at: Callable[[int, int], None]) -> Table:
    """The table of `job`, measured on `host`, calibrated and written; calls `at(done, all)` after each timing.

    What an older table of the same target and machine holds is kept, and timings of the same models are added to it. Interrupted in
    any way, the next call continues.

    Raises:
        MeasurementError: a model cannot be written or timed, or the journal is of another measurement.
        ConnectionLostError: the connection to the device was cut; the next call continues.
    """
    wanted = job.wanted()
    keys = wanted.keys(job.plan)
    job.table.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(job.journal, job.title)
    journal.begin()
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        files = Files(job, wanted.items, Path(folder))
        while missing := journal.missing(keys, ROUNDS):
            finished = len(keys) - len(missing)
            at(finished, len(keys))
            fewest = min(missing.values())  # so that a call which was interrupted goes on in its round
            due = [key for key, tries in missing.items() if tries == fewest]
            for timed in _round(job, host, journal, files, due):
                at(finished + timed, len(keys))
        at(len(keys), len(keys))
    calm = journal.done()
    table = tables.made(job, wanted, journal.everything(), sum(key not in calm for key in keys))
    atomic_write(job.table, table_file.text(table))
    job.journal.unlink()
    return table


class Files:
    """The models' files, each written when it is first asked for."""

    def __init__(self, job: Job, items: Mapping[str, BlockSpec | NetworkSpec], folder: Path) -> None:
        suffix = model_files.require(job.target)
        self._job, self._items = job, items
        self._paths = {item: folder / f"{i}{suffix}" for i, item in enumerate(items)}
        networks = {item: spec for item, spec in items.items() if isinstance(spec, NetworkSpec)}
        self.sentinel = min(networks, key=lambda item: blocks.macs(networks[item]))
        """The smallest network: the shorter it runs, the likelier it is to meet a calm moment."""

    def path(self, item: str) -> Path:
        """Where `item` is."""
        path = self._paths[item]
        if not path.exists():
            model_files.write(self._items[item], path, self._job.target, self._job.max_opset)
        return path


def reports(job: Job, host: Host, models: list[Path]) -> Iterator[Report]:
    """A report a model, in their order, from `host` or the browser on this machine.

    Raises:
        MeasurementError: as `Host.stream`.
    """
    plan, target = job.plan, job.target
    runtime = "litert" if target.runtime == "litert" else "onnxruntime"
    request = Request(runtime, job.provider, target.threads, plan.relative_width, plan.max_seconds)
    return timing_web.stream(models, request) if target.runtime == "onnxruntime-web" else host.stream(models, request)


def _round(job: Job, host: Host, journal: Journal, files: Files, due: list[Key]) -> Iterator[int]:
    """Times everything that is `due` once, a pass after the other, in random order, between sentinels; gives how many are done."""
    order = sorted(due, key=lambda key: (key[1], random.Random(f"{job.plan.seed} {key}").random()))
    first, done = journal.next_chunk(), 0
    for start in range(0, len(order), CHUNK * STREAM):
        part = order[start : start + CHUNK * STREAM]
        chunks = [part[i : i + CHUNK] for i in range(0, len(part), CHUNK)]
        plan: list[tuple[tuple[int, ...], Key | None]] = [((first,), None)]
        for chunk in chunks:
            plan += [((first,), key) for key in chunk]
            first += 1
            plan.append(((first - 1,) if chunk is chunks[-1] else (first - 1, first), None))  # it ends one chunk and begins another
        models = [files.path(key[0] if key else files.sentinel) for _, key in plan]
        for (numbers, key), report in zip(plan, reports(job, host, models), strict=True):
            for number in numbers:
                journal.add(number, key, report)
            done += key is not None
            yield done


def _key(block: BlockSpec) -> str:
    return " ".join(str(value) for value in asdict(block).values())
