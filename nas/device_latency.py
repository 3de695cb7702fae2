"""Latency of exported files: measured in the target's runtime, here or on a device that is reached; else from a model; or unknown."""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import latency_models
from hardware_profiles import THIS_MACHINE
from latency_models import timing_web
from latency_models.hosts import Host, Request
from latency_models.hosts.local import LocalHost
from nas.core.device import DeviceProfile, RuntimeTarget
from nas.core.errors import DeviceError, ExportError, TargetMismatchError
from nas.core.latency import Interval, LatencyEstimate, LatencyModel, estimate
from nas.core.network import NetworkSpec
from nas.finishing import Latency

REPEATS = 6
CONFIDENCE = 1 - 2 * 0.5**REPEATS
"""Lowest and highest of n figures enclose their true median with this probability, whatever the distribution."""


INT8_AS_MEASURED = "it is priced as a file with every operator in int8; whether this one keeps some in float was decided on this machine"
"""What a reader must know of an int8 file for another device: the compressor chose its form by timing here."""


def latency_of_files(device: DeviceProfile, models: Sequence[LatencyModel], space: str, confidence: float | None = None) -> Latency:
    """A function from (precision, ONNX file, network) to the latency on `device`, or None and the reason.

    It is for the runtime and the threads of `models`, one a precision; files of another precision are priced by what the device
    knows of that one, for networks of the space with the key `space`, with bounds of `confidence`.
    """
    return timed_on(LocalHost(), models[0].target) if device.name == THIS_MACHINE else predicted(device, models, space, confidence)


def timed_on(host: Host, searched: RuntimeTarget) -> Latency:
    """The function that times files on `host`, in the runtime of `searched` and with its threads.

    It raises a MeasurementError where the host cannot time a file, a ConnectionLostError where it is lost.
    """

    def latency(precision: str, path: Path, network: NetworkSpec) -> tuple[LatencyEstimate | None, str]:
        target = replace(searched, precision=precision)
        try:
            with _file_for(target, path) as file:
                found = _repeated_ms(host, target, file)
        except ExportError as error:
            return None, f"the {precision} file cannot be timed in {target.runtime}: {error}"
        total = Interval(statistics.median(found), min(found), max(found))
        return LatencyEstimate(total, (("whole network", total),), "measured", 1.0, CONFIDENCE, target), ""

    return latency


@contextmanager
def _file_for(target: RuntimeTarget, path: Path) -> Iterator[Path]:
    """The file at `path`, or what it becomes for LiteRT where it is an ONNX file.

    Raises:
        ExportError: LiteRT is not installed, or there is no rule for an operator (those of int8 files among them).
    """
    if target.runtime != "litert" or path.suffix == ".tflite":
        yield path
        return
    import onnx

    from nas import tflite

    tflite.require()
    with tempfile.TemporaryDirectory(prefix="timing-") as folder:
        file = Path(folder) / f"{path.stem}.tflite"
        file.write_bytes(tflite.convert(onnx.load(path)))
        yield file


def _repeated_ms(host: Host, target: RuntimeTarget, file: Path) -> list[float]:
    """Milliseconds of one image, `REPEATS` times. A runtime's name may end in ONNX Runtime's provider: onnxruntime-xnnpack."""
    if target.runtime == "onnxruntime-web":
        reports = timing_web.stream([file] * REPEATS, Request(threads=target.threads))
    else:
        runtime, _, provider = target.runtime.partition("-")
        reports = host.stream([file] * REPEATS, Request(runtime, provider or "cpu", max(1, target.threads)))
    return [report.p10_ms for report in reports]


def predicted(device: DeviceProfile, models: Sequence[LatencyModel], space: str, confidence: float | None = None) -> Latency:
    """The function that prices files by the model of their precision, or by what the device knows of that one."""
    searched, given = models[0].target, {model.target.precision: model for model in models}

    @cache
    def model_of(precision: str) -> LatencyModel | str:
        """What prices files of `precision` in the same runtime with as many threads, or why nothing does."""
        if precision in given:
            return given[precision]
        try:
            return latency_models.load(device, precision, searched.runtime, searched.threads, space, confidence)
        except TargetMismatchError:
            threads = f" with {searched.threads} threads" if searched.threads > 1 else ""
            return f"it has none in {searched.runtime}{threads}"
        except DeviceError as error:
            return str(error)

    def latency(precision: str, path: Path, network: NetworkSpec) -> tuple[LatencyEstimate | None, str]:
        found = model_of(precision)
        if isinstance(found, str):
            return None, f"no {precision} latencies are known of {device.name}: {found}"
        return estimate(found, network), INT8_AS_MEASURED if precision == "int8" else ""

    return latency
