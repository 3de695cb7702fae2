"""`python -m nas.devices`: every device with its runtime, where its latencies come from and how good they are."""

import json
from typing import Annotated, Any

import typer

from nas.cli import output, run

app = typer.Typer(add_completion=False)


@app.command(epilog="Examples: python -m nas.devices · python -m nas.devices jetson-nano --json")
def main(
    name: Annotated[str | None, typer.Argument(help="One device: a name or a path to a .toml file. All if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """List devices: runtime, precision, threads, origin of the latencies, held-out error in percent, interval, date."""
    import hardware_profiles

    profiles = [hardware_profiles.load(name)] if name else list(hardware_profiles.load_all())
    devices = [_facts(profile) for profile in profiles]
    if as_json:
        typer.echo(json.dumps(devices[0] if name else devices, indent=2))
    else:
        _show(devices, with_notes=name is not None)


def _facts(profile: Any) -> dict[str, Any]:
    """What is shown of a device, as plain JSON values."""
    return {
        "name": profile.name,
        "title": profile.title,
        "precisions": list(profile.precisions),
        "max_onnx_opset": profile.max_onnx_opset,
        "compressors": list(profile.compressors),
        "notes": profile.notes,
        "improve": profile.improve,
        "targets": [_target_facts(profile, each) for each in profile.targets],
    }


def _target_facts(profile: Any, each: Any) -> dict[str, Any]:
    """What is shown of one runtime of a device; `status` says what to do where there are no figures."""
    from nas.core.errors import DeviceError

    target = each.target
    facts: dict[str, Any] = {
        "runtime": target.runtime,
        "runtime_version": target.runtime_version,
        "precision": target.precision,
        "threads": target.threads,
        "batch": target.batch,
        "origin": each.origin,
        "error_percent": each.error.mape_percent if each.error else None,
        "error_rows": each.error.rows if each.error else None,
        "macs_only_error_percent": each.error.baseline_mape_percent if each.error else None,
        "source": each.provenance.source if each.provenance else None,
        "when": each.provenance.when if each.provenance else None,
        "command": each.provenance.command if each.provenance else None,
    }
    try:
        low, high, confidence = _interval(profile, each)
    except DeviceError as error:
        return {**facts, "status": str(error), "interval_low_percent": None, "interval_high_percent": None, "confidence": None}
    bounds = {"interval_low_percent": low, "interval_high_percent": high, "confidence": confidence}
    return {**facts, "status": "ready", **bounds}


def _interval(profile: Any, each: Any) -> tuple[float, float, float]:
    """Bounds of a fully covered latency, in percent around it, and their confidence.

    Raises:
        DeviceError: the target has no figures, or they are damaged or of another machine.
    """
    import latency_models
    from latency_models.kernel_model import KernelModel
    from latency_models.lookup_table import LookupTable
    from nas.core.errors import DeviceError

    model = latency_models.load(profile, each.target.precision)
    if isinstance(model, KernelModel):
        low, high = model.factors.low, model.factors.high
    elif isinstance(model, LookupTable):
        low, high = model.calibration.low_factor, model.calibration.high_factor
    else:
        raise DeviceError(f"the intervals of {each.model} are not stated as factors")
    return round(100 * (low - 1), 1), round(100 * (high - 1), 1), round(model.confidence, 3)


def _show(devices: list[dict[str, Any]], with_notes: bool) -> None:
    from rich.table import Table

    table = Table("device", "runtime, precision, threads", "latencies", show_lines=True)
    for device in devices:
        able = f"{', '.join(device['precisions'])}; ONNX opset up to {device['max_onnx_opset']}"
        for target in device["targets"]:
            threads = f", {target['threads']} thread(s)" if target["threads"] else ""
            runtime = f"{target['runtime']} {target['runtime_version']}\n{target['precision']}{threads}, batch {target['batch']}"
            table.add_row(f"{device['name']}\n{able}", runtime, f"{_latencies(target)}\nto improve: {device['improve']}")
    output.print(table)
    if with_notes:
        for device in devices:
            output.print(device["title"], device["notes"], sep="\n", markup=False)
            for target in device["targets"]:
                output.print(f"{target['precision']}: {target['source']}; made by: {target['command']}", markup=False, soft_wrap=True)


def _latencies(target: dict[str, Any]) -> str:
    """Origin, error, interval and date in words, or what to do where there are none."""
    if target["status"] != "ready":
        return str(target["status"])
    bounds = f"{target['interval_low_percent']:+} to {target['interval_high_percent']:+} % at {target['confidence']:.0%}"
    error = f"{target['error_percent']} % on {target['error_rows']} unseen networks (MACs alone {target['macs_only_error_percent']} %)"
    return f"{target['origin']}, {target['when']}\nerror {error}\ninterval {bounds}"


if __name__ == "__main__":
    run(app)
