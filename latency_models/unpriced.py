"""How much work nodes are that have no price: what a price leaves out shows by its size, not by its number."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from latency_models.fusion import BINARY, UNARY, size
from latency_models.plain_graph import VIEWS, Node, Shape

NEGLIGIBLE = 0.01
"""Share of all multiply-accumulates, and of all numbers moved, up to which nodes without a price leave an upper bound standing."""

ONE_PASS = (
    *(*UNARY, *BINARY, *VIEWS, "Transpose", "Slice", "Gather", "Split", "Concat", "Expand", "Tile", "Pad"),
    *("Where", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf", "Mod"),
    *("GatherElements", "GatherND", "ScatterElements", "ScatterND", "OneHot", "Trilu", "CumSum", "ReverseSequence", "Compress"),
    *("ArgMax", "ArgMin", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare"),
)
"""Nodes that look at each number once or so: no multiply-accumulates to speak of."""

RECURRENT = ("LSTM", "GRU", "RNN")


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A node without a price ("Type name"), its multiply-accumulates and the numbers that it reads and writes; None if nobody can say."""

    name: str
    macs: int | None
    elements: int | None

    def __str__(self) -> str:
        return f"{self.name} ({self.macs / 1e6:.1f} M MACs)" if self.macs else self.name


def of(node: Node) -> Unpriced:
    """The work of `node`, as far as its type and the shapes of its tensors tell."""
    shapes = [shape for name, shape in zip(node.inputs, node.in_shapes, strict=True) if name]
    shapes += [shape for name, shape in zip(node.outputs, node.out_shapes, strict=True) if name]
    known = [shape for shape in shapes if shape is not None]
    whole = len(known) == len(shapes) and bool(known)
    return Unpriced(f"{node.type} {node.name}", _macs(node) if whole else None, sum(map(size, known)) if whole else None)


def priced_share(macs: int, elements: int, operators: int, unpriced: Sequence[Unpriced]) -> float:
    """The share of a network's work that has a price, from 0 to 1: of multiply-accumulates, numbers moved or operators, the least.

    The first three are those of its priced operators.
    """
    shares = (_share(macs, (one.macs for one in unpriced)), _share(elements, (one.elements for one in unpriced)))
    return min(*shares, operators / max(1, operators + len(unpriced)))


def negligible(macs: int, elements: int, unpriced: Sequence[Unpriced]) -> bool:
    """Whether `unpriced` is so little beside the priced `macs` and `elements` that a price has an upper bound all the same."""
    if any(one.macs is None or one.elements is None for one in unpriced):
        return False
    shares = (_share(macs, (one.macs for one in unpriced)), _share(elements, (one.elements for one in unpriced)))
    return min(shares) >= 1 - NEGLIGIBLE


def _share(priced: int, unpriced: Iterable[int | None]) -> float:
    missing = sum(each or 0 for each in unpriced)
    return priced / (priced + missing) if missing else 1.0


def _macs(node: Node) -> int | None:
    """Multiply-accumulates of a node whose shapes are all known; None for types that nobody can say it of."""
    if node.type in ONE_PASS:
        return 0
    first, second = ([shape for shape in node.in_shapes if shape is not None] + [(), ()])[:2]
    out = size(node.out_shapes[0])
    if node.type == "Conv":
        return out * math.prod(second[1:])
    if node.type == "ConvTranspose":
        return size(first) * math.prod(second[1:])
    if node.type in ("MatMul", "Gemm"):
        return out * _depth(first, bool(node.attributes.get("transA")))
    if node.type in RECURRENT and len(node.in_shapes) > 2:
        return size(first) // max(1, first[-1]) * (size(second) + size(node.in_shapes[2]))
    return None


def _depth(first: Shape, turned: bool) -> int:
    """Numbers that one output of a matrix product adds up."""
    return first[0 if turned else -1] if first else 0
