"""How long a full table takes to measure, and what an interrupted measurement repeats.

`python -m nas.measure` on this machine, from nothing, into a scratch folder: once as it is, and once killed (SIGKILL to it and to
the agent that it runs, as by a power cut) when half of the timings are there, then given again. Run on an idle machine:

    python experiments/benchmarks/measuring_time.py [--space mobile_shuffle_32] [--passes 3] [--quick]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import hardware_profiles
from hardware_profiles import table_file
from nas.core.errors import MeasurementError
from nas.files import atomic_write
from nas.measuring.journal import Journal

RESULT = Path(__file__).parents[1] / "results" / "measuring_time.json"
PROFILE = hardware_profiles.FOLDER / f"{hardware_profiles.THIS_MACHINE}.toml"
POLL_SECONDS = 0.2

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the command: its wall time, the time until its first timing was kept, and what it kept, in order."""

    seconds: float
    first_seconds: float
    lines: tuple[Line, ...]

    @property
    def timings(self) -> list[tuple[str, int]]:
        """What was timed, and in which pass; the sentinel left out."""
        return [(line["item"], line["pass"]) for line in self.lines if line["item"] is not None]


class Scratch:
    """A folder with this machine's profile and no tables, removed at the end; `options` go to the command."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self._profile = folder / PROFILE.name
        shutil.copy(PROFILE, self._profile)
        self.command = [sys.executable, "-m", "nas.measure", "--device", str(self._profile), *options]
        self._kept = folder / "journal"
        """Another name of the journal, which stays when the command is done with it."""
        self._read_bytes = 0
        self._found: list[Line] = []

    def drifted(self) -> set[int]:
        """The chunks that are timed again because their sentinels ran slow, by all that was known in the end."""
        with self._kept.open() as file:
            title = json.loads(file.readline())
        return Journal(self._kept, title).drifted()

    @property
    def table(self) -> table_file.Table:
        """The one table that was measured."""
        (path,) = self._profile.parent.glob("tables/*.csv")
        return table_file.read(path)

    def run(self, stop_after: int | None = None) -> Session:
        """Runs the command to its end, or until `stop_after` different timings are kept.

        Raises:
            MeasurementError: the command failed.
        """
        before = len(self._lines())
        begun, first = time.perf_counter(), None
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(self.command, stdout=said, stderr=said, cwd=Path(__file__).parents[2], process_group=0)
            try:
                while process.poll() is None:
                    found = self._lines()
                    if first is None and any(line["item"] is not None for line in found[before:]):
                        first = time.perf_counter() - begun
                    if stop_after is not None and len(_different(found)) >= stop_after:
                        break
                    time.sleep(POLL_SECONDS)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            seconds = time.perf_counter() - begun
            if process.returncode != 0 and not (stop_after is not None and process.returncode == -signal.SIGKILL):
                said.seek(0)
                raise MeasurementError(f"{' '.join(self.command)} failed: {said.read().strip()}")
        return Session(seconds, first if first is not None else seconds, tuple(self._lines()[before:]))

    def _lines(self) -> list[Line]:
        """Every whole line of the journal but its title; only what is new is read, so that looking disturbs nothing."""
        if not self._kept.exists():
            for journal in self._profile.parent.glob("tables/*.partial"):
                os.link(journal, self._kept)
        if self._kept.exists():
            with self._kept.open("rb") as file:
                file.seek(self._read_bytes)
                new, newline, _ = file.read().rpartition(b"\n")
            self._read_bytes += len(new) + len(newline)
            self._found += [line for line in _parsed(new) if "item" in line]
        return list(self._found)


def _parsed(content: bytes) -> Iterator[Line]:
    for line in content.splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:  # blank, or torn by the kill
            continue


def _different(lines: list[Line] | tuple[Line, ...]) -> set[tuple[str, int]]:
    return {(line["item"], line["pass"]) for line in lines if line["item"] is not None}


def whole(scratch: Scratch) -> dict[str, Any]:
    """The figures of a measurement that nothing interrupts."""
    session, table = scratch.run(), scratch.table
    different = len(set(session.timings))
    return {
        "seconds": round(session.seconds, 1),
        "seconds_until_first_timing": round(session.first_seconds, 1),
        "blocks": len(table.rows),
        "networks": len(table.head.networks),
        "timings": different,
        "timed_again_after_disturbance": len(session.timings) - different,
        "sentinel_timings": sum(line["item"] is None for line in session.lines),
        "held_out_mape_percent": table.head.error.mape_percent,
    }


def interrupted(scratch: Scratch, timings: int) -> dict[str, Any]:
    """The figures of one that is killed half-way through `timings` and given again."""
    killed = scratch.run(stop_after=timings // 2)
    again = scratch.run()
    lines = (*killed.lines, *again.lines)
    drifted = scratch.drifted()
    kept = {(line["item"], line["pass"]): line["chunk"] not in drifted and line["undisturbed"] > 0 for line in killed.lines}
    repeated = [key for key in again.timings if key in kept]
    return {
        "seconds_until_killed": round(killed.seconds, 1),
        "seconds_of_the_rest": round(again.seconds, 1),
        "seconds_until_first_new_timing": round(again.first_seconds, 1),
        "timings_kept": len(set(killed.timings)),
        "timings_of_the_rest": len(again.timings),
        "repeated_after_disturbance": sum(not kept[key] for key in repeated),
        "repeated_for_the_interruption": sum(kept[key] for key in repeated),
        "sentinel_timings": sum(line["item"] is None for line in lines),
        "blocks": len(scratch.table.rows),
        "networks": len(scratch.table.head.networks),
    }


def main() -> None:
    """Prints the figures and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mobile_shuffle_32", help="the search space that is measured")
    parser.add_argument("--passes", type=int, default=3, help="passes over all models")
    parser.add_argument("--quick", action="store_true", help="measure with `nas.measure --quick`: fewer networks, shorter runs")
    parser.add_argument("--result", type=Path, default=RESULT, help="the file to write")
    given = parser.parse_args()
    options = ["--space", given.space, "--passes", str(given.passes), *(["--quick"] if given.quick else [])]
    with tempfile.TemporaryDirectory(prefix="measuring-") as first, tempfile.TemporaryDirectory(prefix="measuring-") as second:
        once = whole(Scratch(Path(first), options))
        _print("from nothing to the table", once)
        twice = interrupted(Scratch(Path(second), options), once["timings"])
        twice["overhead_seconds"] = round(twice["seconds_until_killed"] + twice["seconds_of_the_rest"] - once["seconds"], 1)
        _print("killed half-way and given again", twice)
    document = {
        "command": " ".join(["python", "experiments/benchmarks/measuring_time.py", *sys.argv[1:]]),
        "measured": " ".join(["python -m nas.measure", *options]),
        "machine": table_file.machine(),
        "whole": once,
        "interrupted": twice,
    }
    atomic_write(given.result, json.dumps(document, indent=1) + "\n")
    print(f"wrote {given.result}")


def _print(title: str, figures: dict[str, Any]) -> None:
    print(title)
    for name, value in figures.items():
        print(f"  {name.replace('_', ' '):<34}{value:>10}", flush=True)


if __name__ == "__main__":
    main()
