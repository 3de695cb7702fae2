"""Where models are timed: this machine, or a device over SSH; a file each. All give the same values.

`connect("local")` or `connect("ssh://pi@10.0.0.7:22/home/pi/bench")` gives a `Host`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nas.core.errors import MeasurementError


@dataclass(frozen=True, slots=True)
class Request:
    """How models are timed: each until the 95 % interval of its 10th percentile is within `relative_width`, at most `max_seconds`.

    `provider_options` are KEY=VALUE as ONNX Runtime names them, `trt_fp16_enable=1` for one.
    """

    runtime: str = "onnxruntime"
    provider: str = "cpu"
    threads: int = 1
    relative_width: float = 0.02
    max_seconds: float = 1.0
    warm_up_seconds: float = 0.05
    provider_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Repeated runs of one model, and the state of the device around them. None or "" where the device does not tell.

    Times are of one call of the runtime. `outliers` are runs beyond the upper quartile plus three times the distance of the
    quartiles; they are counted, not dropped. `relative_width` is half the width of the 95 % interval of `p10_ms`, over
    the median. `undisturbed` is the share of runs (0 to 1) before and after which the core was calm: the others are left out, or
    all are counted where hardly any was.
    `pinned`: each thread had a core of its own. Clocks are the lowest ones just after the last run; temperature is the hottest
    zone of the processor. `power_w` is the mean while the runs went on, idle power included, of what `power_source` names.
    """

    model: str
    median_ms: float
    p10_ms: float
    min_ms: float
    p95_ms: float
    runs: int
    outliers: int
    relative_width: float
    undisturbed: float
    runtime: str
    runtime_version: str
    provider: str
    threads: int
    pinned: bool
    clock_mhz: float | None
    gpu_clock_mhz: float | None
    governor: str
    temperature_before_c: float | None
    temperature_after_c: float | None
    power_w: float | None
    power_source: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a device is and has: `machine` as a table's head names it, runtimes by version, space left where models go."""

    machine: str
    cores: int
    python: str
    runtimes: Mapping[str, str]
    providers: tuple[str, ...]
    free_mb: float


class Host(Protocol):
    """A machine that times models. Not to be used by two threads at once."""

    name: str

    def facts(self) -> HostFacts:
        """What the device is and has.

        Raises:
            MeasurementError: it cannot be reached, or has no Python 3.6 or newer.
        """
        ...

    def stream(self, models: Sequence[Path], request: Request) -> Iterator[Report]:
        """A report a model, in their order, each as soon as it is known. Closing the iterator early ends the work.

        Raises:
            ConnectionLostError: after all that arrived was given; the same call with the models that are left goes on, and
                repeats the one at most that was being timed.
            MeasurementError: the device cannot time them; the message says why.
        """
        ...

    def close(self) -> None:
        """Ends the connection and leaves nothing behind on the device."""
        ...


class ConnectionLostError(MeasurementError):
    """The connection to a device was cut while models were timed."""


def connect(target: str) -> Host:
    """The host that `target` names: `local`, or `ssh://user@host[:port][/dir]`. Nothing is connected before it is needed.

    Raises:
        MeasurementError: `target` is neither.
    """
    from latency_models.hosts import local, ssh, ssh_connection

    if target == "local":
        return local.LocalHost()
    if target.startswith("ssh://"):
        return ssh.SshHost(ssh_connection.Address.parse(target))
    raise MeasurementError(f"{target!r} is no target; give local, or ssh://user@host[:port][/dir] as in ssh://pi@raspberrypi.local/home/pi")
