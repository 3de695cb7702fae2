"""ONNX models as .tflite files, which LiteRT runs. Written here because the official converter cannot live beside this project.

`litert-torch` 0.10 needs jax, transformers and pydantic below 2.12 (this project: 2.14), 2 GB in all, and seconds a block; a
table needs a thousand blocks. The operators of our networks are few, and this module knows no block: whatever a block's ONNX
export is made of is translated operator by operator, or refused by name.

ONNX keeps channels before rows and columns (NCHW), LiteRT after them (NHWC). Each tensor of four or more axes is therefore
written with its last two axes moved behind the batch, and every rule below counts axes that way; nothing is transposed at run
time. Batch norms are expected to be folded already, as the exporter does. Files are for any batch size and made for one image.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.core.errors import ExportError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

_SCHEMA_VERSION, _IDENTIFIER, _ALIGNMENT = 3, b"TFL3", 16


@dataclass(frozen=True, slots=True)
class _Buffer:
    """Bytes of a constant, aligned as LiteRT's kernels expect (the generated class cannot align)."""

    data: bytes

    def Pack(self, builder: Any) -> int:
        """Writes itself; the name is the generated code's."""
        from ai_edge_litert import schema_py_generated as schema

        vector = None
        if self.data:
            builder.Prep(_ALIGNMENT, len(self.data))
            vector = builder.CreateByteVector(self.data)
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        offset: int = schema.BufferEnd(builder)
        return offset


class _Writer:
    """The file while it grows: tensors by ONNX name, operators in order."""

    def __init__(self, model: "ModelProto") -> None:
        from ai_edge_litert import schema_py_generated as schema
        from onnx import numpy_helper

        self.schema = schema
        graph = model.graph
        self.constants: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.shapes = _shapes(model)
        self.uses = Counter(name for node in graph.node for name in node.input) + Counter(value.name for value in graph.output)
        self.producer: dict[str, Any] = {}  # the LiteRT operator that made an ONNX value
        self.indices: dict[str, int] = {}
        self.tensors: list[Any] = []
        self.buffers = [_Buffer(b"")]  # the first one stands for "no data"
        self.operators: list[Any] = []
        self.codes: dict[tuple[int, int], int] = {}

    def value(self, name: str) -> int:
        """Index of the tensor of an ONNX value, which is made if it is new."""
        if name not in self.indices:
            constant = self.constants.get(name)
            shape = channels_last(self.shapes.get(name, ()))
            self.indices[name] = self._tensor(name, shape, np.float32, 0) if constant is None else self.constant(constant, name)
        return self.indices[name]

    def constant(self, values: Any, name: str) -> int:
        """Index of a tensor with these values, already in LiteRT's order of axes."""
        array = np.ascontiguousarray(values)
        self.buffers.append(_Buffer(array.tobytes()))
        return self._tensor(name, array.shape, array.dtype.type, len(self.buffers) - 1)

    def change(self, index: int, change: Callable[[Array], Array]) -> None:
        """Puts `change` of its float32 values into the constant tensor `index`."""
        tensor = self.tensors[index]
        values = np.frombuffer(self.buffers[tensor.buffer].data, np.float32).reshape(tensor.shape)
        self.buffers[tensor.buffer] = _Buffer(change(values).astype(np.float32).tobytes())

    def add(self, code: str, inputs: list[int], outputs: list[str], options: str = "", version: int = 1, **fields: Any) -> None:
        """Appends an operator; `options` names its table in the schema, `fields` what stands in it."""
        schema, operator = self.schema, self.schema.OperatorT()
        key = (getattr(schema.BuiltinOperator, code), version)
        operator.opcodeIndex = self.codes.setdefault(key, len(self.codes))
        operator.inputs, operator.outputs = inputs, [self.value(name) for name in outputs]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.operators.append(operator)
        self.producer |= dict.fromkeys(outputs, operator)

    def alone(self, name: str) -> Any:
        """The operator that made the ONNX value, if nothing but the node in hand reads it and it has no activation yet."""
        operator = self.producer.get(name)
        if operator is None or self.uses[name] != 1 or getattr(operator.builtinOptions, "fusedActivationFunction", True):
            return None
        return operator

    def alias(self, name: str, source: str) -> None:
        """Lets the ONNX value `name` be the tensor of `source`."""
        self.indices[name] = self.value(source)
        self.producer[name] = self.producer.get(source)

    def bytes(self, inputs: list[str], outputs: list[str]) -> bytes:
        """The whole file."""
        import flatbuffers

        schema = self.schema
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.name = "main"
        graph.inputs, graph.outputs = [self.value(name) for name in inputs], [self.value(name) for name in outputs]
        graph.tensors, graph.operators = self.tensors, self.operators
        model.version, model.description = _SCHEMA_VERSION, "channels last"
        model.subgraphs, model.buffers, model.operatorCodes = [graph], self.buffers, []
        for builtin, version in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(self, name: str, shape: Shape, kind: type, buffer: int) -> int:
        tensor = self.schema.TensorT()
        types: dict[type, int] = {np.float32: self.schema.TensorType.FLOAT32, np.int32: self.schema.TensorType.INT32}
        tensor.name, tensor.shape, tensor.type, tensor.buffer, tensor.hasRank = name, list(shape), types[kind], buffer, True
        if not buffer and len(shape) > 1:
            tensor.shapeSignature = [-1, *shape[1:]]
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def convert(model: "ModelProto") -> bytes:
    """The .tflite file that computes what `model` computes: fp32, inputs (n, h, w, c), any n; made for n = 1.

    Raises:
        ExportError: an operator has no counterpart here, or LiteRT is not installed.
    """
    require()
    writer = _Writer(model)
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
        raise ExportError(
            f"the litert runtime needs the package ai-edge-litert ({error}); run: pip install 'nas-budget[litert]'"
        ) from error


def channels_last(shape: Shape) -> Shape:
    """`shape` with its last two axes moved behind the first, if it has four or more."""
    return (shape[0], *shape[-2:], *shape[1:-2]) if len(shape) >= 4 else tuple(shape)


def _axis(axis: int, rank: int) -> int:
    """Where the ONNX axis stands in LiteRT's order."""
    return channels_last(tuple(range(rank))).index(axis % rank)


def _shapes(model: "ModelProto") -> dict[str, Shape]:
    """Shapes of all values, in ONNX's order, for a batch of one."""
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_value = 1
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim) for value in values}


def _attributes(node: "NodeProto", **defaults: Any) -> dict[str, Any]:
    from onnx import helper

    return defaults | {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _refused(node: "NodeProto", why: str) -> ExportError:
    return ExportError(f"{node.name or node.op_type} cannot be written as .tflite: {why}")


def _constant(writer: _Writer, node: "NodeProto") -> None:
    from onnx import numpy_helper

    writer.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)


def _identity(writer: _Writer, node: "NodeProto") -> None:
    (given,), (made,) = node.input, node.output
    if given in writer.constants:
        writer.constants[made] = writer.constants[given]
    else:
        writer.uses[given] += writer.uses[made] - 1
        writer.alias(made, given)


def _conv(writer: _Writer, node: "NodeProto") -> None:
    """CONV_2D, or DEPTHWISE_CONV_2D where each channel has one kernel of its own; a PAD before it where "same" is another.

    torch pads both sides alike; "SAME" puts the odd pixel of a stride of 2 behind. XNNPACK fuses the PAD into the convolution.
    """
    given, weights = node.input[0], writer.constants[node.input[1]]
    found = _attributes(node, group=1, dilations=[1, 1], strides=[1, 1], pads=[0, 0, 0, 0], auto_pad=b"NOTSET")
    if weights.ndim != 4 or found["auto_pad"] != b"NOTSET":
        raise _refused(node, "only convolutions of images with explicit padding are known")
    _, channels, rows, columns = writer.shapes[given]
    (dilation_h, dilation_w), (stride_h, stride_w) = found["dilations"], found["strides"]
    top, left, bottom, right = found["pads"]
    spans = ((weights.shape[2] - 1) * dilation_h + 1, (weights.shape[3] - 1) * dilation_w + 1)
    same = [_same(*one) for one in ((rows, spans[0], stride_h), (columns, spans[1], stride_w))]
    source, valid = writer.value(given), not any(found["pads"])
    if not valid and [(top, bottom), (left, right)] != same:
        padded = f"{node.output[0]} padded"
        writer.shapes[padded] = (1, channels, rows + top + bottom, columns + left + right)
        pads = writer.constant(np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32), f"{padded} by")
        writer.add("PAD", [source, pads], [padded], "PadOptions")
        source, valid = writer.value(padded), True
    depthwise = found["group"] == channels == weights.shape[0] and channels > 1
    inputs = [source, *_weights(writer, node, weights.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)), len(weights))]
    fields = {"padding": writer.schema.Padding.VALID if valid else writer.schema.Padding.SAME, "strideH": stride_h, "strideW": stride_w}
    fields |= {"dilationHFactor": dilation_h, "dilationWFactor": dilation_w}
    if depthwise:
        version = 2 if max(found["dilations"]) > 1 else 1
        writer.add("DEPTHWISE_CONV_2D", inputs, node.output, "DepthwiseConv2DOptions", version, depthMultiplier=1, **fields)
    else:
        writer.add("CONV_2D", inputs, node.output, "Conv2DOptions", 1 if found["group"] == 1 else 6, **fields)


def _weights(writer: _Writer, node: "NodeProto", kernel: Array, outputs: int) -> list[int]:
    """Tensors of the weights and of the bias, zeros where the node has none."""
    bias = writer.constants[node.input[2]] if len(node.input) > 2 else np.zeros(outputs, np.float32)
    return [writer.constant(kernel, f"{node.output[0]} weights"), writer.constant(bias, f"{node.output[0]} bias")]


def _same(size: int, span: int, stride: int) -> tuple[int, int]:
    """Pixels that "SAME" adds before and behind."""
    total = max(0, (math.ceil(size / stride) - 1) * stride + span - size)
    return total // 2, total - total // 2


def _gemm(writer: _Writer, node: "NodeProto") -> None:
    found = _attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    if (found["alpha"], found["beta"], found["transA"]) != (1.0, 1.0, 0) or node.input[1] not in writer.constants:
        raise _refused(node, "only a plain linear layer is known")
    weights = writer.constants[node.input[1]]
    weights = weights if found["transB"] else weights.T
    inputs = [writer.value(node.input[0]), *_weights(writer, node, weights, len(weights))]
    writer.add("FULLY_CONNECTED", inputs, node.output, "FullyConnectedOptions")


def _clip(writer: _Writer, node: "NodeProto") -> None:
    limits = tuple(float(writer.constants[name]) for name in node.input[1:] if name)
    if limits != (0.0, 6.0):
        raise _refused(node, f"only clipping to 0 and 6 is known, not to {limits}")
    _activation("RELU6")(writer, node)


def _activation(code: str) -> Callable[[_Writer, "NodeProto"], None]:
    """The activation as part of the operator before it where LiteRT can, else as an operator of its own."""

    def rule(writer: _Writer, node: "NodeProto") -> None:
        given, made = node.input[0], node.output[0]
        before = writer.alone(given)
        if before is not None and hasattr(writer.schema.ActivationFunctionType, code):
            before.builtinOptions.fusedActivationFunction = getattr(writer.schema.ActivationFunctionType, code)
            writer.alias(made, given)
        else:
            writer.add(code, [writer.value(given)], [made])

    return rule


def _hard_sigmoid(writer: _Writer, node: "NodeProto") -> None:
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


def _global_mean(writer: _Writer, node: "NodeProto") -> None:
    axes = writer.constant(np.array([1, 2], np.int32), f"{node.output[0]} axes")
    writer.add("MEAN", [writer.value(node.input[0]), axes], node.output, "ReducerOptions", keepDims=True)


def _two(code: str, options: str) -> Callable[[_Writer, "NodeProto"], None]:
    """An operator on two tensors of the same number of axes, or on one and a number."""

    def rule(writer: _Writer, node: "NodeProto") -> None:
        for name in node.input:
            if name in writer.constants and writer.constants[name].size == 1:
                writer.constants[name] = writer.constants[name].reshape(()).astype(np.float32)
            elif name in writer.constants or len(writer.shapes[name]) != len(writer.shapes[node.output[0]]):
                raise _refused(node, f"{name} would be broadcast, and constants other than a number are not known")
        writer.add(code, [writer.value(name) for name in node.input], node.output, options)

    return rule


def _concat(writer: _Writer, node: "NodeProto") -> None:
    axis = _axis(_attributes(node)["axis"], len(writer.shapes[node.output[0]]))
    writer.add("CONCATENATION", [writer.value(name) for name in node.input], node.output, "ConcatenationOptions", axis=axis)


def _split(writer: _Writer, node: "NodeProto") -> None:
    rank = len(writer.shapes[node.input[0]])
    onnx_axis = _attributes(node, axis=0)["axis"]
    sizes = [writer.shapes[name][onnx_axis] for name in node.output]
    axis = writer.constant(np.array(_axis(onnx_axis, rank), np.int32), f"{node.output[0]} axis")
    if len(set(sizes)) > 1:
        raise _refused(node, f"only a split into equal parts is known, not into {sizes}")
    writer.add("SPLIT", [axis, writer.value(node.input[0])], node.output, "SplitOptions", numSplits=len(sizes))


def _reshape(writer: _Writer, node: "NodeProto") -> None:
    """Reshapes that keep the numbers in their order also with channels last: of channels alone, or of a single pixel."""
    before, after = writer.shapes[node.input[0]], writer.shapes[node.output[0]]
    pixels = {shape[-2:] if len(shape) >= 4 else None for shape in (before, after)}
    if before[0] != after[0] or not (len(pixels) == 1 or pixels == {None, (1, 1)}):
        raise _refused(node, f"a reshape from {before} to {after} mixes channels with rows and columns")
    shape = np.array([-1, *channels_last(after)[1:]], np.int32)
    inputs = [writer.value(node.input[0]), writer.constant(shape, f"{node.output[0]} shape")]
    writer.add("RESHAPE", inputs, node.output, "ReshapeOptions", newShape=shape.tolist())


def _transpose(writer: _Writer, node: "NodeProto") -> None:
    rank = len(writer.shapes[node.input[0]])
    order = _attributes(node).get("perm", list(range(rank))[::-1])
    axes = np.array([_axis(axis, rank) for axis in channels_last(tuple(order))], np.int32)
    inputs = [writer.value(node.input[0]), writer.constant(axes, f"{node.output[0]} order")]
    writer.add("TRANSPOSE", inputs, node.output, "TransposeOptions", 1 if rank <= 4 else 4)


RULES: Mapping[str, Callable[[_Writer, "NodeProto"], None]] = {
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
    "Mul": _two("MUL", "MulOptions"),
    "Relu": _activation("RELU"),
    "Reshape": _reshape,
    "Sigmoid": _activation("LOGISTIC"),
    "Split": _split,
    "Transpose": _transpose,
}
"""How each ONNX operator is written."""
