"""Whether an ONNX file is one that a runtime would run: what contradicts itself has no latency."""

import heapq
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from latency_models.plain_graph import VIEWS, Node
from nas.core.errors import ModelFileError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


def require(model: "ModelProto", path: Path) -> None:
    """Lets valid models through, by onnx's own checker; it sees neither weights nor shapes, and the order of nodes does not matter.

    Raises:
        ModelFileError: the model is not valid; the message says where.
    """
    from onnx import ModelProto, TensorProto, checker, helper

    plain = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    plain.graph.name = model.graph.name or "graph"
    plain.graph.node.extend(in_order(model.graph.node, path))
    tensors = [*model.graph.initializer, *(each.values for each in model.graph.sparse_initializer)]
    given = dict.fromkeys(each.name for each in (*model.graph.input, *tensors))
    plain.graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, ()) for name in given)
    plain.graph.output.extend(helper.make_tensor_value_info(each.name, TensorProto.FLOAT, ()) for each in model.graph.output)
    made = {name for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if absent := next((name for name in node.input if name and name not in given and name not in made), ""):
            named = node.name or (node.output[0] if node.output else "")
            raise ModelFileError(f"{path} is no valid ONNX model: {node.op_type} {named} reads {absent!r}, which nothing gives")
    try:
        checker.check_model(plain)
    except (checker.ValidationError, ValueError) as error:
        raise ModelFileError(f"{path} is no valid ONNX model: {first_line(error)}. Export it again") from error


def in_order(nodes: "Sequence[NodeProto]", path: Path) -> "list[NodeProto]":
    """`nodes` as they stand, except that none comes before what it reads: some converters append at the end.

    Raises:
        ModelFileError: nodes wait for each other in a circle.
    """
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    missing = [{maker[name] for name in node.input if name in maker} for node in nodes]
    readers: dict[int, list[int]] = {}
    for index, needed in enumerate(missing):
        for before in needed:
            readers.setdefault(before, []).append(index)
    ready = [index for index, needed in enumerate(missing) if not needed]
    ordered: list[NodeProto] = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(nodes[index])
        for reader in readers.get(index, []):
            missing[reader].discard(index)
            if not missing[reader]:
                heapq.heappush(ready, reader)
    if len(ordered) < len(nodes):
        raise ModelFileError(f"{path} is damaged: its nodes wait for each other in a circle")
    return ordered


def require_node(node: Node, path: Path) -> None:
    """Lets nodes through whose attributes fit their tensors, where the checker does not look.

    Raises:
        ModelFileError: they do not; the message says how.
    """
    if problem := _problem(node):
        raise ModelFileError(f"{path} is no valid ONNX model: {node.type} {node.name} {problem}. Export it again")


def _problem(node: Node) -> str:
    """What is wrong with `node`, "" if nothing is or shapes are not known."""
    first, out = (node.in_shapes or (None,))[0], node.out_shapes[0]
    if first is None:
        return ""
    if node.type in VIEWS and out is not None and prod(first) != prod(out):
        return f"makes {_shown(out)} of {_shown(first)}"
    if node.type == "Transpose":
        order = tuple(node.attributes.get("perm", range(len(first))))
        return "" if sorted(order) == list(range(len(first))) else f"has the order {list(order)} for {_shown(first)}"
    if node.type in ("Conv", "ConvTranspose") and len(node.in_shapes) > 1:
        weights, groups = node.in_shapes[1], node.attributes.get("group", 1)
        if groups < 1:
            return f"has {groups} groups"
        if weights is not None and not node.attributes.get("channels_last"):
            fits = len(weights) == len(first) > 2 and first[1] == weights[1] * groups and weights[0] % groups == 0
            if node.type == "ConvTranspose":
                fits = len(weights) == len(first) > 2 and first[1] == weights[0] and weights[0] % groups == 0
            return "" if fits else f"has weights of {_shown(weights)} in {groups} group(s) for an image of {_shown(first)}"
    return ""


def _shown(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "one number"


def first_line(error: Exception) -> str:
    """The first line of what an error says, without its full stop."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
