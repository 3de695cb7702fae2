"""Measuring a space's blocks on a device: what is to be timed, in which order, and the table it ends in."""

import datetime
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hardware_profiles import THIS_MACHINE, table_file
from hardware_profiles.table_file import Fit, Head, NetworkTiming, Table, Timing
from latency_models import timing_web
from latency_models.calibration import CONFIDENCE, calibrate, held_out_error
from latency_models.hosts import Host, Report, Request
from nas.core.device import Provenance, RuntimeTarget
from nas.core.errors import MeasurementError
from nas.core.network import BlockSpec, NetworkSpec
from nas.core.space import SearchSpace
from nas.files import atomic_write
from nas.footprint import bytes_of
from nas.measuring import files as model_files
from nas.measuring.journal import Found, Journal, Key, combine, conditions, power_w
from search_spaces import blocks

CHUNK = 40
"""Models between two sentinels."""

STREAM = 5
"""Chunks that are timed in one go: their files are written first, and one process of the agent times them."""

NETWORK_PASSES = 5
"""Least passes over whole networks: errors of blocks average out in a sum, each network's goes into the fit as it is."""

ROUNDS = 4
"""How often disturbed chunks are measured again before they are taken as they are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly to measure: `passes` over all blocks, each in a new random order; networks to calibrate and to check with.

    A model is run until the 10th percentile of its undisturbed runs is known within `relative_width`, at most `max_seconds`.
    """

    passes: int
    networks: int
    held_out: int
    relative_width: float
    max_seconds: float
    seed: int = 0

    def passes_over(self, spec: BlockSpec | NetworkSpec) -> range:
        """The passes in which `spec` is timed, as numbers."""
        return range(self.passes if isinstance(spec, BlockSpec) else max(self.passes, NETWORK_PASSES))


FULL = Plan(3, 40, 30, 0.02, 2.0)
QUICK = Plan(1, 20, 10, 0.05, 0.5)


@dataclass(frozen=True, slots=True)
class Job:
    """Everything to be measured for one table: `space` on images of `in_channels`, with `classes` outputs, on `machine`.

    `provider` is ONNX Runtime's execution provider, `confidence` the level of the interval that the whole networks are to give.
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

    @property
    def journal(self) -> Path:
        """Where unfinished measurements are kept."""
        return self.table.with_suffix(".partial")

    @property
    def title(self) -> dict[str, Any]:
        """First line of the journal: what its lines hold for."""
        inputs = {"space": self.space.key, "channels": self.in_channels, "classes": self.classes}
        plan = {name: value for name, value in asdict(self.plan).items() if name != "passes"}
        return {"format": 2, "target": str(self.target), "machine": self.machine, **inputs, **plan}

    def items(self, fresh: bool = False) -> dict[str, BlockSpec | NetworkSpec]:
        """What is timed, by a key that stays the same from run to run: blocks that the table lacks (all if `fresh`), then networks."""
        old = None if fresh else self.old_table()
        known = old.rows if old else {}
        found: dict[str, BlockSpec | NetworkSpec] = {
            _key(block): block for block in self.space.unique_blocks(self.in_channels, self.classes) if block not in known
        }
        return found | self.networks()

    def networks(self) -> dict[str, BlockSpec | NetworkSpec]:
        """The whole networks: random ones, those to calibrate with first.

        Raises:
            MeasurementError: the space has too few.
        """
        wanted = self.plan.networks + self.plan.held_out
        if self.space.size < wanted:
            raise MeasurementError(f"{self.space.name} has {self.space.size} networks, {wanted} are needed to calibrate and check")
        draw, genes = random.Random(self.plan.seed), self.space.genes
        networks: dict[str, BlockSpec | NetworkSpec] = {}
        while len(networks) < wanted:  # ends: the space has that many
            architecture = self.space.architecture([draw.randrange(gene.options) for gene in genes])
            networks[f"network {architecture.id}"] = self.space.network(architecture, self.in_channels, self.classes)
        return networks

    def keys(self, items: Mapping[str, BlockSpec | NetworkSpec]) -> list[Key]:
        """Every timing of `items` that the plan asks for."""
        return [(item, number) for item, spec in items.items() for number in self.plan.passes_over(spec)]

    def discard(self) -> None:
        """Deletes the table and what an unfinished measurement left."""
        self.journal.unlink(missing_ok=True)
        self.table.unlink(missing_ok=True)

    def old_table(self) -> Table | None:
        """The table that is there, if it is of the same target and machine.

        Raises:
            DeviceError: it is damaged.
        """
        if not self.table.exists():
            return None
        old = table_file.read(self.table)
        return old if (old.head.target, old.head.machine) == (self.target, self.machine) else None

    @property
    def complete(self) -> bool:
        """Whether the table already holds every block of the space, and networks of it."""
        old = self.old_table()
        wanted = self.space.unique_blocks(self.in_channels, self.classes)
        return (
            old is not None
            and all(block in old.rows for block in wanted)
            and any(network.space == self.space.key for network in old.head.networks)
        )


def measure(job: Job, host: Host, at: Callable[[int, int], None]) -> Table:
    """The table of `job`, measured on `host`, calibrated and written; calls `at(done, all)` after each timing.

    Rows of an older table of the same target and machine are kept. Interrupted in any way, the next call continues.

    Raises:
        MeasurementError: a model cannot be written or timed, or the journal is of another measurement.
        ConnectionLostError: the connection to the device was cut; the next call continues.
    """
    items = job.items()
    keys = job.keys(items)
    job.table.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(job.journal, job.title)
    journal.begin()
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        files = Files(job, items, Path(folder))
        for _ in range(ROUNDS):
            done = journal.done()
            missing = [key for key in keys if key not in done]
            at(len(keys) - len(missing), len(keys))
            if not missing:
                break
            _round(job, host, journal, files, missing, lambda left: at(len(keys) - left, len(keys)))
    table = _table(job, items, journal.everything())
    atomic_write(job.table, table_file.text(table))
    job.journal.unlink()
    return table


class Files:
    """The models' files, each written when it is first asked for."""

    def __init__(self, job: Job, items: Mapping[str, BlockSpec | NetworkSpec], folder: Path) -> None:
        suffix = model_files.require(job.target)
        self._job, self._items = job, items
        self._paths = {item: folder / f"{i}{suffix}" for i, item in enumerate(items)}
        self.sentinel = next(item for item, spec in items.items() if isinstance(spec, NetworkSpec))

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


def _round(job: Job, host: Host, journal: Journal, files: Files, missing: list[Key], left: Callable[[int], None]) -> None:
    """Times everything in `missing` once, a pass after the other, in random order, between sentinels; says how many are left."""
    order = sorted(missing, key=lambda key: (key[1], random.Random(f"{job.plan.seed} {key}").random()))
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
            left(len(order) - done)


def _table(job: Job, items: Mapping[str, BlockSpec | NetworkSpec], found: Mapping[Key, Found]) -> Table:
    """The calibrated table of all timings, with what an older table of the same target knows beyond them."""
    timings = {item: combine([found[item, number].timing for number in job.plan.passes_over(spec)]) for item, spec in items.items()}
    rows = {spec: timings[item] for item, spec in items.items() if isinstance(spec, BlockSpec)}
    old = job.old_table()
    rows = (old.rows if old else {}) | rows
    measured = [(spec, item) for item, spec in items.items() if isinstance(spec, NetworkSpec)]
    networks = tuple(_network(job, rows, spec, timings[item], i >= job.plan.networks) for i, (spec, item) in enumerate(measured))
    if old is not None:
        networks += tuple(network for network in old.head.networks if network.space.split("@")[0] != job.space.name)
    calibration = calibrate(networks, job.confidence)
    fits = tuple(_fit(space, networks, job.confidence) for space in sorted({network.space for network in networks}))
    where = "on this machine" if job.target.device == THIS_MACHINE else f"on {job.machine}"
    source = f"{len(rows)} blocks measured {where}, {job.plan.passes} pass(es); {len(networks)} whole networks"
    provenance = Provenance(source, datetime.date.today().isoformat(), job.command)
    of_networks = [found[item, number] for spec, item in measured for number in job.plan.passes_over(spec)]
    head = Head(
        job.machine,
        job.target,
        provenance,
        held_out_error(networks, calibration),
        calibration,
        networks,
        conditions(found.values()),
        power_w(of_networks),
        fits,
    )
    return Table(head, rows)


def _fit(space: str, networks: Sequence[NetworkTiming], confidence: float) -> Fit:
    own = [network for network in networks if network.space == space]
    calibration = calibrate(own, confidence)
    return Fit(space, held_out_error(own, calibration), calibration)


def _network(job: Job, rows: Mapping[BlockSpec, Timing], spec: NetworkSpec, timing: Timing, held_out: bool) -> NetworkTiming:
    weights_mb = blocks.weights(spec) * bytes_of(job.target.precision) / 1e6
    sum_ms = sum(rows[block].p10_ms for block in spec.blocks)
    return NetworkTiming(job.space.key, len(spec.blocks), blocks.macs(spec), weights_mb, sum_ms, timing.p10_ms, held_out)


def _key(block: BlockSpec) -> str:
    return " ".join(str(value) for value in asdict(block).values())
