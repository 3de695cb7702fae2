"""The shapes of a model's inputs for one image: what a file leaves open is filled in, what it fixes otherwise is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from latency_models.plain_graph import Shape
from nas.core.errors import ModelFileError

if TYPE_CHECKING:
    from onnx import NodeProto, ValueInfoProto

RECURRENT = ("LSTM", "GRU", "RNN")
"""Nodes that read (steps, batch, numbers) where their layout is 0, as it is unless they say otherwise."""


def of(inputs: "Sequence[ValueInfoProto]", nodes: "Sequence[NodeProto]", path: Path, input_size: int | None) -> list[Shape]:
    """The shape of each input; open rows and columns of images are `input_size` pixels, and the batch is 1.

    The batch is that of the images, or of the first input where there are none. Others, such as states, stay as they are but for open
    sizes that are called like the batch or stand first, which are 1.

    Raises:
        ModelFileError: the batch is fixed to more than 1, or a size is open that nobody gave.
    """
    batch_name, axis = _batch(inputs, nodes, path)
    shared = next((_dims(value, path)[axis][1] for value in inputs if value.name == batch_name), "")
    found = []
    for value in inputs:
        dims = _dims(value, path)
        sizes = [1 if size <= 0 and shared and name == shared else size for size, name in dims]
        if value.name == batch_name:
            if sizes[axis] > 1 and len(sizes) > 1:
                raise ModelFileError(
                    f"{path} is fixed to a batch of {sizes[axis]} (input {value.name!r}, {_shown(dims)}) and latencies hold for one image: "
                    "export it again with a batch of 1 or an open (dynamic) batch"
                )
            sizes[axis] = max(1, sizes[axis])
        elif sizes:
            sizes[0] = sizes[0] if sizes[0] > 0 else 1
        found.append(_filled(value.name, sizes, dims, path, input_size))
    return found


def _batch(inputs: "Sequence[ValueInfoProto]", nodes: "Sequence[NodeProto]", path: Path) -> tuple[str, int]:
    """Name of the input that says the batch, and its axis."""
    ranks = {value.name: len(_dims(value, path)) for value in inputs}
    main = next((name for name, rank in ranks.items() if rank >= 4), next((name for name, rank in ranks.items() if rank), ""))
    readers = [node for node in nodes if node.op_type in RECURRENT and node.input[0] == main]
    steps_first = any(not any(each.name == "layout" and each.i for each in node.attribute) for node in readers)
    return main, int(steps_first and ranks[main] > 1)


def _dims(value: "ValueInfoProto", path: Path) -> list[tuple[int, str]]:
    """Size (0 where it is open) and name of each axis."""
    if not value.type.tensor_type.HasField("shape"):
        raise ModelFileError(f"{path}: the shape of input {value.name!r} is not stated; export the model with a fixed input shape")
    return [(dim.dim_value, dim.dim_param) for dim in value.type.tensor_type.shape.dim]


def _shown(dims: Sequence[tuple[int, str]]) -> str:
    return "x".join(str(size) if size > 0 else (name or "?") for size, name in dims)


def _filled(name: str, sizes: list[int], dims: Sequence[tuple[int, str]], path: Path, input_size: int | None) -> Shape:
    """`sizes` with rows and columns of `input_size` pixels where they are open."""
    last = len(sizes) == 4 and 0 < sizes[3] <= 4 and not any(0 < each <= 4 for each in sizes[1:3])
    space = {1, 2} if last else set(range(2, len(sizes)))
    if input_size is not None and len(sizes) == 4:
        fixed = {sizes[axis] for axis in space if sizes[axis] > 0} - {input_size}
        if fixed:
            raise ModelFileError(f"{path} is fixed to images of {max(fixed)} px ({_shown(dims)}): it has no price at {input_size} px")
        sizes = [input_size if axis in space and size <= 0 else size for axis, size in enumerate(sizes)]
    if missing := {axis for axis, size in enumerate(sizes) if size <= 0}:
        pixels = len(sizes) == 4 and missing <= space
        advice = "pass --input-size 224 (pixels) or export" if pixels else "--input-size gives rows and columns alone: export"
        raise ModelFileError(f"{path} does not say how large its input {name!r} is ({_shown(dims)}): {advice} the model with a fixed shape")
    return tuple(sizes)
