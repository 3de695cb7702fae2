"""Blocks and networks as files that are timed: with random weights, for one image, as they stand inside a network.

An int8 block takes and gives integers, as it does between two others; only a network's first block reads floats and only its
last one writes them.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hardware_profiles.measurable import PRECISIONS, runtime_of
from nas.core.device import RuntimeTarget
from nas.core.errors import MeasurementError
from nas.core.network import BlockSpec, NetworkSpec
from search_spaces import blocks

if TYPE_CHECKING:
    from onnx import ModelProto

Spec = BlockSpec | NetworkSpec

SUFFIXES = {"onnxruntime": ".onnx", "onnxruntime-web": ".onnx", "litert": ".tflite"}
"""Runtimes that files are made for, and the ending of their files."""

IMAGE_CHANNELS = 4
"""A convolution of at most so many channels is a network's first one, which reads an image: floats, also in int8."""


def require(target: RuntimeTarget) -> str:
    """The ending of files for `target`.

    Raises:
        MeasurementError: no files can be made for its runtime or precision; the message names those there are.
    """
    runtime = runtime_of(target.runtime)
    if target.precision not in PRECISIONS.get(runtime, ()):
        able = "; ".join(f"{runtime} {' or '.join(found)}" for runtime, found in PRECISIONS.items())
        raise MeasurementError(f"{target.runtime} {target.precision} cannot be measured by this program (it measures {able})")
    return SUFFIXES[runtime]


def write(spec: Spec, path: Path, target: RuntimeTarget, max_opset: int) -> None:
    """Writes `spec` as the file that `target` runs.

    Raises:
        MeasurementError: it cannot be expressed for that runtime or in ONNX of that opset.
    """
    from onnx.onnx_cpp2py_export.checker import ValidationError

    from nas.core.errors import ExportError

    try:
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            content = _plain(spec, max_opset)
            if target.precision == "int8":
                plain = Path(folder) / "plain.onnx"
                plain.write_bytes(content)
                content = _quantized(plain, spec).SerializeToString()
    except (ExportError, ValidationError) as error:
        raise MeasurementError(f"{spec} cannot be written for {target}: {str(error).splitlines()[0]}") from error
    path.write_bytes(_tflite(content) if target.runtime == "litert" else content)


def _plain(spec: Spec, max_opset: int) -> bytes:
    """`spec`, batch norms folded, as fp32 ONNX.

    Raises:
        ExportError: it cannot be expressed in that opset.
    """
    from nas.runtimes.onnxruntime import trace

    if isinstance(spec, NetworkSpec):
        from nas.network import Network

        shape = (1, spec.in_channels, spec.resolution, spec.resolution)
        return trace(Network(spec).eval(), shape, max_opset, "the network").SerializeToString()
    shape = (1, spec.in_channels, spec.in_height, spec.in_width)
    return trace(blocks.load(spec.kind).build(spec).eval(), shape, max_opset, "the block").SerializeToString()


def _quantized(path: Path, spec: Spec) -> "ModelProto":
    """The fp32 file at `path` in int8, with the ranges of random images: speed does not depend on them."""
    import onnx

    from nas.compressors.int8_static import quantize_for_speed

    target = path.with_name("int8.onnx")
    quantize_for_speed(path, target)
    model = onnx.load(target)
    if isinstance(spec, BlockSpec):
        stem = spec.kind == "conv" and spec.in_channels <= IMAGE_CHANNELS
        _between_blocks(model, keep_input=stem, keep_output=blocks.operators(spec)[-1].kind == "linear")
    return model


def _between_blocks(model: "ModelProto", keep_input: bool, keep_output: bool) -> None:
    """Makes the integers on either side of the outermost quantize and dequantize nodes the model's input and output."""
    graph = model.graph
    readers = [node for node in graph.node if "images" in node.input]
    if not keep_input and len(readers) == 1 and readers[0].op_type == "QuantizeLinear":
        integers = readers[0].output[0]
        graph.node.remove(readers[0])
        graph.input[0].name = integers
        graph.input[0].type.tensor_type.elem_type = _UINT8
    writer = next(node for node in graph.node if "logits" in node.output)
    if not keep_output and writer.op_type == "DequantizeLinear":
        graph.output[0].name = writer.input[0]
        graph.output[0].type.tensor_type.elem_type = _UINT8
        graph.node.remove(writer)
    del graph.value_info[:]


_UINT8 = 2
"""TensorProto.UINT8."""


def _tflite(content: bytes) -> bytes:
    import onnx

    from nas import tflite

    tflite.require()
    return tflite.convert(onnx.load_from_string(content))
