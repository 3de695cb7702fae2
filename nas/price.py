"""`python -m nas.price`: the latency of any ONNX file or known network on a device, with an interval and a line for each operator."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli import output, run

if TYPE_CHECKING:
    from latency_models.onnx_graph import OnnxNetwork
    from nas.core.device import DeviceProfile
    from nas.core.latency import Interval, OperatorModel
    from nas.core.operators import Operator

app = typer.Typer(add_completion=False)

TOP = 15
"""Operators that are listed without `--all`: those that cost most."""

NAME_LENGTH = 24
"""Characters of a node's name that are shown: its end; the JSON has all."""

KNOWN, KNOWN_SIZE = "known:", 224
"""What stands before the name of a known network, and its rows and columns in pixels if nothing else is asked for."""

SHOWN_UNKNOWN = 10
"""Nodes without a price that are named in the text; the JSON names all."""


@dataclass(frozen=True, slots=True)
class Line:
    """One fused operator of the file and its price; `covered` where at least half of it rests on measurements."""

    name: str
    operator: "Operator"
    interval: "Interval"
    covered: bool


@dataclass(frozen=True, slots=True)
class Price:
    """Latency of a file on a target: `total` is the `overhead`, with what weights beyond the cache cost, and the sum of `lines`.

    `coverage`, from 0 to 1, is the share of the time that rests on measurements, times the share of the network's work that has a
    price at all (multiply-accumulates, numbers moved or operators, the least). Operators in `network.unpriced` count no time: where
    they are more than negligible, `total` is a lower bound, there is no upper one, and `origin` is "estimated". Otherwise it is
    the model's own, or "estimated" where most of the price is extrapolated.
    """

    network: "OnnxNetwork"
    overhead: "Interval"
    total: "Interval"
    lines: tuple[Line, ...]
    origin: str
    coverage: float

    @property
    def high_ms(self) -> float | None:
        """The upper bound, None where work without a price leaves none."""
        return self.total.high_ms if self.network.bounded else None


@app.command(
    epilog="Examples: python -m nas.price model.onnx --device jetson-nano · python -m nas.price model.onnx --device jetson-nano --all · "
    "python -m nas.price model.onnx --device pixel-1 --threads 1 --input-size 224 --json · "
    "python -m nas.price known:mobilenet_v2 --device jetson-nano"
)
def main(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="An ONNX file, of any exporter, or a published network, such as known:mobilenet_v2.")
    ],
    device: Annotated[str, typer.Option(help="Device: a name (python -m nas.devices lists them) or a path to a .toml file.")],
    runtime: Annotated[
        str, typer.Option(help="Runtime on the device, such as tensorrt; if not given, the first that was measured, or has figures.")
    ] = "",
    precision: Annotated[str, typer.Option(help="Numbers to compute with: fp32, fp16 or int8, whatever those in the file are.")] = "fp32",
    threads: Annotated[int | None, typer.Option(min=0, help="Threads of the runtime (0: a GPU's); any if not given.")] = None,
    input_size: Annotated[int | None, typer.Option(min=1, help="Rows and columns of the image, in pixels, where the file is open.")] = None,
    confidence: Annotated[
        float | None,
        typer.Option(min=0.5, max=0.99, help="How often the bounds are to hold the latency, such as 0.9.", show_default=False),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help=f"List every operator, in order, not the {TOP} that cost most.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Price an ONNX file: latency in milliseconds for one image, with an interval, and what each operator costs.

    Operators are fused as runtimes do and priced from what was measured on the device. Coverage is the share that rests on
    measurements; the rest is extrapolated and widens the interval. Operators without a price are named; where they are more
    than a hundredth of the work the latency is a lower bound without an upper one (high_ms is null in the JSON). Nothing is run,
    and weights are not read. A known network is priced at 224 px unless --input-size says otherwise, and up to 64 px without its
    first two halvings of the picture, as is usual on small images.
    """
    import hardware_profiles
    import latency_models

    profile = hardware_profiles.load(device)
    found = latency_models.load(profile, precision, runtime, threads, confidence=confidence).by_operator()

    network = read(model, input_size)
    answer = price(network, found)
    if as_json:
        typer.echo(json.dumps(facts(answer, found, profile, model), indent=2))
    else:
        _show(answer, found, profile, model, show_all)


def read(model: Path, input_size: int | None) -> "OnnxNetwork":
    """The operators of an ONNX file, or of a known network ("known:mobilenet_v2"), for one image.

    `input_size` is the image's rows and columns where the file leaves them open, or those of a known network.

    Raises:
        ModelFileError: not an ONNX file, damaged or not valid, of another batch, or the image's size is open; the message says what to do.
        UnknownNameError: there is no known network of that name; the message names the nearest.
    """
    from latency_models import onnx_graph

    if not str(model).startswith(KNOWN):
        return onnx_graph.read(model, input_size)

    from search_spaces import blocks, known

    spec = known.load(str(model).removeprefix(KNOWN), resolution=input_size or KNOWN_SIZE)
    placed = [(f"{slot} {block.kind}", one) for slot, block in zip(spec.slots, spec.blocks, strict=True) for one in blocks.operators(block)]
    names, operators = zip(*placed, strict=True)
    shape = (1, spec.in_channels, spec.resolution, spec.resolution)
    return onnx_graph.OnnxNetwork(operators, names, (), (("images", shape),), "fp32")


def price(network: "OnnxNetwork", model: "OperatorModel") -> Price:
    """The price of `network`, operator by operator."""
    from nas.core.latency import combine, origin_of

    prices = [model.operator(operator) for operator in network.operators]
    found = combine(model, network.names, prices)
    lines = tuple(
        Line(name, operator, one.interval, one.covered_ms >= one.interval.ms / 2)
        for name, operator, one in zip(network.names, network.operators, prices, strict=True)
    )
    overhead = model.overhead + model.spill.of(sum(one.weights_mb for one in prices))
    coverage = network.priced_share * found.coverage
    origin = origin_of(model, coverage) if network.bounded else "estimated"
    return Price(network, overhead, found.total, lines, origin, coverage)


def notes(answer: Price, model: "OperatorModel", profile: "DeviceProfile") -> list[str]:
    """What a reader should know of the price, a sentence each; the last says what would improve it."""
    found, network, target = [], answer.network, model.target
    if network.unpriced:
        largest = sorted(network.unpriced, key=lambda one: -(one.macs or 0))
        named = f"{', '.join(map(str, largest[:SHOWN_UNKNOWN]))}{' ...' if len(largest) > SHOWN_UNKNOWN else ''}"
        meaning = "a negligible part of the work" if network.bounded else "so this is a lower bound, and there is no upper one"
        found.append(f"{len(largest)} operator(s) have no price and count no time, {meaning}: {named}")
    if network.precision not in ("fp32", target.precision):
        found.append(f"the file is {network.precision}, the price is of {target.precision}{_own_precision(network.precision, profile)}")
    if dilated := [line.name for line in answer.lines if line.operator.dilation > 1]:
        named = f"{', '.join(dilated[:SHOWN_UNKNOWN])}{' ...' if len(dilated) > SHOWN_UNKNOWN else ''}"
        found.append(f"{len(dilated)} operator(s) are dilated and priced as if they were not, with wider bounds: {named}")
    guessed = sorted({line.operator.kind for line in answer.lines if not line.covered})
    if guessed:
        share = sum(line.interval.ms for line in answer.lines if not line.covered) / answer.total.ms
        found.append(f"{share:.0%} of the latency is extrapolated from other operators: {', '.join(guessed)}")
    return [*found, f"to improve it: {profile.improve_of(target)}"]


def _own_precision(precision: str, profile: "DeviceProfile") -> str:
    """How to get the price of a file in its own precision, if there is one."""
    targets = [each for each in profile.targets if each.target.precision == precision]
    priced = next((each.target for each in targets if each.has_figures), None)
    if priced is not None:
        return f": pass --precision {precision} --runtime {priced.runtime} --threads {priced.threads} for its own"
    unmeasured = next((f": {precision} is not measured yet; run: {profile.improve_of(each.target)}" for each in targets), "")
    return unmeasured or f": {profile.name} has no figures for {precision}"


def facts(answer: Price, model: "OperatorModel", profile: "DeviceProfile", path: Path) -> dict[str, Any]:
    """The answer as plain JSON values; times are milliseconds for one image, sizes pixels."""
    target, network = model.target, answer.network
    return {
        "model": str(path),
        "latency_ms": answer.total.ms,
        "low_ms": answer.total.low_ms,
        "high_ms": answer.high_ms,
        "origin": answer.origin,
        "coverage": answer.coverage,
        "confidence": model.confidence,
        "device": target.device,
        "runtime": target.runtime,
        "runtime_version": target.runtime_version,
        "precision": target.precision,
        "threads": target.threads,
        "batch": target.batch,
        "overhead_ms": answer.overhead.ms,
        "macs": network.macs,
        "params": network.weights,
        "inputs": {name: list(shape) for name, shape in network.inputs},
        "operators": [_line_facts(line) for line in answer.lines],
        "unknown": list(network.unknown),
        "unknown_work": [{"name": one.name, "macs": one.macs, "elements": one.elements} for one in network.unpriced],
        "notes": notes(answer, model, profile),
    }


def _line_facts(line: Line) -> dict[str, Any]:
    one = line.operator
    return {
        "name": line.name,
        "kind": one.kind,
        "activation": one.activation,
        "in_channels": one.in_channels,
        "out_channels": one.out_channels,
        "kernel": [one.kernel, one.kernel_width or one.kernel],
        "stride": one.stride,
        "groups": one.groups,
        "dilation": one.dilation,
        "in_size": [one.in_height, one.in_width],
        "out_size": [one.out_height, one.out_width],
        "macs": one.macs,
        "ms": line.interval.ms,
        "low_ms": line.interval.low_ms,
        "high_ms": line.interval.high_ms,
        "covered": line.covered,
    }


def _show(answer: Price, model: "OperatorModel", profile: "DeviceProfile", path: Path, show_all: bool) -> None:
    total, network = answer.total, answer.network
    lines = answer.lines if show_all else sorted(answer.lines, key=lambda line: -line.interval.ms)[:TOP]
    output.print(_operator_table(lines, answer))
    output.print(_kind_table(answer))
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in network.inputs)
    sure = f"{model.confidence:.0%}"
    between = f"{total.ms:.3g} ms, between {total.low_ms:.3g} and {total.high_ms:.3g} ms at {sure}"
    if answer.high_ms is None:
        between = f"at least {total.ms:.3g} ms, no less than {total.low_ms:.3g} ms at {sure}, without an upper bound"
    said = (
        f"{path.name} ({shapes}) on {model.target}",
        f"{between}; {answer.origin}, coverage {answer.coverage:.0%}; "
        f"{network.macs / 1e6:.1f} M MACs, {network.weights / 1e6:.2f} M parameters, {len(answer.lines)} operators",
        *notes(answer, model, profile),
    )
    for sentence in said:
        output.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _operator_table(lines: Sequence[Line], answer: Price) -> Any:
    shown = f"{len(lines)} of {len(answer.lines)} operators" if len(lines) < len(answer.lines) else "all operators, in order"
    table = _table(shown, ("node", "kind", "shape"), ("M MACs", "ms", "share", "basis"))
    for line in lines:
        one, ms = line.operator, line.interval.ms
        kind = f"{one.kind}, {one.activation}" if one.activation and one.kind != "activation" else one.kind
        numbers = f"{one.macs / 1e6:.2f}" if one.macs else "", f"{ms:.4f}", _share(ms, answer)
        table.add_row(_end(line.name), kind, shape_of(one), *numbers, "figures" if line.covered else "guess")
    return table


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _share(ms: float, answer: Price) -> str:
    return f"{ms / answer.total.ms:.1%}" if answer.total.ms else ""


def _end(name: str) -> Any:
    """The end of a node's name, which tells it from others."""
    from rich.text import Text

    return Text(name if len(name) <= NAME_LENGTH else f"…{name[1 - NAME_LENGTH :]}", overflow="fold")


def shape_of(operator: "Operator") -> str:
    """Channels and size before and after, kernel, stride, groups and dilation in short: "16x112x112 → 24x56x56 k3 s2"."""
    before = f"{operator.in_channels}x{operator.in_height}x{operator.in_width}"
    after = f"{operator.out_channels}x{operator.out_height}x{operator.out_width}"
    columns = operator.kernel_width or operator.kernel
    kernel = f" k{operator.kernel}" + (f"x{columns}" if columns != operator.kernel else "") if operator.taps > 1 else ""
    others = (("s", operator.stride), ("g", operator.groups), ("d", operator.dilation))
    return (before if before == after else f"{before} → {after}") + kernel + "".join(f" {sign}{each}" for sign, each in others if each > 1)


def _kind_table(answer: Price) -> Any:
    table = _table("by kind", ("kind",), ("operators", "M MACs", "ms", "share"))
    groups: dict[str, list[Line]] = {}
    for line in answer.lines:
        groups.setdefault(line.operator.kind, []).append(line)
    rows = [(kind, len(found), sum(x.operator.macs for x in found), sum(x.interval.ms for x in found)) for kind, found in groups.items()]
    rows.append(("overhead", 0, 0, answer.overhead.ms))
    for kind, count, macs, ms in sorted(rows, key=lambda row: -row[3]):
        table.add_row(kind, str(count) if count else "", f"{macs / 1e6:.1f}" if macs else "", f"{ms:.4f}", _share(ms, answer))
    return table


if __name__ == "__main__":
    run(app)
