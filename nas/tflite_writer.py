"""A .tflite file while it grows: its tensors, operators and bytes. What is written, and why here, says `nas.tflite`."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

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


class Writer:
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


def channels_last(shape: Shape) -> Shape:
    """`shape` with its last two axes moved behind the first, if it has four or more."""
    return (shape[0], *shape[-2:], *shape[1:-2]) if len(shape) >= 4 else tuple(shape)


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
