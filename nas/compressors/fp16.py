"""Half precision: the file's weights and arithmetic in float16, its input and output still float32.

For GPUs such as the Jetson Nano's, which run float16 natively and have no INT8. A runtime without float16 arithmetic,
as ONNX Runtime on most CPUs, computes in float32 between rounded tensors: slower, but good for checking accuracy.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas import runtimes
from nas.compressors import Compressed, CompressionError, Evidence, FileCompressor, Variant

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

LARGEST = 65504.0
"""The largest float16."""


def requires(source: Path) -> str:
    """Why `source` cannot be converted, "" if it can."""
    import onnx

    tensors = _weights(onnx.load(source))
    if not any(tensor.data_type == onnx.TensorProto.FLOAT for tensor in tensors):
        return "it holds no float32 weights"
    return ""


def apply(source: Path, folder: Path, evidence: Evidence) -> tuple[Path, Compressed]:
    """`source` in half precision, as a file in `folder` that was run.

    Raises:
        CompressionError: a weight is too large for float16.
        ExportError: the result cannot be run.
    """
    import onnx

    model = onnx.load(source)
    _halve(model, source)
    onnx.checker.check_model(model, full_check=True)
    file = folder / "fp16.onnx"
    file.write_bytes(model.SerializeToString())
    runtime = runtimes.load("onnxruntime")
    wanted = runtime.accuracy(source, evidence.images, evidence.labels, evidence.threads)
    variant = Variant("fp16", runtime.accuracy(file, evidence.images, evidence.labels, evidence.threads), None)
    return file, Compressed(variant, (variant,), wanted)


def _weights(model: "ModelProto") -> "list[TensorProto]":
    """Every tensor that is stored in the file."""
    constants = [node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"]
    return [*model.graph.initializer, *constants]


def _halve(model: "ModelProto", source: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    for tensor in _weights(model):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        weights = numpy_helper.to_array(tensor)
        largest = float(np.abs(weights).max(initial=0.0))
        if largest > LARGEST:
            raise CompressionError(f"{source.name} cannot be made fp16: {tensor.name} holds {largest:.3g}, float16 ends at {LARGEST:g}")
        tensor.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), tensor.name))
    graph = model.graph
    for node in graph.node:
        node.input[:] = [f"{name}_half" if name == "images" else name for name in node.input]
        node.output[:] = [f"{name}_half" if name == "logits" else name for name in node.output]
    graph.node.insert(0, helper.make_node("Cast", ["images"], ["images_half"], "images_to_half", to=TensorProto.FLOAT16))
    graph.node.append(helper.make_node("Cast", ["logits_half"], ["logits"], "logits_to_float", to=TensorProto.FLOAT))


PLUGIN = FileCompressor(step="fp16", requires=requires, apply=apply, max_accuracy_loss=0.01, max_size_ratio=0.75)
