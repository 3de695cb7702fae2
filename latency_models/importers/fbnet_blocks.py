"""FBNet blocks as measured for HW-NAS-Bench (Li et al. 2021), ops named "k3_e6" (kernel 3, expand ratio 6) and "k3_e1_g2" (in two groups).

Two forms. A .json is what HW-NAS-Bench's `HW_metrics["fbnet"]` holds, alone or under "fbnet": by "raspi4_latency" or "pixel3_latency"
milliseconds of each layer, whose names say what it is: "ConvBlock_H32_W32_Cin16_Cout16_exp1_kernel3_stride1_group1". It is published as
a pickle, which runs what its author likes and is never opened here; the error says how to make a .json of one that you trust.

A .csv has what was recovered from whole networks, relative to `skip` in the same place of the network: `device, h_in, c_in, c_out,
stride, op, ms_relative_to_skip_in_same_slot, skip_kind`. Where shape is kept, `skip` is the identity and the figure is the block's
whole time. Where it is not, `skip` is a convolution whose time is unknown: one constant for each place. A row "CONST" holds the rest
of the network and is passed over.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency_models.importers import rows
from nas.core.errors import DataError
from nas.core.operators import Operator, convolution, depthwise, elementwise

_OP = re.compile(r"k(?P<kernel>\d+)_e(?P<expand>\d+)(?:_g(?P<groups>\d+))?")
_MS = "ms_relative_to_skip_in_same_slot"
_SKIPS = {"identity": True, "conv1x1_skip": False}
_LAYER = re.compile(
    r"(?P<kind>ConvBlock|ConvNorm|Skip|AvgP|FC)(?:_H(?P<size>\d+)_W(?P=size))?_Cin(?P<channels>\d+)_Cout(?P<out>\d+)"
    r"(?:_exp(?P<expand>\d+))?(?:_kernel(?P<kernel>\d+))?(?:_stride(?P<stride>[12]))?(?:_group(?P<groups>\d+))?"
)


@dataclass(frozen=True, slots=True)
class FbnetBlock:
    """One row. `latency_ms` is the block's where `absolute`, else it lacks a constant that all rows of the `slot` share."""

    op: str
    slot: str
    operators: tuple[Operator, ...]
    latency_ms: float
    absolute: bool


def read(path: Path, device: str) -> tuple[FbnetBlock, ...]:
    """The blocks of `device` ("raspi4" or "pixel3" in the published tables), in the file's order.

    Raises:
        DataError: the file cannot be read or is a pickle, has no such device, or a row is not a block, or there twice; the message
            names file and line, or layer.
    """
    if path.suffix in (".pickle", ".pkl"):
        convert = 'import json, pickle, sys; json.dump(pickle.load(open(sys.argv[1], "rb"))["fbnet"], open(sys.argv[2], "w"))'
        raise DataError(
            f"{path} is a pickle, which can run anything and is not opened here; if you trust it, make the .json of it that is read: "
            f"python -c '{convert}' {path} fbnet.json"
        )
    found, once = tuple(_of_json(path, device) if path.suffix == ".json" else _of_csv(path, device)), rows.Once()
    for where, block in found:
        once.add(where, f"{block.op} in {block.slot}", (block.op, block.slot))
    return tuple(block for _, block in found)


def _of_csv(path: Path, device: str) -> Iterator[tuple[str, FbnetBlock]]:
    others, empty = set(), True
    for where, row in rows.of_csv(path):
        if row.get("device") != device:
            others.add(row.get("device") or "")
        elif row.get("op") != "CONST":
            empty = False
            yield where, _block(where, row)
    if empty:
        raise DataError(f"{path} has no blocks of {device!r}, only of: {', '.join(sorted(filter(None, others))) or 'nobody'}")


def _block(where: str, row: dict[str, str]) -> FbnetBlock:
    try:
        size, channels, out, stride = (int(row[name]) for name in ("h_in", "c_in", "c_out", "stride"))
        took, absolute, op = row[_MS], _SKIPS[row["skip_kind"]], row["op"]
    except (KeyError, ValueError) as error:
        raise DataError(f"{where}: not a row of FBNet blocks ({error!r})") from error
    latency_ms, shape = rows.milliseconds(where, f"op {op!r}", took), _OP.fullmatch(op)
    if shape is None or min(size, channels, out) < 1 or stride not in (1, 2):
        raise DataError(f"{where}: op {op!r} on {channels} to {out} channels is not an FBNet block")
    kernel, expand, groups = int(shape["kernel"]), int(shape["expand"]), int(shape["groups"] or 1)
    operators = _operators(size, channels, out, kernel, stride, expand, groups)
    return FbnetBlock(op, f"{size}px-{channels}-{out}-s{stride}", operators, latency_ms, absolute)


def _of_json(path: Path, device: str) -> Iterator[tuple[str, FbnetBlock]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        once = rows.Once()
        for name, _ in pairs:
            once.add(str(path), name, name)
        return dict(pairs)

    try:
        document = json.loads(rows.text_of(path), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    document = document.get("fbnet", document) if isinstance(document, dict) else {}
    tables = {name.removesuffix("_latency"): table for name, table in document.items() if name.endswith("_latency")}
    if not isinstance(tables.get(device), dict) or not tables[device]:
        raise DataError(f"{path} has no blocks of {device!r}, only of: {', '.join(sorted(tables)) or 'nobody'}")
    for name, took in tables[device].items():
        block = _layer(f"{path}, {device}", name, took)
        if block is not None:
            yield f"{path}, {device}", block


def _layer(where: str, name: str, took: Any) -> FbnetBlock | None:
    """A layer by its name; None for a skip that keeps the shape, of which nothing is executed."""
    found = _LAYER.fullmatch(name)
    if found is None:
        raise DataError(f"{where}: {name!r} is not the name of a layer of HW-NAS-Bench's FBNet space")
    kind, given = found["kind"], {key: int(text) for key, text in found.groupdict().items() if text is not None and key != "kind"}
    try:
        size, channels, out, stride = given.get("size", 1), given["channels"], given["out"], given.get("stride", 1)
        if kind == "Skip" and stride == 1 and channels == out:
            return None
        if kind == "ConvBlock":
            op = f"k{given['kernel']}_e{given['expand']}" + (f"_g{given['groups']}" if given["groups"] > 1 else "")
            operators = _operators(size, channels, out, given["kernel"], stride, given["expand"], given["groups"])
        elif kind == "FC":
            op, operators = "fc", (Operator("linear", channels, out, 1, 1, 1, 1),)
        elif kind == "AvgP":
            op, operators = "pool", (Operator("pool", channels, channels, 1, 1, size, size),)
        else:
            kernel = given["kernel"] if kind == "ConvNorm" else 1
            op, operators = f"conv{kernel}", (convolution(channels, out, kernel, stride, size, size, "relu"),)
    except KeyError as error:
        raise DataError(f"{where}: {name!r} does not say its {error.args[0]}") from error
    return FbnetBlock(op, f"{size}px-{channels}-{out}-s{stride}", operators, rows.milliseconds(where, name, took), absolute=True)


def _operators(size: int, channels: int, out: int, kernel: int, stride: int, expand: int, groups: int) -> tuple[Operator, ...]:
    inner, after = channels * expand, -(-size // stride)
    kind = "grouped" if groups > 1 else "pointwise"
    found = [Operator(kind, channels, inner, 1, 1, size, size, "relu", groups)]
    if groups > 1:
        found.append(elementwise("shuffle", inner, size, size))
    found += [depthwise(inner, kernel, stride, size, size, "relu"), Operator(kind, inner, out, 1, 1, after, after, "", groups)]
    if stride == 1 and channels == out:
        found.append(elementwise("add", out, size, size))
    return tuple(found)
