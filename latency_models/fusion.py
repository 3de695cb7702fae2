"""What runtimes fuse, found by what nodes compute and not by how an exporter wrote it.

An activation is any group of elementwise nodes that leads from one tensor to one tensor: it is run on numbers from -8 to 8
and compared with the known functions, so that every way of writing h-swish is h-swish. A chain of reshapes and transpositions
is followed to where it leads (`moves`): it is nothing, a channel shuffle, or a copy, whatever axes it went through.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from latency_models import moves
from latency_models.plain_graph import VIEWS, Array, Graph, Node, Shape, compute

UNARY = (
    *("Relu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Clip", "Erf", "Exp", "Sqrt", "Neg", "Abs", "Softplus", "Softsign", "Elu"),
    *("Selu", "Celu", "LeakyRelu", "ThresholdedRelu", "Gelu", "Mish", "Swish", "PRelu", "Reciprocal", "Log", "QuickGelu", "Sin", "Cos"),
    *("Floor", "Ceil", "Round", "Sign"),
)
"""Functions of each number by itself."""

BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum")

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Min", "Max", "Sum", "Clip", "Relu")
"""Of those, and of the functions of one number, what activations are written with that a file does not name."""

DEEPEST = 12
"""Nodes one after the other that an activation is looked for in: the longest way of writing one, gelu by a tanh, has ten."""

SAMPLES = np.linspace(-8, 8, 161, dtype=np.float32)
"""Where activations are compared."""


def fuse(graph: Graph) -> None:
    """Rewrites `graph` with nodes of four more types.

    They are "Activation" (attributes "name", and "nodes" as of an `Operator`), "Affine" (a scale and a shift for each channel, batch
    normalisation among them), "Shuffle" and "Copy". Reshapes, and paddings and expansions that the next node takes in, are gone.
    """
    _layouts(graph)
    _moves(graph)
    _conversions(graph)
    _taken_in(graph)
    _activations(graph)
    _affine(graph)


def size(shape: Shape | None) -> int:
    """Numbers in a tensor of `shape`; 0 if that is not known."""
    return math.prod(shape) if shape is not None else 0


def _layouts(graph: Graph) -> None:
    """Marks nodes whose images are (n, h, w, c): between transpositions, or from an input of that kind."""
    last = {name for name in graph.inputs if _looks_channels_last(graph.values[name].shape)}
    nodes = []
    for node in graph.nodes:
        marked = any(name in last for name in node.inputs)
        nodes.append(replace(node, channels_last=marked))
        order = tuple(node.attributes.get("perm", ()))
        rank_kept = len(node.out_shapes[0] or ()) == 4
        stays = marked and rank_kept and node.type not in ("Conv", "MaxPool", "AveragePool") and order != (0, 3, 1, 2)
        if stays or (node.type == "Transpose" and order == (0, 2, 3, 1)):
            last.update(node.outputs)
    graph.nodes = nodes


def _looks_channels_last(shape: Shape | None) -> bool:
    return shape is not None and len(shape) == 4 and shape[3] <= 4 < min(shape[1:3])


def _moves(graph: Graph) -> None:
    """Chains of reshapes and transpositions become one "Shuffle", one "Copy" or nothing."""
    users, nodes = graph.users(), list[Node]()
    taken: set[int] = set()
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        if id(node) in taken:
            continue
        if node.type not in (*VIEWS, "Transpose") or node.in_shapes[0] is None or node.out_shapes[0] is None:
            nodes.append(node)
            continue
        chain = [node]
        while chain[-1].outputs[0] not in graph.outputs and len(next_ := users.get(chain[-1].outputs[0], [])) == 1:
            if next_[0].type not in (*VIEWS, "Transpose") or next_[0].out_shapes[0] is None:
                break
            chain.append(next_[0])
        taken.update(map(id, chain))
        at_edge = node.inputs[0] in graph.inputs or chain[-1].outputs[0] in graph.outputs
        kind = moves.kind_of(chain)
        if not kind or (at_edge and kind == "Layout"):
            renamed[chain[-1].outputs[0]] = node.inputs[0]
        else:
            name = next(each.name for each in chain if each.type == "Transpose")
            nodes.append(replace(node, type=kind, name=name, outputs=chain[-1].outputs, out_shapes=chain[-1].out_shapes))
    graph.update(nodes, renamed)


ORDERED = (
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "LRN", "Resize", "Upsample", "InstanceNormalization"),
    *("MatMul", "Gemm", "LayerNormalization", "Softmax", "LogSoftmax"),
)
"""Nodes that need their input in memory as its shape says; all others compute in either order."""


def _conversions(graph: Graph) -> None:
    """Takes "Layout" nodes out and inserts a "Copy" where a tensor is then in another memory order than its reader needs.

    So runtimes do: they move such transpositions through elementwise nodes and cancel them, and execute what is left. The
    order of the network's input is free, and of what elementwise nodes make of it.
    """
    turned: set[str] = set()
    free = set(graph.inputs)
    copied: dict[str, str] = {}
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.type == "Layout":
            renamed[node.outputs[0]] = node.inputs[0]
            if node.inputs[0] in free:
                free.add(node.outputs[0])
            elif node.inputs[0] not in turned:
                turned.add(node.outputs[0])
            continue
        computed = [not (name in graph.values and graph.values[name].constant) for name in node.inputs]
        images = [yes and _is_image(shape, node.channels_last) for yes, shape in zip(computed, node.in_shapes, strict=True)]
        images = [image and name not in free for name, image in zip(node.inputs, images, strict=True)]
        orders = [name in turned for name, image in zip(node.inputs, images, strict=True) if image]
        if not orders and node.type not in ORDERED and free.intersection(node.inputs):
            free.update(node.outputs)
        wanted = node.type not in ORDERED and bool(orders) and orders[0]
        inputs = list(node.inputs)
        for index, name in enumerate(node.inputs):
            if not images[index] or (name in turned) == wanted:
                continue
            if name not in copied:
                copied[name] = f"{name} in the other order"
                shape = (node.in_shapes[index],)
                moved = replace(node, type="Copy", inputs=(name,), outputs=(copied[name],), in_shapes=shape, out_shapes=shape)
                nodes.append(replace(moved, attributes={}))
            inputs[index] = copied[name]
        if wanted:
            turned.update(node.outputs)
        nodes.append(replace(node, inputs=tuple(inputs)))
    graph.update(nodes, renamed)


def _is_image(shape: Shape | None, channels_last: bool) -> bool:
    """Whether a tensor has several channels and several pixels, so that their order matters."""
    if shape is None or len(shape) < 3:
        return False
    channels = shape[-1] if channels_last or len(shape) == 3 else shape[1]
    return channels > 1 and size(shape) > channels


def _taken_in(graph: Graph) -> None:
    """Paddings that convolutions and pools take in, expansions that elementwise nodes do, and slices of everything."""
    users, renamed = graph.users(), {}
    within: dict[str, Shape] = {}
    takers = {"Pad": ("Conv", "MaxPool", "AveragePool"), "Expand": BINARY}
    nodes = []
    for node in graph.nodes:
        # a taken-in padding has the unpadded shape for its reader
        pairs = zip(node.inputs, node.in_shapes, strict=True)
        node = replace(node, in_shapes=tuple(_ordered(within[name], node) if name in within else shape for name, shape in pairs))
        out, readers = node.outputs[0], users.get(node.outputs[0], [])
        shape = node.in_shapes[0] if node.in_shapes else None
        free = node.type in ("Slice", "Expand", "Concat", "Tile", "Pad") and shape == node.out_shapes[0]
        absorbed = node.type in takers and readers and all(each.type in takers[node.type] for each in readers)
        if shape is not None and (free or (absorbed and out not in graph.outputs)):
            renamed[out] = node.inputs[0]
            within[out] = shape if len(shape) != 4 or not node.channels_last else (shape[0], shape[3], *shape[1:3])
        else:
            nodes.append(node)
    graph.update(nodes, renamed)


def _ordered(shape: Shape, node: Node) -> Shape:
    """`shape`, channels first, in the order that `node` reads."""
    return (shape[0], *shape[2:], shape[1]) if node.channels_last and len(shape) == 4 else shape


def _activations(graph: Graph) -> None:
    """Groups of elementwise nodes that compute a known function become one "Activation"."""
    users = graph.users()
    order = {node.outputs[0]: index for index, node in enumerate(graph.nodes)}
    gone: set[int] = set()
    new: dict[int, Node] = {}
    renamed: dict[str, str] = {}
    for root in [*graph.inputs, *(out for node in graph.nodes for out in node.outputs)]:
        group = [each for each in _group(graph, root, users, order) if order[each[0].outputs[0]] not in gone]
        for last, numbers in reversed(group):
            name = recognise(numbers)
            members = _ancestors(last, [node for node, _ in group])
            if name is None or _seen_outside(members, last, users, graph.outputs):
                continue
            if name == "" and root in graph.inputs and last.outputs[0] in graph.outputs:
                continue
            gone.update(order[node.outputs[0]] for node in members)
            if name:
                shape = (last.out_shapes[0],)
                written_out = all(node.type in ARITHMETIC for node in members)
                index, found = order[last.outputs[0]], {"name": name, "nodes": len(members) if written_out else 1}
                new[index] = replace(last, type="Activation", inputs=(root,), attributes=found, in_shapes=shape, out_shapes=shape)
            else:
                renamed[last.outputs[0]] = root
            break
    kept = (new.get(index, node) for index, node in enumerate(graph.nodes) if index in new or index not in gone)
    graph.update(kept, renamed)


def _group(graph: Graph, root: str, users: Mapping[str, list[Node]], order: Mapping[str, int]) -> list[tuple[Node, Array]]:
    """Elementwise nodes that depend on `root` and constant scalars alone, in order, with their outputs at `SAMPLES`.

    They are at most `DEEPEST` nodes away, so that the work grows with the graph and not with its square.
    """
    found: list[tuple[Node, Array]] = []
    known: dict[str, Array] = {root: SAMPLES}
    depth = {root: 0}
    waiting = [order[node.outputs[0]] for node in users.get(root, [])]
    heapq.heapify(waiting)
    while waiting:
        node = graph.nodes[heapq.heappop(waiting)]
        if node.outputs[0] in known or node.type not in (*UNARY, *BINARY):
            continue
        sizes = {size(shape) for name, shape in zip(node.inputs, node.in_shapes, strict=True) if name in known}
        arrays = {name: known[name] if name in known else _scalar(graph, name) for name in node.inputs if name}
        complete = {name: array for name, array in arrays.items() if array is not None}
        if len(complete) < len(arrays) or sizes != {size(node.out_shapes[0])} or 0 in sizes:
            continue
        numbers = _run(node, complete, graph.opsets)
        if numbers is None:
            continue
        known[node.outputs[0]] = numbers
        depth[node.outputs[0]] = 1 + max(depth.get(name, 0) for name in node.inputs)
        found.append((node, numbers))
        if depth[node.outputs[0]] == DEEPEST:
            continue
        for user in users.get(node.outputs[0], []):
            heapq.heappush(waiting, order[user.outputs[0]])
    return found


def _scalar(graph: Graph, name: str) -> Array | None:
    value = graph.values.get(name)
    if value is None or not value.constant or value.array is None or value.elements != 1:
        return None
    return value.array.astype(np.float32).reshape(())


def _run(node: Node, arrays: Mapping[str, Array], opsets: Mapping[str, int]) -> Array | None:
    from onnx import helper

    if node.type == "Clip":  # the reference implementation ignores the bound 0 below opset 11
        low, high = (_bound(node, arrays, index) for index in (0, 1))
        return np.clip(arrays[node.inputs[0]], low, high)
    proto = helper.make_node(node.type, node.inputs, ["y"], **node.attributes)
    found = compute(proto, arrays, opsets)
    return None if found is None or np.shape(found[0]) != SAMPLES.shape else np.asarray(found[0], np.float32)


def _bound(node: Node, arrays: Mapping[str, Array], index: int) -> Array | float | None:
    """Lower (0) or upper (1) bound of a Clip: an attribute below opset 11, then an input."""
    name = node.inputs[index + 1] if len(node.inputs) > index + 1 else ""
    found: Array | float | None = arrays[name] if name else node.attributes.get(("min", "max")[index])
    return found


def _ancestors(last: Node, group: Sequence[Node]) -> list[Node]:
    """Those of `group`, which is in order, that `last` needs, and itself."""
    needed, found = {last.outputs[0]}, []
    for node in reversed(group):
        if node.outputs[0] in needed:
            found.append(node)
            needed.update(node.inputs)
    return found


def _seen_outside(members: Sequence[Node], last: Node, users: Mapping[str, list[Node]], outputs: Sequence[str]) -> bool:
    """Whether something beside `members` reads what one of them, other than `last`, writes."""
    inside = {node.outputs[0] for node in members}
    hidden = inside - {last.outputs[0]}
    return bool(hidden.intersection(outputs)) or any(user.outputs[0] not in inside for name in hidden for user in users.get(name, []))


@cache
def _known() -> tuple[tuple[str, ...], Array]:
    """Names of activations, and (names, samples) what they make of `SAMPLES`; "" changes nothing."""
    x = SAMPLES.astype(float)
    sigmoid = 1 / (1 + np.exp(-x))
    erf = np.array([math.erf(each / math.sqrt(2)) for each in x])
    found = {
        "": x,
        "relu": np.maximum(x, 0),
        "relu6": np.clip(x, 0, 6),
        "hard_swish": x * np.clip(x + 3, 0, 6) / 6,
        "sigmoid": sigmoid,
        "swish": x * sigmoid,
        "gelu": x * (1 + erf) / 2,
        "gelu (tanh)": x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
        "gelu (quick)": x / (1 + np.exp(-1.702 * x)),
        "tanh": np.tanh(x),
        "mish": x * np.tanh(np.log1p(np.exp(x))),
        "softplus": np.log1p(np.exp(x)),
        "softsign": x / (1 + np.abs(x)),
    }
    return tuple(found), np.stack(list(found.values()))


def recognise(numbers: Array) -> str | None:
    """Name of the activation that maps `SAMPLES` to `numbers`, "" if it changes nothing, None if it is none that is known."""
    names, expected = _known()
    same = np.all(np.abs(numbers - expected) <= 2e-3 + 1e-3 * np.abs(expected), axis=1)
    if same.any():
        return names[int(same.argmax())].partition(" ")[0]
    below, zero, above = numbers[0], numbers[SAMPLES.size // 2], numbers[-1]
    if above - below > 1e-3 and np.allclose(numbers, np.clip(SAMPLES, below, above), atol=1e-4):
        return "clip"
    slope = float(numbers[SAMPLES.size // 2 + 1] - zero) / float(SAMPLES[1] - SAMPLES[0])
    if (below, above) == (0, 1) and np.allclose(numbers, np.clip(slope * SAMPLES + zero, 0, 1), atol=2e-3):
        return "hard_sigmoid"
    positive = SAMPLES >= 0
    if not np.allclose(numbers[positive], SAMPLES[positive], atol=1e-4) or not below < 0:
        return None
    if np.allclose(numbers[~positive], SAMPLES[~positive] * below / SAMPLES[0], rtol=1e-3):
        return "leaky_relu"
    return "elu" if np.allclose(numbers[~positive], -below * np.expm1(SAMPLES[~positive]), rtol=1e-2, atol=2e-3) else None


def _affine(graph: Graph) -> None:
    """Batch norms, and products and sums with a constant for each channel, become "Affine"; several in a row become one."""
    users = graph.users()
    nodes: list[Node] = []
    renamed: dict[str, str] = {}
    last: dict[str, int] = {}
    for node in graph.nodes:
        source = _scaled(node, graph)
        if source is None:
            nodes.append(node)
            continue
        name = node.inputs[source]
        before = last.get(renamed.get(name, name))
        if before is not None and len(users[name]) == 1 and name not in graph.outputs:
            renamed[node.outputs[0]] = nodes[before].outputs[0]
            continue
        last[node.outputs[0]] = len(nodes)
        shape = (node.in_shapes[source],)
        nodes.append(
            replace(node, type="Affine", inputs=(name,), outputs=node.outputs[:1], in_shapes=shape, out_shapes=shape, attributes={})
        )
    graph.update(nodes, renamed)


def _scaled(node: Node, graph: Graph) -> int | None:
    """Which input `node` scales or shifts by a constant for each channel; None if it does something else."""
    if node.type == "BatchNormalization":
        return 0
    constant = [name in graph.values and graph.values[name].constant for name in node.inputs]
    if node.type not in ("Add", "Sub", "Mul", "Div") or sum(constant) != 1:
        return None
    shape = node.in_shapes[constant.index(True)]
    per_channel = shape is not None and sum(each > 1 for each in shape) <= 1
    source = constant.index(False)
    return source if per_channel and size(node.in_shapes[source]) == size(node.out_shapes[0]) > 0 else None
