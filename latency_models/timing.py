"""Timing of ONNX files on the machine in hand, in a process of its own (`latency_models/agent/time_onnx.py`)."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardware_profiles.table_file import Timing
from nas.core.errors import MeasurementError

AGENT = Path(__file__).parent / "agent" / "time_onnx.py"


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a file is run: until the median's 95 % interval is within `relative_width`, at most `max_seconds`."""

    relative_width: float = 0.02
    max_seconds: float = 1.0
    warm_up_seconds: float = 0.05


def time_models(paths: Sequence[Path], threads: int = 1, effort: Effort = Effort()) -> list[Timing]:
    """Timings of the ONNX files, in their order, one run a time with `threads` threads (pinned to as many cores).

    Raises:
        MeasurementError: a file cannot be loaded or run; the message holds the last line that the agent said.
    """
    return list(stream(paths, threads, effort))


def stream(paths: Sequence[Path], threads: int, effort: Effort) -> Iterator[Timing]:
    """As `time_models`, each timing as soon as it is known. Closing the iterator early ends the agent.

    Raises:
        MeasurementError: as `time_models`.
    """
    if not paths:
        return
    options = ("threads", threads), ("width", effort.relative_width), ("seconds", effort.max_seconds), ("warm-up", effort.warm_up_seconds)
    command = [sys.executable, str(AGENT), *(f"--{name}={value}" for name, value in options), *map(str, paths)]
    with tempfile.TemporaryFile("w+") as complaints:
        # a file for standard error: a pipe that nobody empties would stop an agent that complains at length
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True)
        assert process.stdout is not None
        done = 0
        try:
            for line in process.stdout:
                found = json.loads(line)
                yield Timing(found["median_ms"], found["p95_ms"], found["runs"])
                done += 1
            process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if process.returncode != 0 or done != len(paths):
            complaints.seek(0)
            said = complaints.read().strip().splitlines()
            last = said[-1] if said else f"nothing (exit code {process.returncode})"
            raise MeasurementError(f"timing of {paths[min(done, len(paths) - 1)]} failed; the agent said: {last}")
