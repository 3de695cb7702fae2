"""FBNet blocks as measured for HW-NAS-Bench (Li et al. 2021): each relative to `skip` in the same place of the network.

A CSV with `device, h_in, c_in, c_out, stride, op, ms_relative_to_skip_in_same_slot, skip_kind`. Ops are "k3_e6" (kernel 3,
expand ratio 6) and "k3_e1_g2" (pointwise layers in two groups, channels shuffled after the first). Where shape is kept, `skip`
is the identity and the figure is the block's whole time. Where it is not, `skip` is a convolution whose time is unknown: one
constant for each place. A row "CONST" holds the rest of the network and is passed over.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from nas.core.errors import DataError
from nas.core.operators import Operator, depthwise, elementwise

_OP = re.compile(r"k(?P<kernel>\d+)_e(?P<expand>\d+)(?:_g(?P<groups>\d+))?")
_MS = "ms_relative_to_skip_in_same_slot"
_SKIPS = {"identity": True, "conv1x1_skip": False}


@dataclass(frozen=True, slots=True)
class FbnetBlock:
    """One row. `latency_ms` is the block's where `absolute`, else it lacks a constant that all rows of the `slot` share."""

    op: str
    slot: str
    operators: tuple[Operator, ...]
    latency_ms: float
    absolute: bool


def read(path: Path, device: str) -> tuple[FbnetBlock, ...]:
    """The blocks of `device`, in the file's order.

    Raises:
        DataError: the file cannot be read, has no such device, or a row is not a block; the message names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    rows = [(f"{path}, line {line}", row) for line, row in enumerate(csv.DictReader(lines), start=2)]
    devices = sorted({row.get("device") or "" for _, row in rows})
    found = tuple(_block(where, row) for where, row in rows if row.get("device") == device and row.get("op") != "CONST")
    if not found:
        raise DataError(f"{path} has no blocks of {device!r}, only of: {', '.join(filter(None, devices)) or 'nobody'}")
    return found


def _block(where: str, row: dict[str, str]) -> FbnetBlock:
    try:
        size, channels, out, stride = (int(row[name]) for name in ("h_in", "c_in", "c_out", "stride"))
        latency_ms, absolute, op = float(row[_MS]), _SKIPS[row["skip_kind"]], row["op"]
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{where}: not a row of FBNet blocks ({error!r})") from error
    shape = _OP.fullmatch(op)
    if shape is None or not 0 < latency_ms < float("inf") or min(size, channels, out) < 1 or stride not in (1, 2):
        raise DataError(f"{where}: op {op!r} of {latency_ms} ms on {channels} to {out} channels is not a measured FBNet block")
    kernel, expand, groups = int(shape["kernel"]), int(shape["expand"]), int(shape["groups"] or 1)
    operators = _operators(size, channels, out, kernel, stride, expand, groups)
    return FbnetBlock(op, f"{size}px-{channels}-{out}-s{stride}", operators, latency_ms, absolute)


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
