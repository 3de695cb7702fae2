"""What every host has in common: how the agent (`latency_models/agent/time_models.py`) is called and what it says is read."""

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

from latency_models.agent import time_models
from latency_models.hosts import HostFacts, Report, Request
from nas.core.errors import MeasurementError

AGENT = Path(time_models.__file__)
_REPORT = tuple(field.name for field in fields(Report))


@dataclass(frozen=True, slots=True)
class Running:
    """A process that is being read: its standard output is a pipe, its complaints go to a file."""

    process: subprocess.Popen[bytes]
    complaints: IO[bytes]

    @property
    def out(self) -> IO[bytes]:
        """Its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout

    def said(self) -> list[str]:
        """The lines of its standard error so far, without empty ones."""
        self.complaints.seek(0)
        return [line.strip() for line in self.complaints.read().decode(errors="replace").splitlines() if line.strip()]


@contextmanager
def running(command: Sequence[str]) -> Iterator[Running]:
    """`command` as a process with pipes for input and output, ended at the latest with the block.

    Raises:
        MeasurementError: there is no such program here.
    """
    with tempfile.TemporaryFile() as complaints:
        # a file for standard error: a pipe that nobody empties would stop a process that complains at length
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints)
        except OSError as error:
            raise MeasurementError(f"{command[0]} cannot be started: {error.strerror}") from error
        try:
            yield Running(process, complaints)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()


def options(request: Request) -> list[str]:
    """The agent's command line for `request`, without models."""
    plain = {
        "runtime": request.runtime,
        "provider": request.provider,
        "threads": request.threads,
        "width": request.relative_width,
        "seconds": request.max_seconds,
        "warm-up": request.warm_up_seconds,
    }
    return [f"--{name}={value}" for name, value in plain.items()] + [f"--option={one}" for one in request.provider_options]


def report(line: bytes | str, model: Path) -> Report | None:
    """What one line of the agent says of `model`; None for a line that was torn."""
    found = _document(line)
    return Report(**{**{name: found[name] for name in _REPORT}, "model": str(model)}) if found.keys() >= set(_REPORT) else None


def facts(line: bytes | str) -> HostFacts | None:
    """What the agent's `--check` says; None where it is something else."""
    found = _document(line)
    names = [field.name for field in fields(HostFacts)]
    return (
        HostFacts(**{**{name: found[name] for name in names}, "providers": tuple(found["providers"])})
        if found.keys() >= set(names)
        else None
    )


def failure(code: int, said: Sequence[str], model: Path | str, host: str) -> MeasurementError:
    """Why an agent on `host` that ended with `code` did not time `model`, from its last words, as one sentence."""
    number = code - 128 if code > 128 else -code
    if number > 0:
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hint = " (was the memory used up?)" if number == signal.SIGKILL else ""
        return MeasurementError(f"the agent on {host} was ended by {name} while it timed {model}{hint}")
    last = said[-1] if said else f"nothing (exit code {code})"
    if code in (time_models.NO_RUNTIME, time_models.NO_PROVIDER, time_models.TAKEN_OVER):
        return MeasurementError(f"{host} cannot time models: {last}")
    if code == time_models.DISK_FULL:
        return MeasurementError(f"the disk of {host} is full: {last}; make room, or name another folder in the target")
    return MeasurementError(f"timing of {model} failed; the agent said: {last}")


def _document(line: bytes | str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
