"""Measuring a space's blocks: what is to be timed, the journal that survives any interruption, and the table it ends in."""

import datetime
import json
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hardware_profiles import table_file
from hardware_profiles.table_file import Head, NetworkTiming, Table, Timing
from latency_models import timing
from latency_models.calibration import calibrate, held_out_error
from nas.core.device import Provenance, RuntimeTarget
from nas.core.errors import MeasurementError
from nas.core.network import BlockSpec, NetworkSpec
from nas.core.space import SearchSpace
from nas.files import atomic_write
from search_spaces import blocks

CHUNK = 20
"""Files that one agent process times: a fresh process now and then, without paying for one each time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly to measure: `passes` over all blocks in a new random order, networks to calibrate and to check with.

    The few whole networks, on which every price rests, get `network_passes`, whatever the blocks get.
    """

    passes: int
    network_passes: int
    networks: int
    held_out: int
    effort: timing.Effort
    seed: int = 0


FULL = Plan(3, 5, 16, 8, timing.Effort(0.02, 1.0, 0.05))
QUICK = Plan(1, 5, 8, 4, timing.Effort(0.05, 0.1, 0.01))


@dataclass(frozen=True, slots=True)
class Job:
    """Everything to be measured for one table: `space` on images of `in_channels`, with `classes` outputs."""

    target: RuntimeTarget
    space: SearchSpace
    in_channels: int
    classes: int
    plan: Plan
    table: Path
    max_opset: int
    command: str

    @property
    def journal(self) -> Path:
        """Where unfinished measurements are kept."""
        return self.table.with_suffix(".partial")

    @property
    def timings(self) -> int:
        """How many timings there are to make."""
        return sum(self.passes(spec) for spec in self.items().values())

    def passes(self, spec: BlockSpec | NetworkSpec) -> int:
        """How often `spec` is timed."""
        return self.plan.network_passes if isinstance(spec, NetworkSpec) else self.plan.passes

    @property
    def title(self) -> dict[str, Any]:
        """First line of the journal: what its lines hold for."""
        effort = asdict(self.plan.effort)
        inputs = {"space": self.space.key, "channels": self.in_channels, "classes": self.classes, "seed": self.plan.seed}
        return {"target": str(self.target), "machine": table_file.machine(), **inputs, **effort}

    def items(self) -> dict[str, BlockSpec | NetworkSpec]:
        """What is timed, by a key that stays the same from run to run: the blocks, then the whole networks."""
        found: dict[str, BlockSpec | NetworkSpec] = {
            _key(block): block for block in self.space.unique_blocks(self.in_channels, self.classes)
        }
        draw, wanted = random.Random(self.plan.seed), self.plan.networks + self.plan.held_out
        genes = self.space.genes
        if self.space.size < wanted:
            raise MeasurementError(f"{self.space.name} has {self.space.size} networks, {wanted} are needed to calibrate and check")
        networks: dict[str, BlockSpec | NetworkSpec] = {}
        while len(networks) < wanted:  # ends: the space has that many
            architecture = self.space.architecture([draw.randrange(gene.options) for gene in genes])
            networks[f"network {architecture.id}"] = self.space.network(architecture, self.in_channels, self.classes)
        return found | networks


def measure(job: Job, advance: Callable[[int], None]) -> Table:
    """The table of `job`, measured, calibrated and written; calls `advance(1)` after each timing, with n for n found done.

    Rows of an older table of the same target and machine are kept. Interrupted in any way, the next call continues.

    Raises:
        MeasurementError: a block cannot be exported or timed, or the journal is of another measurement.
    """
    items = job.items()
    done = read_journal(job)
    advance(sum(len(timings) for timings in done.values()))
    job.table.parent.mkdir(parents=True, exist_ok=True)
    if not job.journal.exists():
        atomic_write(job.journal, json.dumps(job.title) + "\n")
    with tempfile.TemporaryDirectory(prefix="measure-") as folder, job.journal.open("a", encoding="utf-8") as journal:
        journal.write("\n")  # closes a line that an interruption may have torn
        for key, number, found in _timings(job, items, done, Path(folder)):
            done.setdefault(key, {})[number] = found
            journal.write(json.dumps({"pass": number, "item": key, **asdict(found)}) + "\n")
            journal.flush()
            advance(1)
    table = _table(job, items, {key: _combine(list(timings.values())) for key, timings in done.items()})
    atomic_write(job.table, table_file.text(table))
    job.journal.unlink()
    return table


def read_journal(job: Job) -> dict[str, dict[int, Timing]]:
    """Timings that an interrupted run left, by item and pass. A torn last line is measured again.

    Raises:
        MeasurementError: the journal is of another space, target, machine or effort.
    """
    if not job.journal.exists():
        return {}
    lines = []
    for line in job.journal.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # blank or torn: what it said is measured again
    if not lines or lines[0] != job.title:
        was = lines[0] if lines else "unreadable"
        raise MeasurementError(f"{job.journal} is an unfinished measurement of something else ({was}); pass --fresh to discard it")
    keys = job.items()
    done: dict[str, dict[int, Timing]] = {}
    for line in lines[1:]:
        if line["item"] in keys and line["pass"] < job.passes(keys[line["item"]]):
            done.setdefault(line["item"], {})[line["pass"]] = Timing(line["median_ms"], line["p95_ms"], line["runs"])
    return done


def export(spec: BlockSpec | NetworkSpec, path: Path, max_opset: int) -> None:
    """Writes `spec`, with random weights and batch norms folded, as an ONNX file for one image.

    Raises:
        MeasurementError: it cannot be expressed in ONNX of that opset.
    """
    import warnings

    import torch

    if isinstance(spec, NetworkSpec):
        from nas.network import Network

        module: torch.nn.Module = Network(spec)
        shape = (1, spec.in_channels, spec.resolution, spec.resolution)
    else:
        module, shape = blocks.load(spec.kind).build(spec), (1, spec.in_channels, spec.in_height, spec.in_width)
    with warnings.catch_warnings():
        # the TorchScript-based exporter is deprecated, and ten times faster than its successor on a thousand blocks
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        try:
            torch.onnx.export(module.eval(), (torch.zeros(shape),), str(path), dynamo=False, opset_version=max_opset)
        except (RuntimeError, torch.onnx.OnnxExporterError) as error:
            raise MeasurementError(f"{spec} cannot be exported in ONNX opset {max_opset}: {str(error).splitlines()[0]}") from error


def _timings(
    job: Job, items: Mapping[str, BlockSpec | NetworkSpec], done: Mapping[str, Mapping[int, Timing]], folder: Path
) -> Iterator[tuple[str, int, Timing]]:
    """(item, pass, timing) of everything not yet done, each pass in its own random order."""
    names = {key: folder / f"{i}.onnx" for i, key in enumerate(items)}
    for number in range(max(job.plan.passes, job.plan.network_passes)):
        order = [key for key, spec in items.items() if number < job.passes(spec) and number not in done.get(key, {})]
        random.Random(f"{job.plan.seed} {number}").shuffle(order)
        for start in range(0, len(order), CHUNK):
            chunk = order[start : start + CHUNK]
            for key in chunk:
                if not names[key].exists():
                    export(items[key], names[key], job.max_opset)
            timings = timing.stream([names[key] for key in chunk], job.target.threads, job.plan.effort)
            for key, found in zip(chunk, timings, strict=True):
                yield key, number, found


def _table(job: Job, items: Mapping[str, BlockSpec | NetworkSpec], timings: Mapping[str, Timing]) -> Table:
    """The calibrated table of all timings, with what an older table of the same target knows beyond them."""
    rows = {spec: timings[key] for key, spec in items.items() if isinstance(spec, BlockSpec)}
    networks = [(spec, timings[key]) for key, spec in items.items() if isinstance(spec, NetworkSpec)]
    found = tuple(
        NetworkTiming(
            job.space.key,
            blocks.macs(spec),
            sum(rows[block].median_ms for block in spec.blocks),
            timing.median_ms,
            held_out=i >= job.plan.networks,
        )
        for i, (spec, timing) in enumerate(networks)
    )
    if (old := _old_table(job)) is not None:
        found += tuple(network for network in old.head.networks if network.space.split("@")[0] != job.space.name)
        rows = old.rows | rows
    calibration = calibrate(found)
    source = f"{len(rows)} blocks measured on this machine, {job.plan.passes} pass(es); {len(found)} whole networks"
    provenance = Provenance(source, datetime.date.today().isoformat(), job.command)
    return Table(Head(table_file.machine(), job.target, provenance, held_out_error(found, calibration), calibration, found), rows)


def _old_table(job: Job) -> Table | None:
    """The table that is there, if it is of the same target and machine."""
    if not job.table.exists():
        return None
    old = table_file.read(job.table)
    return old if (old.head.target, old.head.machine) == (job.target, table_file.machine()) else None


def _combine(timings: Sequence[Timing]) -> Timing:
    """One timing out of several passes: the median of each figure, all runs together."""
    return Timing(
        statistics.median(timing.median_ms for timing in timings),
        statistics.median(timing.p95_ms for timing in timings),
        sum(timing.runs for timing in timings),
    )


def _key(block: BlockSpec) -> str:
    return " ".join(str(value) for value in asdict(block).values())


def with_passes(plan: Plan, passes: int) -> Plan:
    """`plan` with another number of passes."""
    return replace(plan, passes=passes)
