"""Static INT8 for ONNX Runtime: quantize/dequantize pairs around each operator, calibrated on training images.

Which form is fastest depends on the processor: signed activations suit ARM and are several times slower than float on
x86 with VNNI, unsigned ones saturate on x86 without VNNI unless weights have 7 bits, and depthwise convolutions are
often faster left in float. Squeeze-and-excitation and h-swish are what costs accuracy. So a few variants are made, all
with weights per channel (depthwise needs them), and measured: the fastest of those that keep the accuracy is chosen.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas import runtimes
from nas.compressors import Compressed, Evidence, FileCompressor, Variant
from nas.runtimes import Array

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime.quantization import CalibrationDataReader

MAX_ACCURACY_LOSS = 0.01
"""One point of validation accuracy."""

MIN_OPSET = 13
"""Of ONNX: older ones have no weights per channel."""

_CALIBRATION_BATCH = 50
_PASSES = 3
"""Files are timed this often, in turns, and the best counts: what else the machine does only ever adds time."""


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to quantize: types of activations, bits of weights, and which operators stay in float."""

    signed_activations: bool = False
    reduce_range: bool = False
    float_depthwise: bool = False
    float_gates: bool = False


FORMS = {
    "u8s8": _Form(),
    "u8s8_reduced_range": _Form(reduce_range=True),
    "s8s8": _Form(signed_activations=True),
    "u8s8_float_depthwise": _Form(float_depthwise=True),
    "u8s8_float_gates": _Form(float_gates=True),
}
"""Activation and weight types, and what is particular."""


def requires(source: Path) -> str:
    """Why `source` cannot be quantized, "" if it can."""
    import onnx

    model = onnx.load(source)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < MIN_OPSET:
        return f"weights per channel need ONNX opset {MIN_OPSET} or newer, it has {opset}; export it again with a newer one"
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "it is quantized already"
    return ""


def apply(source: Path, folder: Path, evidence: Evidence) -> tuple[Path, Compressed]:
    """The fastest form within `MAX_ACCURACY_LOSS` of `source`'s accuracy, as a file in `folder`; the most accurate where none is.

    Raises:
        ExportError: a form cannot be run.
    """
    runtime = runtimes.load("onnxruntime")
    wanted = runtime.accuracy(source, evidence.images, evidence.labels, evidence.threads)
    files = _quantize(source, folder, evidence.calibration)
    times = _best_ms(files, evidence.time_ms or partial(_time_ms, image=evidence.images[:1], threads=evidence.threads))
    tried = tuple(
        Variant(name, runtime.accuracy(file, evidence.images, evidence.labels, evidence.threads), times[name])
        for name, file in files.items()
    )
    chose = choose(tried, wanted)
    return files[chose.name], Compressed(chose, tried, wanted)


def choose(tried: Sequence[Variant], fp32_accuracy: float) -> Variant:
    """The fastest variant within `MAX_ACCURACY_LOSS` of `fp32_accuracy`; the most accurate where none is."""
    good = [variant for variant in tried if variant.accuracy >= fp32_accuracy - MAX_ACCURACY_LOSS - 1e-9]
    return min(good, key=lambda v: v.latency_ms or 0.0) if good else max(tried, key=lambda v: v.accuracy)


def _quantize(source: Path, folder: Path, images: Array) -> dict[str, Path]:
    """One file in `folder` for each of `FORMS`, all with the ranges seen on `images` (n, c, h, w)."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = folder / "prepared.onnx"
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    model = onnx.load(prepared)
    files = {}
    for name, form in FORMS.items():
        files[name] = folder / f"{name}.onnx"
        quantize_static(
            prepared,
            files[name],
            _reader(images),
            per_channel=True,
            reduce_range=form.reduce_range,
            activation_type=QuantType.QInt8 if form.signed_activations else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_kept_in_float(model, form),
            calibration_cache_path=folder / "ranges.json",
        )
    return files


def quantize_for_speed(source: Path, target: Path) -> None:
    """Writes `source` (input "images", fixed shape) with unsigned activations and the ranges of one random image.

    For timing only: how fast a file is does not depend on its ranges.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_suffix(".prepared")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    shape = [axis.dim_value for axis in onnx.load(prepared).graph.input[0].type.tensor_type.shape.dim]
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    quantize_static(prepared, target, _reader(image), per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def _reader(images: Array) -> "CalibrationDataReader":
    """`images` (n, c, h, w) in batches, as the quantizer asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter([images[i : i + _CALIBRATION_BATCH] for i in range(0, len(images), _CALIBRATION_BATCH)])

        def get_next(self) -> dict[str, Array] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    return Reader()


def _kept_in_float(model: "ModelProto", form: _Form) -> list[str]:
    """Names of the nodes that `form` does not quantize."""
    kept = []
    for node in model.graph.node:
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        gate = node.op_type in ("GlobalAveragePool", "HardSigmoid", "HardSwish", "Mul") or "/se/" in node.name
        if (form.float_depthwise and groups > 1) or (form.float_gates and gate):
            kept.append(node.name)
    return kept


def _best_ms(files: Mapping[str, Path], time_ms: Callable[[Path], float]) -> dict[str, float]:
    passes = [{name: time_ms(file) for name, file in files.items()} for _ in range(_PASSES)]
    return {name: min(one[name] for one in passes) for name in files}


def _time_ms(path: Path, image: Array, threads: int) -> float:
    """Median milliseconds of one image (1, c, h, w) in this process, over 10 to 100 runs in about 0.05 s."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    runs: list[float] = []
    for _ in range(5):
        session.run(["logits"], {"images": image})
    until = time.perf_counter() + 0.05
    while len(runs) < 10 or (len(runs) < 100 and time.perf_counter() < until):
        start = time.perf_counter()
        session.run(["logits"], {"images": image})
        runs.append(time.perf_counter() - start)
    return statistics.median(runs) * 1e3


PLUGIN = FileCompressor("int8", requires, apply, max_accuracy_loss=MAX_ACCURACY_LOSS, max_size_ratio=0.9, min_opset=MIN_OPSET)
