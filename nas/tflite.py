"""ONNX models as .tflite files, which LiteRT runs. Written here because the official converter cannot live beside this project.

`litert-torch` 0.10 needs jax, transformers and pydantic below 2.12 (this project: 2.14), 2 GB in all, and seconds a block; a
table needs a thousand blocks. The operators of our networks are few, and this module knows no block: whatever a block's ONNX
export is made of is translated operator by operator, or refused by name.

ONNX keeps channels before rows and columns (NCHW), LiteRT after them (NHWC). Each tensor of four or more axes is therefore
written with its last two axes moved behind the batch, and every rule below counts axes that way; nothing is transposed at run
time. Batch norms are expected to be folded already, as the exporter does. Files are for any batch size and made for one image.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.core.errors import ExportError
from nas.tflite_writer import Array, Writer, channels_last

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


def convert(model: "ModelProto") -> bytes:
    """The .tflite file that computes what `model` computes: fp32, inputs (n, h, w, c), any n; made for n = 1.

    Raises:
        ExportError: an operator has no counterpart here, or LiteRT is not installed.
    """
    require()
    writer = Writer(model)
    inputs = [value.name for value in model.graph.input if value.name not in writer.constants]
    for name in inputs:
        writer.value(name)
    for node in model.graph.node:
        if node.op_type not in RULES:
            raise _refused(node, f"operator {node.op_type} has no rule (there are rules for {', '.join(sorted(RULES))})")
        RULES[node.op_type](writer, node)
    return writer.bytes(inputs, [value.name for value in model.graph.output])


def require() -> None:
    """Imports LiteRT.

    Raises:
        ExportError: it is not installed; the message says how to install it.
    """
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        raise ExportError(f"the litert runtime needs the package ai-edge-litert ({error}); run: pip install ai-edge-litert") from error


def _axis(axis: int, rank: int) -> int:
    """Where the ONNX axis stands in LiteRT's order."""
    return channels_last(tuple(range(rank))).index(axis % rank)


def _attributes(node: "NodeProto", **defaults: Any) -> dict[str, Any]:
    from onnx import helper

    return defaults | {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _refused(node: "NodeProto", why: str) -> ExportError:
    return ExportError(f"{node.name or node.op_type} cannot be written as .tflite: {why}")


def _constant(writer: Writer, node: "NodeProto") -> None:
    from onnx import numpy_helper

    writer.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)


def _identity(writer: Writer, node: "NodeProto") -> None:
    (given,), (made,) = node.input, node.output
    if given in writer.constants:
        writer.constants[made] = writer.constants[given]
    else:
        writer.uses[given] += writer.uses[made] - 1
        writer.alias(made, given)


def _conv(writer: Writer, node: "NodeProto") -> None:
    """CONV_2D, or DEPTHWISE_CONV_2D where each channel has one kernel of its own; a PAD before it where "same" is another.

    torch pads both sides alike; "SAME" puts the odd pixel of a stride of 2 behind. XNNPACK fuses the PAD into the convolution.
    """
    given, weights = node.input[0], writer.constants[node.input[1]]
    found = _attributes(node, group=1, dilations=[1, 1], strides=[1, 1], pads=[0, 0, 0, 0], auto_pad=b"NOTSET")
    if weights.ndim != 4 or found["auto_pad"] != b"NOTSET":
        raise _refused(node, "only convolutions of images with explicit padding are known")
    channels = writer.shapes[given][1]
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(weights.shape[2:], found["dilations"], strict=True)]
    source, window = _window(writer, node, spans, found["strides"], found["pads"])
    depthwise = found["group"] == channels == weights.shape[0] and channels > 1
    inputs = [source, *_weights(writer, node, weights.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)), len(weights))]
    fields = window | {"dilationHFactor": found["dilations"][0], "dilationWFactor": found["dilations"][1]}
    if depthwise:
        version = 2 if max(found["dilations"]) > 1 else 1
        writer.add("DEPTHWISE_CONV_2D", inputs, node.output, "DepthwiseConv2DOptions", version, depthMultiplier=1, **fields)
    else:
        writer.add("CONV_2D", inputs, node.output, "Conv2DOptions", 1 if found["group"] == 1 else 6, **fields)


def _max_pool(writer: Writer, node: "NodeProto") -> None:
    found = _attributes(node, dilations=[1, 1], strides=[1, 1], pads=[0, 0, 0, 0], auto_pad=b"NOTSET", ceil_mode=0, storage_order=0)
    kernel = found["kernel_shape"]
    plain = (found["dilations"], found["auto_pad"], found["ceil_mode"], len(node.output)) == ([1, 1], b"NOTSET", 0, 1)
    if len(kernel) != 2 or not plain:
        raise _refused(node, "only the largest of windows of images with explicit padding, rounded down, is known")
    relu = (writer.schema.ActivationFunctionType.RELU, writer.schema.ActivationFunctionType.RELU6)
    before = writer.producer.get(node.input[0])
    never_below_0 = before is not None and getattr(before.builtinOptions, "fusedActivationFunction", None) in relu
    fill = 0.0 if never_below_0 else -math.inf  # XNNPACK pads with zeros alone
    source, window = _window(writer, node, kernel, found["strides"], found["pads"], fill)
    writer.add("MAX_POOL_2D", [source], node.output, "Pool2DOptions", filterHeight=kernel[0], filterWidth=kernel[1], **window)


def _window(
    writer: Writer, node: "NodeProto", spans: Sequence[int], strides: Sequence[int], pads: Sequence[int], fill: float = 0.0
) -> tuple[int, dict[str, int]]:
    """What windows of `spans` rows and columns move over, padded with `fill` where "SAME" is another padding, and how they move."""
    given, (top, left, bottom, right) = node.input[0], pads
    _, channels, rows, columns = writer.shapes[given]
    same = [_same(*one) for one in zip((rows, columns), spans, strides, strict=True)]
    source, valid = writer.value(given), not any(pads)
    if not valid and [(top, bottom), (left, right)] != same:
        padded = f"{node.output[0]} padded"
        writer.shapes[padded] = (1, channels, rows + top + bottom, columns + left + right)
        by = writer.constant(np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32), f"{padded} by")
        if fill:
            writer.add("PADV2", [source, by, writer.constant(np.float32(fill), f"{padded} with")], [padded], "PadV2Options")
        else:
            writer.add("PAD", [source, by], [padded], "PadOptions")
        source, valid = writer.value(padded), True
    padding = writer.schema.Padding.VALID if valid else writer.schema.Padding.SAME
    return source, {"padding": padding, "strideH": strides[0], "strideW": strides[1]}


def _weights(writer: Writer, node: "NodeProto", kernel: Array, outputs: int) -> list[int]:
    """Tensors of the weights and of the bias, zeros where the node has none."""
    bias = writer.constants[node.input[2]] if len(node.input) > 2 else np.zeros(outputs, np.float32)
    return [writer.constant(kernel, f"{node.output[0]} weights"), writer.constant(bias, f"{node.output[0]} bias")]


def _same(size: int, span: int, stride: int) -> tuple[int, int]:
    """Pixels that "SAME" adds before and behind."""
    total = max(0, (math.ceil(size / stride) - 1) * stride + span - size)
    return total // 2, total - total // 2


def _gemm(writer: Writer, node: "NodeProto") -> None:
    found = _attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    if (found["alpha"], found["beta"], found["transA"]) != (1.0, 1.0, 0) or node.input[1] not in writer.constants:
        raise _refused(node, "only a plain linear layer is known")
    weights = writer.constants[node.input[1]]
    weights = weights if found["transB"] else weights.T
    inputs = [writer.value(node.input[0]), *_weights(writer, node, weights, len(weights))]
    writer.add("FULLY_CONNECTED", inputs, node.output, "FullyConnectedOptions")


def _clip(writer: Writer, node: "NodeProto") -> None:
    limits = tuple(float(writer.constants[name]) for name in node.input[1:] if name)
    if limits != (0.0, 6.0):
        raise _refused(node, f"only clipping to 0 and 6 is known, not to {limits}")
    _activation("RELU6")(writer, node)


def _activation(code: str) -> Callable[[Writer, "NodeProto"], None]:
    """The activation as part of the operator before it where LiteRT can, else as an operator of its own."""

    def rule(writer: Writer, node: "NodeProto") -> None:
        given, made = node.input[0], node.output[0]
        before = writer.alone(given)
        if before is not None and hasattr(writer.schema.ActivationFunctionType, code):
            before.builtinOptions.fusedActivationFunction = getattr(writer.schema.ActivationFunctionType, code)
            writer.alias(made, given)
        else:
            writer.add(code, [writer.value(given)], [made])

    return rule


def _hard_sigmoid(writer: Writer, node: "NodeProto") -> None:
    """relu6(6 alpha x + 6 beta) / 6, with the factor in the weights of the layer before it where there is one.

    XNNPACK has no hard sigmoid, and leaves RELU_0_TO_1 to the slow reference kernels.
    """
    found = _attributes(node, alpha=0.2, beta=0.5)
    factor, offset = np.float32(6 * found["alpha"]), np.float32(6 * found["beta"])
    given, before = node.input[0], writer.alone(node.input[0])
    if before is None or len(before.inputs) != 3:  # neither a convolution nor a linear layer: input, weights, bias
        scaled, given = f"{node.output[0]} scaled", f"{node.output[0]} moved"
        writer.shapes |= dict.fromkeys((scaled, given), writer.shapes[node.input[0]])
        writer.add("MUL", [writer.value(node.input[0]), writer.constant(factor, f"{scaled} by")], [scaled], "MulOptions")
        writer.add("ADD", [writer.value(scaled), writer.constant(offset, f"{given} by")], [given], "AddOptions")
        before = writer.producer[given]
    else:
        writer.change(before.inputs[1], lambda weights: weights * factor)
        writer.change(before.inputs[2], lambda bias: bias * factor + offset)
    before.builtinOptions.fusedActivationFunction = writer.schema.ActivationFunctionType.RELU6
    writer.add("MUL", [writer.value(given), writer.constant(np.float32(1 / 6), f"{node.output[0]} by")], node.output, "MulOptions")


def _global_mean(writer: Writer, node: "NodeProto") -> None:
    axes = writer.constant(np.array([1, 2], np.int32), f"{node.output[0]} axes")
    writer.add("MEAN", [writer.value(node.input[0]), axes], node.output, "ReducerOptions", keepDims=True)


def _two(code: str, options: str) -> Callable[[Writer, "NodeProto"], None]:
    """An operator on two tensors of the same number of axes, or on one and a number."""

    def rule(writer: Writer, node: "NodeProto") -> None:
        for name in node.input:
            if name in writer.constants and writer.constants[name].size == 1:
                writer.constants[name] = writer.constants[name].reshape(()).astype(np.float32)
            elif name in writer.constants or len(writer.shapes[name]) != len(writer.shapes[node.output[0]]):
                raise _refused(node, f"{name} would be broadcast, and constants other than a number are not known")
        writer.add(code, [writer.value(name) for name in node.input], node.output, options)

    return rule


def _concat(writer: Writer, node: "NodeProto") -> None:
    axis = _axis(_attributes(node)["axis"], len(writer.shapes[node.output[0]]))
    writer.add("CONCATENATION", [writer.value(name) for name in node.input], node.output, "ConcatenationOptions", axis=axis)


def _split(writer: Writer, node: "NodeProto") -> None:
    rank = len(writer.shapes[node.input[0]])
    onnx_axis = _attributes(node, axis=0)["axis"]
    sizes = [writer.shapes[name][onnx_axis] for name in node.output]
    axis = writer.constant(np.array(_axis(onnx_axis, rank), np.int32), f"{node.output[0]} axis")
    if len(set(sizes)) > 1:
        raise _refused(node, f"only a split into equal parts is known, not into {sizes}")
    writer.add("SPLIT", [axis, writer.value(node.input[0])], node.output, "SplitOptions", numSplits=len(sizes))


def _reshape(writer: Writer, node: "NodeProto") -> None:
    """Reshapes that keep the numbers in their order also with channels last: of channels alone, or of a single pixel."""
    before, after = writer.shapes[node.input[0]], writer.shapes[node.output[0]]
    pixels = {shape[-2:] if len(shape) >= 4 else None for shape in (before, after)}
    if before[0] != after[0] or not (len(pixels) == 1 or pixels == {None, (1, 1)}):
        raise _refused(node, f"a reshape from {before} to {after} mixes channels with rows and columns")
    shape = np.array([-1, *channels_last(after)[1:]], np.int32)
    inputs = [writer.value(node.input[0]), writer.constant(shape, f"{node.output[0]} shape")]
    writer.add("RESHAPE", inputs, node.output, "ReshapeOptions", newShape=shape.tolist())


def _transpose(writer: Writer, node: "NodeProto") -> None:
    rank = len(writer.shapes[node.input[0]])
    order = _attributes(node).get("perm", list(range(rank))[::-1])
    axes = np.array([_axis(axis, rank) for axis in channels_last(tuple(order))], np.int32)
    inputs = [writer.value(node.input[0]), writer.constant(axes, f"{node.output[0]} order")]
    writer.add("TRANSPOSE", inputs, node.output, "TransposeOptions", 1 if rank <= 4 else 4)


RULES: Mapping[str, Callable[[Writer, "NodeProto"], None]] = {
    "Add": _two("ADD", "AddOptions"),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "Conv": _conv,
    "Flatten": _reshape,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_mean,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _activation("HARD_SWISH"),
    "Identity": _identity,
    "MaxPool": _max_pool,
    "Mul": _two("MUL", "MulOptions"),
    "Relu": _activation("RELU"),
    "Reshape": _reshape,
    "Sigmoid": _activation("LOGISTIC"),
    "Split": _split,
    "Transpose": _transpose,
}
"""How each ONNX operator is written."""
