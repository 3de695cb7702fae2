"""Latencies of single blocks as published with ProxylessNAS and Once-for-All (mit-han-lab): YAML look-up tables, or a CSV of their rows.

A key says what was measured: "expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0". In tables
with squeeze-and-excitation (Once-for-All) `expand` is the number of inner channels and the key ends in "-se:1-hs:1"; in those
without (ProxylessNAS) it is a ratio. Sizes are rows x columns x channels. The CSV has a column `key`, `mean_ms` beside it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latency_models.importers import rows
from nas.core.errors import DataError
from nas.core.operators import Operator, convolution, depthwise, elementwise, squeeze_excite
from nas.core.space import make_divisible

_IN, _OUT = (rf"(?P<{side}_height>\d+)x(?P<{side}_width>\d+)x(?P<{side}_channels>\d+)" for side in ("in", "out"))
_BLOCK = re.compile(
    rf"expanded_conv-input:{_IN}-output:{_OUT}-expand:(?P<expand>\d+)-kernel:(?P<kernel>\d+)-stride:(?P<stride>[12])"
    r"-idskip:(?P<skip>[01])(?:-se:(?P<se>[01])-hs:(?P<hs>[01]))?"
)
_LAYER = re.compile(rf"(?P<kind>Conv|Conv_1|Conv_2|Logits|AvgPool2D)-input:{_IN}-output:(?:{_OUT}|(?P<classes>\d+))")


@dataclass(frozen=True, slots=True)
class MeasuredBlock:
    """One row: its key, what was executed, and the mean of its timings. `table` is the column of the CSV, or the YAML's name."""

    key: str
    table: str
    operators: tuple[Operator, ...]
    latency_ms: float


def read(path: Path, device: str = "") -> tuple[MeasuredBlock, ...]:
    """Every block of a YAML table, or the rows of a CSV whose column `device` says `device`; needs PyYAML for the former.

    Raises:
        DataError: the file cannot be read, or a row is not a measured block, or there twice; the message names file and line.
    """
    found = list(_csv_rows(path, device) if path.suffix == ".csv" else _yaml_rows(path))
    if not found:
        raise DataError(f"{path} has no blocks" + (f" of {device!r}" if device else ""))
    with_se, once = {table for _, _, table, key, _ in found if "-se:" in key}, rows.Once()
    for where, owner, table, key, _ in found:
        once.add(where, repr(key), (owner, table, key))
    return tuple(_block(where, table, key, mean, table in with_se) for where, _, table, key, mean in found)


def _csv_rows(path: Path, device: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Place, device, table, key and mean of each row."""
    for where, row in rows.of_csv(path):
        if missing := {"key", "mean_ms"} - set(row):
            raise DataError(f"{where}: there is no {' and no '.join(sorted(missing))}")
        if not device or row.get("device") == device:
            yield where, row.get("device", ""), row.get("source_table") or path.name, row["key"], row["mean_ms"]


def _yaml_rows(path: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """The same of a YAML table."""
    import yaml

    try:
        root = yaml.compose(rows.text_of(path), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not YAML: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise DataError(f"{path} is not a table: wanted is a mapping from blocks to their 'mean'")
    for key, value in root.value:
        where = f"{path}, line {key.start_mark.line + 1}"
        entries = {name.value: item.value for name, item in value.value} if isinstance(value, yaml.MappingNode) else {}
        if not isinstance(entries.get("mean"), str):
            raise DataError(f"{where}: {key.value!r} has no 'mean'")
        yield where, "", path.name, str(key.value), entries["mean"]


def _block(where: str, table: str, key: str, mean: str, once_for_all: bool) -> MeasuredBlock:
    latency_ms = rows.milliseconds(where, repr(key), mean)
    if found := _BLOCK.fullmatch(key):
        operators = _expanded({name: int(text) for name, text in found.groupdict().items() if text is not None})
    elif found := _LAYER.fullmatch(key):
        sizes = {name: int(text) for name, text in found.groupdict().items() if text is not None and name != "kind"}
        operators = _layer(found["kind"], sizes, "hard_swish" if once_for_all else "relu6")
    else:
        raise DataError(f"{where}: {key!r} is not the name of a block of ProxylessNAS or Once-for-All")
    last = operators[-1]
    said = found["out_height"] or "1", found["out_width"] or "1"
    if said != (str(last.out_height), str(last.out_width)):
        raise DataError(f"{where}: {key!r} says an output of {said[0]}x{said[1]}, its layers give {last.out_height}x{last.out_width}")
    return MeasuredBlock(key, table, operators, latency_ms)


def _layer(kind: str, size: dict[str, int], act: str) -> tuple[Operator, ...]:
    height, width, channels = size["in_height"], size["in_width"], size["in_channels"]
    out = size.get("classes", size.get("out_channels", 0))
    pool = Operator("pool", channels, channels, 1, 1, height, width)
    if kind == "AvgPool2D":
        return (pool,)
    if kind == "Logits":
        linear = Operator("linear", channels, out, 1, 1, 1, 1)
        return (linear,) if height == width == 1 else (pool, linear)
    return (convolution(channels, out, *((3, 2) if kind == "Conv" else (1, 1)), height, width, act),)


def _expanded(found: dict[str, int]) -> tuple[Operator, ...]:
    """Operators of an inverted residual; without "se" the expansion is a ratio, with it the number of inner channels."""
    height, width, channels, out = (found[name] for name in ("in_height", "in_width", "in_channels", "out_channels"))
    once_for_all = "se" in found
    inner = found["expand"] if once_for_all else channels * found["expand"]
    act = "relu6" if not once_for_all else "hard_swish" if found["hs"] else "relu"
    operators = [convolution(channels, inner, 1, 1, height, width, act)] if inner != channels else []
    spatial = depthwise(inner, found["kernel"], found["stride"], height, width, act)
    operators.append(spatial)
    if found.get("se"):
        operators += squeeze_excite(inner, make_divisible(inner / 4), spatial.out_height, spatial.out_width)
    operators.append(convolution(inner, out, 1, 1, spatial.out_height, spatial.out_width))
    if found["skip"]:
        operators.append(elementwise("add", out, spatial.out_height, spatial.out_width))
    return tuple(operators)
