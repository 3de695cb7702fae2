"""A network as a plain graph of nodes and tensors: what an ONNX file is read into and fusion rewrites."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import NodeProto

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
"""Nodes that only say the shape anew."""


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor: its shape (None where nobody can say), onnx element type, whether it is constant, and its numbers if few."""

    shape: Shape | None
    type: int
    constant: bool = False
    array: Array | None = None

    @property
    def elements(self) -> int:
        """How many numbers it has; 0 where the shape is not known."""
        return prod(self.shape) if self.shape is not None else 0


@dataclass(frozen=True, slots=True)
class Node:
    """One node: operator type, name (the output's where the exporter gave none), tensors by name ("" for those left out).

    `in_shapes` and `out_shapes` are as the node itself sees its tensors, also after a reshape in front of it is gone.
    `channels_last` says that the images it reads are (n, h, w, c).
    """

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    in_shapes: tuple[Shape | None, ...]
    out_shapes: tuple[Shape | None, ...]
    channels_last: bool = False


@dataclass(slots=True)
class Graph:
    """Nodes in an order in which they can run, tensors by name, names of inputs (without weights) and outputs.

    `precision` is that of the file: int8 where it holds quantized nodes, else fp16 or fp32.
    """

    nodes: list[Node]
    values: dict[str, Value]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opsets: Mapping[str, int]
    precision: str

    def users(self) -> dict[str, list[Node]]:
        """The nodes that read each tensor."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(filter(None, node.inputs)):
                found.setdefault(name, []).append(node)
        return found

    def update(self, nodes: Iterable[Node], renamed: Mapping[str, str]) -> None:
        """Sets `nodes`, in which every tensor of `renamed` is called by its new name."""
        known = dict(renamed)

        def new(name: str) -> str:
            passed = []
            while name in known:
                passed.append(name)
                name = known[name]
            known.update(dict.fromkeys(passed, name))  # so that a long chain of names is followed once
            return name

        self.nodes = [replace(node, inputs=tuple(map(new, node.inputs))) for node in nodes]
        self.outputs = tuple(map(new, self.outputs))

    def prune(self) -> None:
        """Drops what no output needs."""
        needed, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]


def compute(node: "NodeProto", arrays: Mapping[str, Array], opsets: Mapping[str, int]) -> list[Any] | None:
    """Outputs of `node` for inputs by name, by onnx's reference implementation; None where it has none."""
    from onnx.reference import ReferenceEvaluator

    try:
        with np.errstate(all="ignore"):
            outputs: Any = ReferenceEvaluator(node, opsets=dict(opsets)).run(None, dict(arrays))
    except Exception:  # whatever the reference implementation cannot do: the node stays what it is
        return None
    return list(outputs)
