"""An ONNX file of any exporter as the fused operators that a runtime executes: what networks that are not ours are priced from.

Free are reshapes, casts, quantize and dequantize nodes (the precision is the target's matter), dropout, everything that is
computed from constants, and transpositions at the network's edges, which a converter removes. What has no price is named:
transposed convolutions, products of two computed matrices (attention), recurrent nodes and whatever is not in the tables here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latency_models import fusion, onnx_file, unpriced
from latency_models.fusion import size
from latency_models.plain_graph import Graph, Node, Shape
from latency_models.unpriced import Unpriced
from nas.core.operators import CONVOLUTIONS, ELEMENTWISE, Operator, elementwise

FUSES_ACTIVATION = (*CONVOLUTIONS, "linear", "add", "multiply", "se_scale", "normalise")
"""Kinds that carry the activation after them; after others it is an operator of its own."""

KINDS = {
    **dict.fromkeys(("Add", "Sub", "Sum", "Max", "Min", "Mean"), "add"),
    **dict.fromkeys(("Mul", "Div", "Pow"), "multiply"),
    **dict.fromkeys(("LRN", "Affine", "InstanceNormalization", "GroupNormalization", "LayerNormalization"), "normalise"),
    **dict.fromkeys(("LpNormalization", "MeanVarianceNormalization", "RMSNormalization", "SimplifiedLayerNormalization"), "normalise"),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), "softmax"),
    **dict.fromkeys(("Expand", "Tile", "SpaceToDepth", "DepthToSpace", "Copy", "Transpose"), "copy"),
    **dict.fromkeys(("Resize", "Upsample"), "resize"),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "ReduceMean", "ReduceMax", "ReduceSum"), "pool"),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), "window_pool"),
    **dict.fromkeys(("Split", "Slice", "Gather"), "split"),
    **{"Concat": "concat", "Shuffle": "shuffle", "Pad": "pad"},
}
"""Kind of operator by type of node; `Conv`, `Gemm`, `MatMul` and activations have rules of their own."""


@dataclass(frozen=True, slots=True)
class OnnxNetwork:
    """What a file executes: fused `operators` in order, and the `names` of the nodes that each begins with.

    `unpriced` are the nodes without a price; `inputs` are the names and shapes that were assumed, and
    `precision` is that of the file's own numbers: fp32, fp16 or int8.
    """

    operators: tuple[Operator, ...]
    names: tuple[str, ...]
    unpriced: tuple[Unpriced, ...]
    inputs: tuple[tuple[str, Shape], ...]
    precision: str

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all operators."""
        return sum(operator.macs for operator in self.operators)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The nodes without a price, as "Type name"."""
        return tuple(one.name for one in self.unpriced)

    @property
    def priced_share(self) -> float:
        """The share of the work that has a price, from 0 to 1."""
        return unpriced.priced_share(self.macs, self._elements, len(self.operators), self.unpriced)

    @property
    def bounded(self) -> bool:
        """Whether what has no price is so little that a price has an upper bound."""
        return unpriced.negligible(self.macs, self._elements, self.unpriced)

    @property
    def _elements(self) -> int:
        """Numbers that all operators read and write."""
        return sum(operator.in_elements + operator.out_elements + operator.weights for operator in self.operators)

    @property
    def weights(self) -> int:
        """Parameters once batch norms are folded."""
        return sum(operator.weights for operator in self.operators)


def read(path: Path, input_size: int | None = None) -> OnnxNetwork:
    """The operators of the ONNX file, for one image; `input_size` fills in rows and columns that the file leaves open.

    Raises:
        ModelFileError: not an ONNX file, damaged or not valid, of another batch, or the image's size is open; the message says what to do.
    """
    return network(onnx_file.load(path, input_size))


def network(graph: Graph) -> OnnxNetwork:
    """The operators of `graph`, which is rewritten on the way."""
    fusion.fuse(graph)
    users = {name: len(nodes) for name, nodes in graph.users().items()}
    for name in graph.outputs:
        users[name] = users.get(name, 0) + 1
    found: list[tuple[str, Operator]] = []
    unknown: list[Unpriced] = []
    made: dict[str, int] = {}
    slices: dict[str, int] = {}
    for node in graph.nodes:
        before = made.get(node.inputs[0]) if node.inputs and users.get(node.inputs[0]) == 1 else None
        if before is not None and (fused := _fused(found[before][1], node)) is not None:
            found[before] = (found[before][0], fused)
            made[node.outputs[0]] = before
            continue
        operators = _operators(node, graph)
        if operators is None:
            unknown.append(unpriced.of(node))
            continue
        if node.type in ("Slice", "Gather") and operators[0].kind == "split":
            first = slices.setdefault(node.inputs[0], len(found))
            if first < len(found):  # another part of the same tensor: one split
                name, part = found[first]
                total = part.out_channels + operators[0].out_channels
                found[first] = (name, replace(part, in_channels=total, out_channels=total))
                continue
        found += [(node.name, operator) for operator in operators]
        if len(node.outputs) == 1 and operators:
            made[node.outputs[0]] = len(found) - 1
    names, operators_found = tuple(name for name, _ in found), tuple(operator for _, operator in found)
    inputs = tuple((name, graph.values[name].shape or ()) for name in graph.inputs)
    return OnnxNetwork(operators_found, names, tuple(unknown), inputs, graph.precision)


def _fused(before: Operator, node: Node) -> Operator | None:
    """`before` with the scale and shift or the activation that `node` is, or None if it stays by itself."""
    if before.activation or before.out_elements != size(node.in_shapes[0]):
        return None
    if node.type == "Affine" and before.kind in (*CONVOLUTIONS, "linear"):
        return before
    name = _activation(node)
    return replace(before, activation=name, nodes=_nodes(node)) if name and before.kind in FUSES_ACTIVATION else None


def _activation(node: Node) -> str:
    """Name of the function that `node` computes of each number, "" if it does something else."""
    if node.type == "Activation":
        return str(node.attributes["name"])
    names = {"QuickGelu": "gelu", "HardSigmoid": "hard_sigmoid", "PRelu": "prelu", "LeakyRelu": "leaky_relu", "HardSwish": "hard_swish"}
    return names.get(node.type, node.type.lower()) if node.type in fusion.UNARY else ""


def _nodes(node: Node) -> int:
    """In how many nodes the file writes the activation `node`, as `Operator.nodes`."""
    return int(node.attributes.get("nodes", 1))


def pixels(shape: Shape, channels_last: bool = False) -> tuple[int, int, int]:
    """(channels, rows, columns) of a tensor of one image; of tokens (n, l, c) each is a row."""
    if len(shape) == 4:
        channels, rows, columns = (shape[3], *shape[1:3]) if channels_last else shape[1:]
        return shape[0] * channels, rows, columns
    if len(shape) == 3:
        return shape[2], shape[0] * shape[1], 1
    if len(shape) > 4:
        return math.prod(shape[:-2]), shape[-2], shape[-1]
    return (shape[-1] if shape else 1), (shape[0] if len(shape) == 2 else 1), 1


def _operators(node: Node, graph: Graph) -> list[Operator] | None:
    """What `node` costs, or None if that cannot be said."""
    inputs = [
        shape
        for name, shape in zip(node.inputs, node.in_shapes, strict=True)
        if name and not (name in graph.values and graph.values[name].constant)
    ]
    outputs = [shape for shape in node.out_shapes if shape is not None]
    shapes = [shape for shape in inputs if shape is not None]
    if not outputs or len(shapes) < max(1, len(inputs)) or min(map(size, (*shapes, *outputs))) == 0:
        return None
    if node.type in RULES:
        found = RULES[node.type](node, shapes, outputs, graph)
        return None if found is None else [found]
    channels, height, width = pixels(outputs[0], node.channels_last)
    if name := _activation(node):
        return [replace(elementwise("activation", channels, height, width), activation=name, nodes=_nodes(node))]
    kind = KINDS.get(node.type)
    if kind is None:
        return None
    if kind == "add":
        return [elementwise("add", channels, height, width)] * max(1, len(node.inputs) - 1)
    if kind in ("concat", *ELEMENTWISE):
        return [elementwise(kind, channels, height, width)]
    into = pixels(shapes[0], node.channels_last)
    return [_moved(kind, into, (channels, height, width))]


def _moved(kind: str, into: tuple[int, int, int], out: tuple[int, int, int]) -> Operator:
    """An operator that reads `into` and writes `out`, both (channels, rows, columns)."""
    return Operator(kind, into[0], out[0], 1, 1, *into[1:], out_size=None if into[1:] == out[1:] else out[1:])


def _convolution(node: Node, shapes: Sequence[Shape], outputs: Sequence[Shape], graph: Graph) -> Operator | None:
    weights = node.in_shapes[1]
    if weights is None or len(weights) not in (3, 4) or len(weights) != len(shapes[0]):
        return None
    groups = node.attributes.get("group", 1)
    rows, columns = (*weights[2:], 1)[:2]
    in_channels, out_channels = weights[1] * groups, weights[0]
    if groups == 1:
        kind = "pointwise" if rows == columns == 1 else "dense"
    else:
        kind = "depthwise" if groups == in_channels == out_channels else "grouped"
    found = Operator(kind, in_channels, out_channels, rows, _stride(node), *_sides(shapes[0]), groups=groups if kind == "grouped" else 1)
    found = replace(found, kernel_width=0 if columns == rows else columns, dilation=_dilation(node) if found.taps > 1 else 1)
    found = _sized(found, _sides(outputs[0]))
    activation = node.attributes.get("activation", b"").decode().lower()
    six = activation == "clip" and list(node.attributes.get("activation_params", ())) == [0, 6]
    return replace(found, activation="relu6" if six else activation)


def _sides(shape: Shape) -> tuple[int, int]:
    """(rows, columns) of an image (n, c, h, w), or of a sequence (n, c, l) as one column."""
    return (shape[2], shape[3]) if len(shape) == 4 else (shape[2], 1)


def _stride(node: Node) -> int:
    return max(node.attributes.get("strides") or [1])


def _dilation(node: Node) -> int:
    return max(node.attributes.get("dilations") or [1])


def _sized(operator: Operator, out: tuple[int, int]) -> Operator:
    """`operator` with `out_size` where the padding is not "same"."""
    return operator if (operator.out_height, operator.out_width) == out else replace(operator, out_size=out)


def _window(node: Node, shapes: Sequence[Shape], outputs: Sequence[Shape], graph: Graph) -> Operator | None:
    kernel = node.attributes.get("kernel_shape")
    if not kernel or len(shapes[0]) not in (3, 4):
        return None
    rows, columns = (*kernel, 1)[:2]
    inside, out, channels = _sides(shapes[0]), _sides(outputs[0]), shapes[0][1]
    if out == (1, 1) and rows >= inside[0] and columns >= inside[1]:
        return Operator("pool", channels, channels, 1, 1, *inside)
    found = Operator("window_pool", channels, channels, rows, _stride(node), *inside, kernel_width=0 if columns == rows else columns)
    found = replace(found, dilation=_dilation(node))
    return _sized(found, out)


def _reduced(node: Node, shapes: Sequence[Shape], outputs: Sequence[Shape], graph: Graph) -> Operator | None:
    """Averages over rows and columns; None over channels."""
    shape = shapes[0]
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1] in graph.values and graph.values[node.inputs[1]].array is not None:
        axes = graph.values[node.inputs[1]].array.tolist()  # type: ignore[union-attr]
    if node.type.startswith("Global"):
        axes = range(2, len(shape))
    over = {axis % len(shape) for axis in axes or range(1, len(shape))}
    channels = math.prod(each for axis, each in enumerate(shape) if axis not in over)
    if len(shape) == 4:
        space = (1, 2) if node.channels_last else (2, 3)
        if over == set(space):
            return Operator("pool", channels, channels, 1, 1, shape[space[0]], shape[space[1]])
        if len(over) == 1 and over < set(space):
            kept, height, width = pixels(shape, node.channels_last)
            rows, columns = (height, 1) if over == {space[0]} else (1, width)
            out = (height // rows, width // columns)
            return Operator("window_pool", kept, kept, rows, 1, height, width, kernel_width=columns if columns != rows else 0, out_size=out)
        return None
    if len(shape) == 3 and over in ({1}, {2}):
        return Operator("pool", channels, channels, 1, 1, shape[over.pop()], 1)
    return None


def _matrix(node: Node, shapes: Sequence[Shape], outputs: Sequence[Shape], graph: Graph) -> Operator | None:
    """A linear layer, or a pointwise convolution where it is applied at many places; None for two computed matrices."""
    constant = [name in graph.values and graph.values[name].constant for name in node.inputs[:2]]
    weights = node.in_shapes[constant.index(True)] if sum(constant) == 1 else None
    if weights is None or len(weights) < 2 or math.prod(weights[:-2]) != 1:
        return None
    places = size(outputs[0])
    if constant[1]:
        into, out = weights[-2:] if not node.attributes.get("transB") else weights[:-3:-1]
    else:
        out, into = weights[-2:] if not node.attributes.get("transA") else weights[:-3:-1]
    places //= out
    if places == 1:
        return Operator("linear", into, out, 1, 1, 1, 1)
    rows, columns = (outputs[0][1], places // outputs[0][1]) if len(outputs[0]) == 4 and constant[1] else (places, 1)
    return Operator("pointwise", into, out, 1, 1, rows, columns)


def _product(node: Node, shapes: Sequence[Shape], outputs: Sequence[Shape], graph: Graph) -> Operator:
    """`se_scale` where one factor is a number for each channel, else `multiply`."""
    channels, height, width = pixels(outputs[0], node.channels_last)
    small = min(shapes, key=size)
    gate = len(shapes) == 2 and size(small) == channels < size(outputs[0]) and pixels(small, node.channels_last)[0] == channels
    return elementwise("se_scale" if gate else "multiply", channels, height, width)


def _parts(node: Node, shapes: Sequence[Shape], outputs: Sequence[Shape], graph: Graph) -> Operator:
    """Parts of the channels are a `split`; of rows or columns, a copy; all channels in another order, a shuffle."""
    into, out = pixels(shapes[0], node.channels_last), pixels(outputs[0], node.channels_last)
    if node.type == "Gather" and size(outputs[0]) == size(shapes[0]):
        return elementwise("shuffle", *into)
    if node.type == "Split":
        return elementwise("split", *into)
    if into[1:] == out[1:]:
        return elementwise("split", *out)
    if node.type == "Gather" and len(shapes[0]) == 5 and len(outputs[0]) == 4:
        return elementwise("split", *out)
    return elementwise("copy", *out)


RULES: dict[str, Callable[[Node, Sequence[Shape], Sequence[Shape], Graph], Operator | None]] = {
    "Conv": _convolution,
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _window),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "ReduceMean", "ReduceMax", "ReduceSum"), _reduced),
    **dict.fromkeys(("Gemm", "MatMul"), _matrix),
    **dict.fromkeys(("Mul", "Div", "Pow"), _product),
    **dict.fromkeys(("Split", "Slice", "Gather"), _parts),
}
"""Types of nodes whose operator needs more than the shape of the output."""
