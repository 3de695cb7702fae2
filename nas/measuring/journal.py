"""What a measurement has found so far, a line each: an interruption of any kind loses the model that was being timed, at most.

Models are timed in chunks that begin and end with the same sentinel network. Where it took longer than it does, on a calm
processor, the device has drifted, and what was timed between is measured again; as is a model during which the processor was never
calm. A sentinel during which it never was says nothing of the device.
"""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hardware_profiles.table_file import Timing
from latency_models.hosts import Report
from nas.core.errors import MeasurementError
from nas.files import atomic_write

DRIFT = 1.05
"""How much slower the sentinel may be than in its fastest quarter for its chunk to count: a rare burst of speed is no standard."""

Key = tuple[str, int]
"""What was timed, and in which pass."""


@dataclass(frozen=True, slots=True)
class Found:
    """One timing: in which chunk, the share of its runs on a calm processor, and what the device said of itself."""

    chunk: int
    timing: Timing
    undisturbed: float
    power_w: float | None
    clock_mhz: float | None
    governor: str
    temperature_c: float | None


def is_of(path: Path, title: dict[str, Any]) -> bool:
    """Whether the journal there is of the measurement that `title` says."""
    with path.open(encoding="utf-8", errors="replace") as file:
        try:
            return bool(json.loads(file.readline()) == title)
        except json.JSONDecodeError:
            return False


class Journal:
    """The lines of one unfinished measurement; `title` says what they hold for."""

    def __init__(self, path: Path, title: dict[str, Any]) -> None:
        self.path = path
        self.title = title
        self._found: dict[Key, list[Found]] = {}
        self._sentinels: dict[int, list[float]] = {}
        if path.exists():
            self._read()

    def begin(self) -> None:
        """Makes the file ready for more lines: a new one, or one whose last line may be torn."""
        if not self.path.exists():
            atomic_write(self.path, json.dumps(self.title) + "\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n")

    def add(self, chunk: int, key: Key | None, report: Report) -> None:
        """Keeps a timing; of the sentinel where `key` is None."""
        found = Found(
            chunk,
            Timing(report.p10_ms, report.p95_ms, report.runs),
            report.undisturbed,
            report.power_w,
            report.clock_mhz,
            report.governor,
            report.temperature_after_c,
        )
        line = {"item": key[0] if key else None, "pass": key[1] if key else 0, **asdict(found)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._keep(line)

    def drifted(self) -> set[int]:
        """The chunks of which a sentinel took longer than it does."""
        every = sorted(ms for values in self._sentinels.values() for ms in values)
        usual = every[(len(every) - 1) // 4] if every else 0.0
        return {chunk for chunk, values in self._sentinels.items() if max(values) > DRIFT * usual}

    def done(self) -> dict[Key, Found]:
        """The last timing of each model and pass that nothing disturbed, in a chunk that did not drift."""
        drifted = self.drifted()
        good = {key: [one for one in found if one.chunk not in drifted and one.undisturbed > 0] for key, found in self._found.items()}
        return {key: found[-1] for key, found in good.items() if found}

    def everything(self) -> dict[Key, Found]:
        """`done`, and of what was disturbed whenever it was timed the least timing: what disturbs a run only adds to it."""
        least = {key: min(found, key=lambda one: one.timing.p10_ms) for key, found in self._found.items()}
        return least | self.done()

    def missing(self, keys: Iterable[Key], tries: int) -> dict[Key, int]:
        """Those of `keys` that are to be timed yet, and how often they were: disturbed each time, and fewer than `tries` times."""
        done, times = self.done(), {key: len(found) for key, found in self._found.items()}
        return {key: times.get(key, 0) for key in keys if key not in done and times.get(key, 0) < tries}

    def next_chunk(self) -> int:
        """A number that no chunk has yet."""
        return max((*self._sentinels, *(one.chunk for found in self._found.values() for one in found), -1)) + 1

    def _read(self) -> None:
        lines = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                continue  # blank or torn: what it said is measured again
        if not lines or lines[0] != self.title:
            was = lines[0] if lines else "unreadable"
            raise MeasurementError(
                f"{self.path} is an unfinished measurement of something else ({was}); finish it by its own command, or delete that file"
            )
        for line in lines[1:]:
            self._keep(line)

    def _keep(self, line: dict[str, Any]) -> None:
        if line["item"] is None:
            if line["undisturbed"] > 0:
                self._sentinels.setdefault(line["chunk"], []).append(line["timing"]["p10_ms"])
            return
        rest = {name: value for name, value in line.items() if name not in ("item", "pass", "timing")}
        found = Found(timing=Timing(**line["timing"]), **rest)
        self._found.setdefault((line["item"], line["pass"]), []).append(found)


def combine(timings: Sequence[Timing]) -> Timing:
    """One timing out of several: the least of each figure, since what disturbs a run only adds to it; all runs and passes together."""
    least = min(one.p10_ms for one in timings), min(one.p95_ms for one in timings)
    return Timing(*least, sum(one.runs for one in timings), sum(one.passes for one in timings))


def conditions(found: Iterable[Found]) -> str:
    """Clock, governor and temperature of a device while it was measured, in words; "" where it told nothing."""
    clocks = sorted(one.clock_mhz for one in found if one.clock_mhz is not None)
    heat = sorted(one.temperature_c for one in found if one.temperature_c is not None)
    governors = sorted({one.governor for one in found if one.governor})
    said = [f"clock {clocks[0]:.0f} to {clocks[-1]:.0f} MHz"] if clocks else []
    said += [f"governor {', '.join(governors)}"] if governors else []
    said += [f"{heat[0]:.0f} to {heat[-1]:.0f} °C"] if heat else []
    return ", ".join(said)


def power_w(found: Iterable[Found]) -> float | None:
    """Median power, None where no sensor told."""
    watts = [one.power_w for one in found if one.power_w is not None]
    return round(statistics.median(watts), 3) if watts else None
