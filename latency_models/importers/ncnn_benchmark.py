"""Networks timed by benchncnn on many boards, and the layers that they consist of (Tencent/ncnn @a4d2ea1).

Two tables: times (board, threads, powersave, GPU or CPU, network, min and mean of the loops) and layers of each network's
.param file as ncnn executes it, that is with batch norms folded and activations fused where ncnn fuses them. The minimum
is read: means contain what else ran on the board.

Times are the README of ncnn's benchmark folder as it stands (.md): under a heading "### BOARD" what benchncnn printed, in any number
of runs. Or they are a CSV with the columns `board, net, num_threads, powersave, gpu_device, min_ms`.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from latency_models.importers import rows
from nas.core.errors import DataError
from nas.core.operators import Operator

T = TypeVar("T")

FREE = ("Input", "Split", "MemoryData", "Noop", "Dropout", "Flatten")
"""Layers that hand on a tensor without touching its numbers."""

HOST = ("PriorBox", "DetectionOutput", "YoloDetectionOutput", "Yolov3DetectionOutput")
"""Post-processing of detectors: no operators of a network, and not priced."""

MOVES = {
    "Concat": "concat",
    "Slice": "split",
    "Crop": "split",
    "ShuffleChannel": "shuffle",
    "Permute": "copy",
    "Reshape": "copy",
    "Interp": "resize",
    "DeconvolutionDepthWise": "resize",
    "LRN": "normalise",
    "BatchNorm": "normalise",
    "Softmax": "softmax",
}
ACTIVATIONS = {
    "ReLU": "relu",
    "HardSwish": "hard_swish",
    "Swish": "swish",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
}
FUSED = {"": "", "1": "relu", "2": "leaky_relu", "4": "sigmoid"}
"""ncnn's numbers of the activations that its convolutions compute themselves."""

LARGEST_WINDOW = 6
"""A pooling layer that takes more pixels to one than this takes all of them."""

CONVOLUTIONS = {"conv": "dense", "pw": "pointwise", "dw": "depthwise", "group": "grouped"}


@dataclass(frozen=True, slots=True)
class Timing:
    """One network on one board. `gpu` says Vulkan; `powersave` is 0 for all cores, 1 little, 2 big ones."""

    board: str
    network: str
    threads: int
    powersave: int
    gpu: bool
    min_ms: float


def read_timings(path: Path) -> tuple[Timing, ...]:
    """Every fp32 row, the least of repeated ones; 8-bit networks are left out, as are spellings with a hyphen.

    Raises:
        DataError: the file cannot be read, has no times, or a row is not one of benchncnn.
    """
    found: dict[tuple[str, str, int, int, bool], float] = {}
    for where, row in _readme(path) if path.suffix == ".md" else rows.of_csv(path):
        try:
            net = row["net"].replace("-", "_").replace("_1.1", "-1.1").replace("yolo_fastest", "yolo-fastest")
            net = "yolov4-tiny" if net == "yolov4_tiny" else net
            gpu = bool(row["gpu_device"]) and float(row["gpu_device"]) >= 0
            key = (row["board"], net, int(row["num_threads"]), int(row["powersave"]), gpu)
            took = row["min_ms"]
        except (KeyError, ValueError) as error:
            raise DataError(f"{where}: not a row of benchncnn ({error!r})") from error
        min_ms = rows.milliseconds(where, net, took)
        if not net.endswith("int8"):
            found[key] = min(min_ms, found.get(key, math.inf))
    if not found:
        raise DataError(f"{path} has no fp32 times of benchncnn")
    return tuple(Timing(*key, min_ms) for key, min_ms in found.items())


def read_networks(path: Path) -> dict[str, tuple[Operator, ...]]:
    """Operators of each fp32 network.

    Convolutions are exact. Of other layers the table gives element counts alone: their shape is that of the last or next
    tensor with as many elements.

    Raises:
        DataError: the file cannot be read, or a layer is of a type that is not known, or does not amount to its MACs.
    """
    layers: dict[str, list[tuple[str, dict[str, str]]]] = {}
    once = rows.Once()
    for where, row in rows.of_csv(path):
        if not {"net", "layer", "type"} <= set(row):
            raise DataError(f"{where}: not a table of layers")
        once.add(where, f"layer {row['layer']} of {row['net']}", (row["net"], row["layer"]))
        if not row["net"].endswith("int8"):
            layers.setdefault(row["net"], []).append((where, row))
    return {net: tuple(_operators(found)) for net, found in layers.items()}


_BOARD = re.compile(r"#+ +(?P<board>\S.*?) *")
_SETTING = re.compile(r"(?P<name>loop_count|num_threads|powersave|gpu_device|cooling_down) = (?P<value>-?\d+)")
_TIME = re.compile(r" *(?P<net>\S+) +min = *(?P<min_ms>\S+) +max = *\S+ +avg = *\S+ *")


def _readme(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of the README, as those of the CSV. Every run of benchncnn begins with its loop count; older ones say nothing of a GPU."""
    board, settings = "", dict[str, str]()
    for number, line in enumerate(rows.text_of(path).splitlines(), start=1):
        where = f"{path}, line {number}"
        if found := _BOARD.fullmatch(line):
            board, settings = found["board"], {}
        elif found := _SETTING.fullmatch(line.strip()):
            settings = {} if found["name"] == "loop_count" else settings
            settings[found["name"]] = found["value"]
        elif found := _TIME.fullmatch(line):
            if not board:
                raise DataError(f"{where}: no heading such as '### NVIDIA Jetson Nano' says which board took that time")
            yield where, {"board": board, "gpu_device": "", **settings, **found.groupdict()}


def _operators(layers: list[tuple[str, dict[str, str]]]) -> Iterator[Operator]:
    shapes: dict[int, tuple[int, int, int]] = {}
    for where, row in reversed(layers):
        shapes.update(_of_row(_shapes, row, where))
    for where, row in layers:
        if row["type"] not in (*FREE, *HOST):
            yield _of_row(lambda layer: _operator(layer, shapes), row, where)
        shapes.update(_shapes(row))


def _of_row(function: Callable[[dict[str, str]], T], row: dict[str, str], where: str) -> T:
    try:
        return function(row)
    except (KeyError, ValueError, TypeError, ZeroDivisionError) as error:
        raise DataError(f"{where}: not a layer that is known ({error!r})") from error


def _shapes(row: dict[str, str]) -> dict[int, tuple[int, int, int]]:
    """(channels, rows, columns) by elements, of the tensors of a convolution."""
    if row["kind"] not in CONVOLUTIONS:
        return {}
    sizes = [(row["cin"], row["hin"], row["win"]), (row["cout"], row["hout"], row["wout"])]
    found = [(int(float(c)), int(float(h)), int(float(w))) for c, h, w in sizes]
    return {math.prod(shape): shape for shape in found}


def _operator(row: dict[str, str], shapes: dict[int, tuple[int, int, int]]) -> Operator:
    kind, given, made = row["kind"], int(row["in_elems"]), int(row["out_elems"])
    if kind in CONVOLUTIONS:
        cin, cout, kernel, stride, groups, hin, win, hout, wout = (
            int(float(row[name])) for name in ("cin", "cout", "k", "s", "g", "hin", "win", "hout", "wout")
        )
        named = CONVOLUTIONS[kind]
        size, activation = (hout, wout), FUSED[row["act"]]
        operator = Operator(named, cin, cout, kernel, stride, hin, win, activation, groups if named == "grouped" else 1, out_size=size)
        if operator.macs != int(row["macs"]):
            raise ValueError(f"{operator.macs} MACs instead of {row['macs']}")
        return operator
    if kind == "fc":
        return Operator("linear", int(float(row["cin"])), int(float(row["cout"])), 1, 1, 1, 1, FUSED[row["act"]])
    c, h, w = shapes.get(given, (given, 1, 1))
    if row["type"] in ("Pooling", "Reduction"):
        if given / made > LARGEST_WINDOW:
            return Operator("pool", made, made, 1, 1, *_square(given // made))
        channels, height, width = shapes.get(made, (c, *_square(made // c)))
        stride = max(1, round(math.sqrt(given / made)))
        return Operator("window_pool", channels, channels, 3, stride, *_square(given // channels), out_size=(height, width))
    if row["type"] in ("BinaryOp", "Eltwise"):
        c, h, w = shapes.get(made, (made, 1, 1))
        return Operator("add" if given >= 2 * made else "se_scale", c, c, 1, 1, h, w)
    if row["type"] in ACTIVATIONS:
        return Operator("activation", c, c, 1, 1, h, w, ACTIVATIONS[row["type"]])
    named = MOVES[row["type"]]
    if named == "resize":
        height, width = _square(made // c)
        return Operator(named, c, c, 1, 1, h, w, out_size=(height, width))
    c, h, w = shapes.get(made, (made, 1, 1))
    return Operator(named, c, c, 1, 1, h, w)


def _square(pixels: int) -> tuple[int, int]:
    """Rows and columns of a square image of that many pixels, else one row."""
    side = math.isqrt(pixels)
    return (side, side) if side * side == pixels else (1, pixels)
