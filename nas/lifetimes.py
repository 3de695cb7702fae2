"""Peak memory of the activations of any ONNX file, from the lifetimes of its tensors: nothing is run.

The rule is that of `nas.footprint`: operators run in the file's order; a tensor lives from the operator that writes it to the
last one that reads it, inputs from the start and outputs to the end. Activations, and quantization, are part of the operator
before them; elementwise operators write over an input that is not read again; reshapes move nothing; the rest writes anew.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas.core.errors import ExportError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "DequantizeLinear")
"""Their output is their input, seen in another way; what reads a dequantized tensor reads the integers."""

ACTIVATIONS = ("Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "LeakyRelu", "PRelu", "Elu", "Gelu", "BatchNormalization")
"""Elementwise functions of one tensor."""

IN_PLACE = (*ACTIVATIONS, "Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Pow", "Softmax", "Cast")
"""May write over an input."""

ABSORBED = (*ACTIVATIONS, "QuantizeLinear")
"""Part of the operator that wrote what they read, if nothing else reads it."""

_GATES = ("HardSigmoid", "Sigmoid")
"""x * gate(x) is an activation too: h-swish or swish in a file whose opset has no operator for it."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One execution: tensors (by the name of what owns their memory) that are read and written."""

    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def peak_memory_mb(path: Path, batch: int = 1) -> float:
    """Peak of the activations of `batch` images in MB (10^6 bytes), graph inputs and outputs included, weights not.

    Raises:
        ExportError: the file cannot be read, or the size of a tensor cannot be inferred.
    """
    import onnx

    try:
        model = onnx.load(path)
        for value in model.graph.input:
            if value.type.tensor_type.shape.dim and value.type.tensor_type.shape.dim[0].dim_param:
                value.type.tensor_type.shape.dim[0].dim_value = batch
        del model.graph.value_info[:]
        for value in model.graph.output:
            if value.type.tensor_type.shape.dim and value.type.tensor_type.shape.dim[0].dim_param:
                value.type.tensor_type.shape.dim[0].Clear()
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx and protobuf share no base class for a file that is none
        raise ExportError(f"{path} cannot be read as ONNX: {str(error).partition(chr(10))[0]}") from error
    if not model.graph.node:
        raise ExportError(f"{path} cannot be read as ONNX: it holds no operators")
    return _peak_bytes(inferred, path) / 1e6


def _peak_bytes(model: "ModelProto", path: Path) -> int:
    graph = model.graph
    constants = _constants(graph)
    inputs = [value.name for value in graph.input if value.name not in constants]
    steps, owners = _steps(graph, constants)
    outputs = {owners.get(value.name, value.name) for value in graph.output}
    sizes = _sizes(graph, {*inputs, *(name for step in steps for name in step.writes)}, path)
    last = {name: number for number, step in enumerate(steps) for name in (*step.writes, *step.reads)}
    last |= dict.fromkeys(outputs, len(steps))
    alive = set(inputs)
    peak = sum(sizes[name] for name in alive)
    for number, step in enumerate(steps):
        dying = {name for name in step.reads if last[name] == number}
        written = sum(sizes[name] for name in step.writes)
        over = step.kind in IN_PLACE and any(sizes[name] == written for name in dying.difference(inputs))
        peak = max(peak, sum(sizes[name] for name in alive) + (0 if over else written))
        alive = {name for name in alive | set(step.writes) if last[name] > number}
    return peak


def _constants(graph: "GraphProto") -> set[str]:
    """Tensors that do not depend on an input."""
    found = {tensor.name for tensor in graph.initializer} | {""}
    for node in graph.node:
        if all(name in found for name in node.input):
            found |= set(node.output)
    return found


def _steps(graph: "GraphProto", constants: set[str]) -> tuple[list[_Step], Mapping[str, str]]:
    """The executions of `graph` in order, and for every view the tensor that has its memory."""
    owners: dict[str, str] = {}
    steps: list[_Step] = []
    writers: dict[str, int] = {}
    nodes = [node for node in _without_gates(graph) if not set(node.writes) <= constants]
    readers = Counter(name for node in nodes for name in node.reads) + Counter(value.name for value in graph.output)
    for node in nodes:
        source, (target, *_) = node.reads[0], node.writes
        if node.kind in VIEWS and source not in constants:
            owners[target] = owners.get(source, source)
        elif node.kind in ABSORBED and source in writers and readers[source] == 1:
            number = writers[target] = writers.pop(source)
            writes = tuple(target if name == source else name for name in steps[number].writes)
            steps[number] = replace(steps[number], writes=writes)
        else:
            reads = tuple(dict.fromkeys(owners.get(name, name) for name in node.reads if name not in constants))
            writers |= dict.fromkeys(node.writes, len(steps))
            steps.append(_Step(node.kind, reads, node.writes))
    return steps, owners


def _without_gates(graph: "GraphProto") -> Sequence[_Step]:
    """The nodes of `graph`, with every x * gate(x) as one activation of x."""
    nodes = [_Step(node.op_type, tuple(node.input), tuple(name for name in node.output if name)) for node in graph.node]
    readers = Counter(name for node in nodes for name in node.reads)
    gates = {node.writes[0]: node.reads[0] for node in nodes if node.kind in _GATES and readers[node.writes[0]] == 1}
    found: list[_Step] = []
    merged: set[str] = set()
    for node in nodes:
        gate = next((name for name in node.reads if node.kind == "Mul" and gates.get(name) in node.reads), "")
        if gate and readers[gates[gate]] == 2:
            node = _Step("HardSwish", (gates[gate],), node.writes)
            merged.add(gate)
        found.append(node)
    return [node for node in found if merged.isdisjoint(node.writes)]


def _sizes(graph: "GraphProto", names: set[str], path: Path) -> Mapping[str, int]:
    """Bytes of each of the tensors `names`."""
    from onnx import helper

    sizes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        shape = [dimension.dim_value for dimension in kind.shape.dim]
        if kind.HasField("shape") and all(length > 0 for length in shape):
            sizes[value.name] = math.prod(shape) * helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    unknown = sorted(names - sizes.keys())
    if unknown:
        raise ExportError(f"the size of {unknown[0]} in {path} cannot be inferred: export it with fixed sizes of its images")
    return sizes
