"""An ONNX file as a plain graph: every shape known, everything constant computed, nothing that cannot reach an output.

Exporters write shapes as chains of Shape, Gather, Concat and Cast, weights as initialisers, Constant nodes or files beside
the model, quantized numbers as pairs of nodes. All of it disappears here, one node at a time, in order: a node whose inputs
are known is computed (by the reference implementation of onnx), another gets the shapes that its schema infers. Weights
are never read, only their shapes.
"""

from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latency_models import input_shapes, onnx_validity
from latency_models.onnx_validity import first_line
from latency_models.plain_graph import VIEWS, Array, Graph, Node, Shape, Value, compute
from nas.core.errors import ModelFileError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

SMALL = 4096
"""Elements up to which a constant is read and computed with: shapes and scalars, not weights."""

SAME = {"Identity": 0, "Dropout": 0, "Cast": 0, "CastLike": 0, "QuantizeLinear": 0, "DequantizeLinear": 0, "DynamicQuantizeLinear": 0}
"""Nodes that runtimes drop, or execute within the neighbour: the output is the input (of that index)."""

PLAIN = {
    "QLinearConv": ("Conv", (0, 3, 8)),
    "ConvInteger": ("Conv", (0, 1)),
    "QLinearMatMul": ("MatMul", (0, 3)),
    "MatMulInteger": ("MatMul", (0, 1)),
    "QGemm": ("Gemm", (0, 3, 6)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearSigmoid": ("Sigmoid", (0,)),
    "QLinearLeakyRelu": ("LeakyRelu", (0,)),
    "QLinearSoftmax": ("Softmax", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearAveragePool": ("AveragePool", (0,)),
}
"""Quantized nodes, of onnx and of ONNX Runtime, as the node that they compute and its inputs among theirs."""

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization")
"""Nodes whose constants are weights: nothing depends on their numbers, however few."""

RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
"""Nodes that give other numbers each time and so are not constant."""

ADDED = ("activation", "activation_params", "opset", "channels_last")
"""Attributes of such nodes that the plain ones do not have."""


def load(path: Path, input_size: int | None = None) -> Graph:
    """The graph of `path` for a batch of 1; unknown rows and columns of the image are `input_size` pixels.

    Raises:
        ModelFileError: not an ONNX file, damaged or not valid, of another batch, or a size is open; the message says what to do.
    """
    return from_model(parse(path), path, input_size)


def parse(path: Path) -> "ModelProto":
    """The file as it is; weights in files beside it are left there.

    Raises:
        ModelFileError: it cannot be read, or is not an ONNX file.
    """
    import onnx

    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # the decoder's own classes, of a package that is not ours to import
        raise ModelFileError(f"{path} is not an ONNX file, or it is cut off: {first_line(error)}") from error
    if not model.ByteSize():
        raise ModelFileError(f"{path} is not an ONNX file: it is empty, of 0 bytes; export or copy the model again")
    if not model.opset_import:
        raise ModelFileError(f"{path} is not an ONNX file: it does not say of which opset it is")
    if not model.graph.node:
        raise ModelFileError(f"{path} holds a graph without nodes: there is nothing to price; export the whole model")
    return model


def from_model(model: "ModelProto", path: Path, input_size: int | None = None) -> Graph:
    """As `load`, from a model in memory; `path` is named in messages, and weights in other files lie beside it."""
    import onnx.inliner

    onnx_validity.require(model, path)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    walk = _Walk(path, {"" if each.domain == "ai.onnx" else each.domain: each.version for each in model.opset_import})
    for tensor in model.graph.initializer:
        walk.constant(tensor)
    inputs = [value for value in model.graph.input if value.name not in walk.values]
    shapes = input_shapes.of(inputs, model.graph.node, path, input_size)
    for value, shape in zip(inputs, shapes, strict=True):
        walk.values[value.name] = Value(shape, value.type.tensor_type.elem_type)
    walk.graph(model.graph)
    outputs = tuple(walk.name(value.name) for value in model.graph.output)
    graph = Graph(walk.nodes, walk.values, tuple(value.name for value in inputs), outputs, walk.opsets, _precision(model))
    graph.prune()
    return graph


def _precision(model: "ModelProto") -> str:
    from onnx import TensorProto

    if any(node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear", *PLAIN) for node in model.graph.node):
        return "int8"
    halves = sum(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
    floats = sum(tensor.data_type == TensorProto.FLOAT for tensor in model.graph.initializer)
    return "fp16" if halves > floats else "fp32"


@dataclass(slots=True)
class _Walk:
    """The state of one pass over a model: what is known of every tensor so far."""

    path: Path
    opsets: dict[str, int]
    values: dict[str, Value] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    outside: "dict[str, TensorProto]" = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def name(self, name: str) -> str:
        while name in self.renamed:
            name = self.renamed[name]
        return name

    def constant(self, tensor: "TensorProto", name: str = "") -> None:
        """Takes note of an initialiser; its numbers are read if they are few."""
        from onnx import TensorProto, numpy_helper

        array = None
        if tensor.data_location == TensorProto.EXTERNAL:
            self.outside[name or tensor.name] = tensor
        elif prod(tensor.dims) <= SMALL:
            try:
                array = numpy_helper.to_array(tensor)
            except (ValueError, TypeError) as error:
                shown = "x".join(map(str, tensor.dims))
                raise ModelFileError(f"{self.path} is damaged: constant {name or tensor.name!r} is not {shown}: {error}") from error
        self.values[name or tensor.name] = Value(tuple(tensor.dims), tensor.data_type, True, array)

    def read_outside(self, name: str) -> None:
        """Reads the few numbers of `name` from the file beside the model, if they lie there."""
        from onnx import checker, numpy_helper
        from onnx.external_data_helper import load_external_data_for_tensor

        if name not in self.outside or self.values[name].elements > SMALL:
            return
        tensor = self.outside.pop(name)
        try:
            load_external_data_for_tensor(tensor, str(self.path.parent))
        except (
            OSError,
            ValueError,
            RuntimeError,
            checker.ValidationError,
        ):  # what needed the numbers is named as unknown
            return
        value = self.values[name]
        self.values[name] = Value(value.shape, value.type, True, numpy_helper.to_array(tensor))

    def graph(self, graph: "GraphProto") -> None:
        for tensor in graph.initializer:
            if tensor.name not in self.values:
                self.constant(tensor)
        for node in onnx_validity.in_order(graph.node, self.path):
            self.node(node)

    def node(self, proto: "NodeProto") -> None:
        """Computes, drops or keeps one node."""
        from onnx import NodeProto, helper

        node = NodeProto()
        node.CopyFrom(proto)
        del node.input[:]
        node.input.extend(self.name(name) for name in proto.input)
        inputs = [self.values.get(name, Value(None, 0)) if name else Value((), 0, True) for name in node.input]
        known = all(value.constant for value in inputs)
        if node.op_type == "Constant":
            self._constant_node(node)
        elif node.op_type == "If" and inputs[0].array is not None:
            branch = "then_branch" if inputs[0].array.item() else "else_branch"
            taken: Any = next(helper.get_attribute_value(each) for each in node.attribute if each.name == branch)
            self.graph(taken)
            self.renamed.update(zip(node.output, (self.name(out.name) for out in taken.output), strict=True))
        elif node.op_type == "Shape" and inputs[0].shape is not None:
            chosen = {each.name: each.i for each in node.attribute}
            self._known(node.output[0], np.array(inputs[0].shape[chosen.get("start", 0) : chosen.get("end")], np.int64))
        elif node.op_type == "Size" and inputs[0].shape is not None:
            self._known(node.output[0], np.array(inputs[0].elements, np.int64))
        elif node.op_type in SAME and not known:
            self.renamed[node.output[0]] = node.input[0]
            for extra in node.output[1:]:  # scales that are computed at run time
                self.values[extra] = Value((), 1, True)
        else:
            self._general(node, known)

    def _constant_node(self, node: "NodeProto") -> None:
        from onnx import helper, numpy_helper

        attribute = node.attribute[0]
        found: Any = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            self.constant(found, node.output[0])
        elif attribute.name.startswith("value_"):
            kind = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}.get(
                attribute.name
            )
            self.constant(numpy_helper.from_array(np.array(found, kind)), node.output[0])
        else:
            self.values[node.output[0]] = Value(None, 0, True)

    def _known(self, name: str, array: Array) -> None:
        from onnx import helper

        self.values[name] = Value(array.shape, helper.np_dtype_to_tensor_dtype(array.dtype), True, array)

    def _general(self, node: "NodeProto", known: bool) -> None:
        if known or node.op_type not in WEIGHTED:
            for name in node.input:
                self.read_outside(name)
        plain = _plain(node)
        shapes = self._infer(plain)
        small = known and all(shape is not None and prod(shape) <= SMALL for shape, _ in shapes) and node.op_type not in RANDOM
        arrays = self._compute(plain, shapes[0][0]) if small else None
        for index, out in enumerate(node.output):
            if not out:
                continue
            if arrays is not None:
                self._known(out, np.asarray(arrays[index]))
            else:
                shape, kind = shapes[index]
                self.values[out] = Value(shape, kind, known)
        if not known:
            from onnx import helper

            attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            in_shapes = tuple(self.values[name].shape if name in self.values else None for name in plain.input)
            names = tuple(plain.input), tuple(node.output)
            out_shapes = tuple(shape for shape, _ in shapes)
            found = Node(plain.op_type, node.name or node.output[0], *names, attributes, in_shapes, out_shapes)
            onnx_validity.require_node(found, self.path)
            self.nodes.append(found)

    def _infer(self, node: "NodeProto") -> list[tuple[Shape | None, int]]:
        """Shape and element type of each output, as far as the schema can say."""
        from onnx import TensorProto, checker, defs, helper, numpy_helper, shape_inference

        unknown: list[tuple[Shape | None, int]] = [(None, 1)] * len(node.output)
        if node.op_type in SAME:
            return [(self.values[node.input[0]].shape, TensorProto.FLOAT), *unknown[1:]]
        domain = "" if node.domain == "ai.onnx" else node.domain
        schema = _schema(node.op_type, self.opsets.get(domain, defs.onnx_opset_version()), domain)
        values = {name: self.values[name] for name in node.input if name in self.values}
        if schema is None or any(value.shape is None for value in values.values()) or len(values) < len(set(filter(None, node.input))):
            return unknown
        types = {name: helper.make_tensor_type_proto(_float(value.type), value.shape) for name, value in values.items()}
        exact = {name: value.array for name, value in values.items() if value.array is not None and _float(value.type) == value.type}
        data = {name: numpy_helper.from_array(array) for name, array in exact.items()}
        imports = [helper.make_opsetid(name, version) for name, version in self.opsets.items()]
        try:
            found = shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=imports)
        except (shape_inference.InferenceError, checker.ValidationError, RuntimeError, ValueError):
            return unknown
        return [_shape_of(found[out]) if out in found else (None, 1) for out in node.output]

    def _compute(self, node: "NodeProto", shape: Shape | None) -> list[Any] | None:
        """Outputs of a node whose inputs are all constant, or None where their numbers are not known."""
        first = self.values[node.input[0]].array if node.input and node.input[0] else None
        if node.op_type in VIEWS and first is not None and shape is not None:
            return [first.reshape(shape)]
        arrays = {name: array for name in node.input if name and (array := self.values[name].array) is not None}
        return compute(node, arrays, self.opsets) if len(arrays) == len(set(filter(None, node.input))) else None


@cache
def _schema(op_type: str, version: int, domain: str) -> Any:
    from onnx import defs

    try:
        return defs.get_schema(op_type, version, domain)
    except defs.SchemaError:
        return None


def _float(kind: int) -> int:
    """The element type for inference: quantized and short numbers count as float, since casts between them are gone."""
    from onnx import TensorProto

    kept = (TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64, TensorProto.STRING)
    return kind if kind in kept else TensorProto.FLOAT


def _shape_of(found: Any) -> tuple[Shape | None, int]:
    kind = found.tensor_type
    if not kind.HasField("shape") or any(not dim.HasField("dim_value") for dim in kind.shape.dim):
        return None, kind.elem_type or 1
    return tuple(dim.dim_value for dim in kind.shape.dim), kind.elem_type or 1


def _plain(node: "NodeProto") -> "NodeProto":
    """`node`, or what it computes if it is a quantized form of something else."""
    from onnx import NodeProto

    if node.op_type == "QLinearConcat":
        kind, chosen = "Concat", tuple(range(2, len(node.input), 3))
    elif node.op_type in ("FusedConv", "FusedGemm"):
        kind, chosen = node.op_type.removeprefix("Fused"), tuple(range(min(3, len(node.input))))
    elif node.op_type in PLAIN:
        kind, chosen = PLAIN[node.op_type]
    else:
        return node
    plain = NodeProto()
    plain.CopyFrom(node)
    plain.op_type, plain.domain = kind, ""
    del plain.input[:]
    plain.input.extend(node.input[index] for index in chosen if index < len(node.input))
    del plain.attribute[:]
    plain.attribute.extend(each for each in node.attribute if each.name not in ADDED)
    return plain
