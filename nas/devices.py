"""`python -m nas.devices [NAME]`: every device with its targets, where their latencies come from, and how good they are."""

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli import output, run

if TYPE_CHECKING:
    from hardware_profiles.table_file import Fit, Table
    from nas.core.device import DeviceProfile, TargetProfile
    from nas.core.latency import BlockPrice, DeviceModel

app = typer.Typer(add_completion=False)

READY = "ready"
"""Status of a device or target that prices networks; any other status is a sentence that says what is wrong and what to do."""

COLUMNS = ("runtime", "version", "as", "latencies", "error/MACs", "interval", "made")
"""Headings of the overview."""

DEFAULT_SPACE = "mobile_shuffle_32"
"""The space that `nas.measure` times without `--space`."""

VERSION_WIDTH = 8
"""Of a version in the overview, which is to fit into 80 columns."""


@app.command(epilog="Examples: python -m nas.devices · python -m nas.devices jetson-nano · python -m nas.devices jetson-nano --json")
def main(
    name: Annotated[str | None, typer.Argument(help="One device in full: a name or a path to a .toml file. All if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """List devices: runtimes, precisions, threads, origin of the latencies, held-out error in percent, interval, date."""
    import hardware_profiles

    devices = [_facts(hardware_profiles.load(name))] if name else [_facts_or_error(each) for each in hardware_profiles.names()]
    if as_json:
        typer.echo(json.dumps(devices[0] if name else devices, indent=2))
    elif name:
        _show_in_full(devices[0])
    else:
        _show(devices)


def _facts_or_error(name: str) -> dict[str, Any]:
    """The facts of a device, or of one that cannot be read its name and why: the others are still listed."""
    import hardware_profiles
    from nas.core.device import DeviceProfile
    from nas.core.errors import NasError

    try:
        return _facts(hardware_profiles.load(name))
    except NasError as error:
        path = str(hardware_profiles.FOLDER / f"{name}.toml")
        return {**_facts(DeviceProfile(name, name, (), 0, (), (), "", "", path)), "max_onnx_opset": None, "status": str(error)}


def _facts(profile: "DeviceProfile") -> dict[str, Any]:
    """What is shown of a device, as plain JSON values."""
    return {
        "name": profile.name,
        "title": profile.title,
        "status": READY,
        "precisions": list(profile.precisions),
        "max_onnx_opset": profile.max_onnx_opset,
        "compressors": list(profile.compressors),
        "notes": profile.notes,
        "improve": profile.improve,
        "path": profile.path,
        "targets": [_target_facts(profile, each) for each in profile.targets],
    }


def _target_facts(profile: "DeviceProfile", each: "TargetProfile") -> dict[str, Any]:
    """What is shown of one target of a device; `status` says what to do where there are no figures."""
    from hardware_profiles import table_file
    from nas.core import plugins
    from nas.core.errors import NasError

    target, made, error = each.target, each.provenance, each.error
    table = table_file.path_of(Path(profile.path), target)
    facts: dict[str, Any] = {
        "runtime": target.runtime,
        "runtime_version": target.runtime_version,
        "precision": target.precision,
        "threads": target.threads,
        "batch": target.batch,
        "origin": each.origin,
        "model": each.model,
        "status": READY,
        "error_percent": error.mape_percent if error else None,
        "error_rows": error.rows if error else None,
        "error_of": error.of if error else None,
        "macs_only_error_percent": error.baseline_mape_percent if error else None,
        "left_out": asdict(each.left_out) if each.left_out else None,
        "interval_low_percent": None,
        "interval_high_percent": None,
        "confidence": None,
        "source": made.source if made else None,
        "when": made.when if made else None,
        "checked": each.checked or None,
        "age_days": (date.today() - date.fromisoformat(made.when[:10])).days if made else None,
        "command": made.command if made else None,
        "improve": profile.improve_of(each.target),
        "power_w": each.power_w,
        "table": str(table) if table.exists() else None,
        "machine": None,
        "conditions": None,
        "blocks": None,
        "passes": None,
        "spaces": {},
        "spaces_not_measured": [],
    }
    try:
        if table.exists():
            facts |= _table_facts(table_file.read(table), facts["improve"])
        model: DeviceModel = plugins.load("latency_models", each.model, "latency model")(profile, each, "")
        if bounds := _interval(model):
            low, high = bounds
            facts |= {"interval_low_percent": low, "interval_high_percent": high, "confidence": round(model.confidence, 3)}
    except NasError as problem:
        facts["status"] = str(problem)
    return facts


def _table_facts(table: "Table", improve: str) -> dict[str, Any]:
    """What is shown of a table; `improve` is the command that measures its target."""
    import search_spaces

    head, passes = table.head, [row.passes for row in table.rows.values()] or [0]
    measured = {fit.space.split("@")[0] for fit in head.fits}
    return {
        "machine": head.machine,
        "conditions": head.conditions,
        "blocks": len(table.rows),
        "passes": [min(passes), max(passes)],
        "spaces": {
            fit.space: _fit_facts(fit, f"{improve}{_option(fit.space)} --passes {head.passes_to_better(fit.space)}") for fit in head.fits
        },
        "spaces_not_measured": [name for name in search_spaces.names() if name not in measured],
    }


def _option(space: str) -> str:
    name = space.split("@")[0]
    return "" if name == DEFAULT_SPACE else f" --space {name}"


def _fit_facts(fit: "Fit", improve: str) -> dict[str, Any]:
    """What is shown of a table's calibration for one space; `improve` is the command that betters it."""
    low, high = fit.calibration.low_factor, fit.calibration.high_factor
    return {
        "improve": improve,
        "error_percent": fit.error.mape_percent,
        "error_rows": fit.error.rows,
        "macs_only_error_percent": fit.error.baseline_mape_percent,
        "interval_low_percent": round(100 * low - 100, 1),
        "interval_high_percent": round(100 * high - 100, 1),
        "confidence": round(fit.calibration.confidence, 3),
    }


def _interval(model: "DeviceModel") -> tuple[float, float] | None:
    """Bounds of what the model knows best, in percent around its price; None if it knows nothing of our spaces.

    Of the blocks of the smallest and largest network of every space that are covered as a whole, the narrowest; where there
    are none, of the operators of these blocks.
    """
    import search_spaces
    from nas.core.errors import DeviceError
    from search_spaces.blocks import operators

    spaces = [search_spaces.load(name) for name in search_spaces.names()]
    networks = [space.network(end, 3, 10) for space in spaces for end in (space.largest(), space.smallest())]
    blocks = dict.fromkeys(block for network in networks for block in network.blocks)
    known = _covered(model.block, blocks)
    if not known:
        with suppress(DeviceError):  # a table of too few rows
            known = _covered(model.by_operator().operator, dict.fromkeys(operator for block in blocks for operator in operators(block)))
    if not known:
        return None
    low, high = min(known, key=lambda bounds: bounds[1] - bounds[0])
    return round(low, 1), round(high, 1)


def _covered(price_of: Callable[[Any], "BlockPrice"], things: Iterable[object]) -> list[tuple[float, float]]:
    """Bounds in percent of the `things` whose whole price is covered."""
    from nas.core.errors import DeviceError

    found = []
    for thing in things:
        with suppress(DeviceError):  # a table that was not measured for this space
            price = price_of(thing)
            ms, low_ms, high_ms = price.interval.ms, price.interval.low_ms, price.interval.high_ms
            if ms > 0 and price.covered_ms > 0.999 * ms:
                found.append((100 * (low_ms / ms - 1), 100 * (high_ms / ms - 1)))
    return found


def _show(devices: list[dict[str, Any]]) -> None:
    """The overview: a line a target under each device."""
    rows = [_cells(target) for device in devices for target in device["targets"]]
    widths = [max([len(heading), *(len(cells[i]) for cells in rows)]) for i, heading in enumerate(COLUMNS)]
    gap = "  " if sum(widths) + 2 * len(widths) <= output.width else " "

    def line(cells: Iterable[str]) -> str:
        return "  " + gap.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)).rstrip()

    _say(line(COLUMNS), style="bold")
    for device in devices:
        if device["status"] != READY:
            _say(f"\n{device['name']}: {device['status']}", style="red", indent=2)
            continue
        _say(f"\n{device['name']}: {device['title']}; {_abilities(device)}", style="bold", indent=2)
        for target in device["targets"]:
            cells = _cells(target)
            if target["status"] == READY:
                _say(line(cells))
            else:
                _say(line(cells[:3]) + f"{gap}{_short(device, target)}", indent=4)
        _say(f"  to improve: {device['improve']}", style="dim", indent=4)
    _say(
        "\nerror/MACs: mean error on networks that the fit never saw (*: without some that were left out of it), and that of a fit to MACs "
        "alone, in percent. interval: percent around a latency between which the truth is expected, @ how often. In full: python -m "
        "nas.devices NAME",
        style="dim",
    )


def _cells(target: dict[str, Any]) -> tuple[str, ...]:
    """A target's cells, one for each of `COLUMNS`."""
    version, low, high = target["runtime_version"], target["interval_low_percent"], target["interval_high_percent"]
    short = version if len(version) <= VERSION_WIDTH else f"{version[: VERSION_WIDTH - 1]}…"
    threads = f" {target['threads']}t" if target["threads"] else ""
    mark = "*" if target["left_out"] else ""
    error = "-" if target["error_percent"] is None else f"{target['error_percent']:.1f}{mark}/{target['macs_only_error_percent']:.1f}"
    interval = "-" if low is None else f"{low:+.0f} {high:+.0f} @{target['confidence']:.0%}"
    return target["runtime"], short, f"{target['precision']}{threads}", target["origin"], error, interval, target["when"] or "-"


def _short(device: dict[str, Any], target: dict[str, Any]) -> str:
    """Why a target has no figures: in a few words where it was only never measured."""
    if target["origin"] != "measured" or target["when"] is not None or target["table"] is not None:
        return str(target["status"])
    return "not measured yet" if target["improve"] == device["improve"] else f"not measured yet; run: {target['improve']}"


def _show_in_full(device: dict[str, Any]) -> None:
    """Everything about one device."""
    _say(f"{device['name']}: {device['title']}", style="bold")
    _say(f"{_abilities(device)}; compressors: {', '.join(device['compressors']) or 'none'}")
    _say(f"profile: {_near(device['path'])}")
    _say(f"\n{device['notes']}")
    for target in device["targets"]:
        threads = f", {target['threads']} thread{'s' if target['threads'] > 1 else ''}" if target["threads"] else ""
        _say(f"\n{target['runtime']} {target['runtime_version']}, {target['precision']}{threads}, batch {target['batch']}", style="bold")
        for heading, words in _lines(device, target):
            _say(f"  {heading:<11}{words}", indent=13)
    _say(f"\nto improve: {device['improve']}", indent=2)


def _lines(device: dict[str, Any], target: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Heading and words of each fact of a target."""
    made = f", made {target['when']} ({_ago(target['age_days'])})" if target["when"] else ""
    yield "latencies", f"{target['origin']} ({target['model']}){made}"
    if target["status"] != READY:
        yield "status", target["status"]
    if target["error_percent"] is not None:
        alone = f"MACs alone {target['macs_only_error_percent']} %"
        yield "error", f"{target['error_percent']} % on {target['error_rows']} {target['error_of']} ({alone})"
    if spared := target["left_out"]:
        names = ", ".join(spared["networks"])
        yield "", f"with {names}, which this error and the interval leave out, it is {spared['mape_percent']} % on {spared['rows']}"
    if target["interval_low_percent"] is not None:
        low, high = target["interval_low_percent"], target["interval_high_percent"]
        yield "interval", f"{low:+} to {high:+} % at {target['confidence']:.0%} confidence, wider where parts were never measured"
    ready = target["status"] == READY  # else no timing may be added
    for space, fit in target["spaces"].items():
        low, high = fit["interval_low_percent"], fit["interval_high_percent"]
        error = f"{fit['error_percent']} % on {fit['error_rows']} networks (MACs alone {fit['macs_only_error_percent']} %)"
        more = f"; to better it: {fit['improve']}" if ready else ""
        yield "", f"in {space.split('@')[0]}: {error}, interval {low:+} to {high:+} %{more}"
    if target["spaces_not_measured"] and ready:
        yield "", f"not measured: {', '.join(target['spaces_not_measured'])}; to change that: {target['improve']} --space NAME"
    if target["power_w"] is not None:
        yield "power", f"{target['power_w']:.3g} W while networks ran"
    if target["table"]:
        yield "table", _near(target["table"]) + (f": {target['blocks']} blocks, {_passes(target['passes'])}" if target["blocks"] else "")
    for heading, key in (("verdict", "checked"), *((name, name) for name in ("machine", "conditions", "source")), ("made by", "command")):
        if target[key]:
            yield heading, target[key]
    if target["improve"] != device["improve"]:
        yield "to improve", target["improve"]


def _abilities(device: dict[str, Any]) -> str:
    """What the hardware executes: its precisions, and those of the two usual small ones that it does not."""
    lacks = [f"no {name}" for name in ("fp16", "int8") if name not in device["precisions"]]
    return f"{', '.join([*device['precisions'], *lacks])}; ONNX opset up to {device['max_onnx_opset']}"


def _passes(bounds: list[int]) -> str:
    least, most = bounds
    return f"timed {least} to {most} times" if least < most else "timed once" if most == 1 else f"timed {most} times"


def _ago(days: int) -> str:
    return "today" if days <= 0 else "yesterday" if days == 1 else f"{days} days ago"


def _near(path: str) -> str:
    """`path` from the folder in hand, where it is below it."""
    folder = Path.cwd()
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else path


def _say(text: str, style: str = "", indent: int = 0) -> None:
    """Prints `text` in the width of the terminal; lines after the first of each paragraph are indented."""
    for paragraph in text.split("\n"):
        lines = textwrap.wrap(paragraph, max(40, output.width), subsequent_indent=" " * indent, break_on_hyphens=False) or [""]
        for each in lines:
            output.print(each, style=style, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run(app)
