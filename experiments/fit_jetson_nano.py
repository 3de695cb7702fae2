"""Coefficients of the Jetson Nano: fits `kernel_forms.tensorrt` to measured stacks and reports the held-out error.

    python -m experiments.fit_jetson_nano --data jetson_nano_tensorrt_fp32_synthetic.csv [--layers ncnn_net_layers.csv]

A hash of its name puts each network into one of three parts: 60 % are fitted, 20 % give the interval (split conformal),
20 % give the error that is reported. Residuals are relative and nearly absolute; networks of a few milliseconds, which the
searches are about, weigh up to 121 times as much as large ones. Traffic is not allowed to be faster than the memory
(25.6 GB/s: NVIDIA Jetson Nano data sheet). Kernels that only copy or compute little are not among the stacks: they are
taken to move 10 GB/s, about what reading weights was found to reach. With the layers of published networks, predictions
of those are listed: nobody measured them here. Writes `experiments/results/jetson_nano_fit.json` and the generated part of
`hardware_profiles/jetson-nano.toml`.
"""

import datetime
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

import hardware_profiles
from latency_models import fitting, kernel_forms, target_text
from latency_models.fitting import CONFIDENCE, OVERHEAD, Fit, Floats, Row, Settings
from latency_models.importers import ncnn_benchmark
from latency_models.importers.jetson_nano_stacks import Stack, read
from nas.cli import output, run
from nas.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
PROFILE = hardware_profiles.FOLDER / "jetson-nano.toml"
RESULTS = ROOT / "experiments" / "results" / "jetson_nano_fit.json"
SCRIPT = "experiments/fit_jetson_nano.py"
SOURCE = "iCAS-Lab/NAS-Performance-Modeling @50e6709: 12,534 synthetic networks, TensorRT FP32, nvpmodel mode 0, batch 1"
HELD_OUT = "synthetic stacks that the fit never saw"
COMMAND = "python -m experiments.fit_jetson_nano --data jetson_nano_tensorrt_fp32_synthetic.csv --layers ncnn_net_layers.csv"

FORM = kernel_forms.load("tensorrt")
NAMES = (OVERHEAD, *FORM.coefficients)
FLOOR = {"traffic_ms_per_mb": 1 / 25.6}
COPY = {"copy_ms_per_mb": 0.1}
SMALL_MS, SMALL_BOOST = 10.0, 10.0
COVERS = ("dense k2-7 s1 c64-1024", "pointwise s1 c64-1024", "depthwise k2-5 s1", "linear c1-64")
SHOWN = ("mobilenet_v2", "mobilenet_v3", "mnasnet", "proxylessnasnet", "shufflenet_v2", "efficientnet_b0", "squeezenet", "resnet18")

app = typer.Typer(add_completion=False)


def part(stack: Stack) -> str:
    """Which of the three uses the network has, by its name alone: "fit", "interval" or "error"."""
    draw = int(hashlib.sha256(stack.name.encode()).hexdigest()[:8], 16) % 100
    return "fit" if draw < 60 else "interval" if draw < 80 else "error"


def rows_of(stacks: Sequence[Stack]) -> list[Row]:
    """The networks as rows to fit."""
    return [Row(stack.name, stack.name, stack.operators, stack.latency_ms) for stack in stacks]


def coefficients(stacks: Sequence[Stack]) -> Floats:
    """(names,) fitted to `stacks`, rounded to what is committed."""
    rows = rows_of(stacks)
    measured = fitting.latencies(rows)
    settings = Settings(floor=FLOOR, fixed=COPY, weights=(1 + SMALL_BOOST * np.exp(-measured / SMALL_MS)) ** 2)
    found = fitting.solve(NAMES, fitting.amounts(FORM, rows), measured, settings)
    return np.array([float(f"{value:.5g}") for value in found])


def evaluate(stacks: Sequence[Stack]) -> tuple[Fit, dict[str, Any]]:
    """The whole experiment: the fit with its predictions of the part "error", and the figures to keep."""
    rows, parts = rows_of(stacks), np.array([part(stack) for stack in stacks])
    measured, plain = fitting.latencies(rows), fitting.baseline_amounts(rows)
    found = coefficients([stack for stack, name in zip(stacks, parts, strict=True) if name == "fit"])
    predicted = fitting.amounts(FORM, rows) @ found
    baseline = plain @ fitting.solve((OVERHEAD, "macs"), plain[parts == "fit"], measured[parts == "fit"], Settings())
    held, unseen = parts == "interval", parts == "error"
    ratios = measured[held] / predicted[held]
    low, high = fitting.conformal_factors(ratios)
    levels = target_text.level_text(fitting.levels(ratios))
    named = dict(zip(NAMES, found.tolist(), strict=True))
    fit = Fit(named, predicted[unseen], baseline[unseen], measured[unseen], round(low, 3), round(high, 3), CONFIDENCE)
    separable = np.array([stack.depthwise_separable for stack in stacks])[unseen]
    truth = fit.measured_ms
    regimes = {
        "all": truth > 0,
        "dense": ~separable,
        "depthwise separable": separable,
        "below 10 ms": truth < 10,
        "10 to 20 ms": (truth >= 10) & (truth < 20),
        "from 20 ms": truth >= 20,
    }
    return fit, {
        "source": SOURCE,
        "command": COMMAND,
        "networks": {name: int((parts == name).sum()) for name in ("fit", "interval", "error")},
        "coefficients": fit.coefficients,
        "interval": {"confidence": CONFIDENCE, "low_factor": fit.low_factor, "high_factor": fit.high_factor, "levels": levels},
        "spearman": round(fit.spearman, 4),
        "held_out": {name: summary(fit, chosen) for name, chosen in regimes.items()},
        "macs_only": {name: round(fitting.mape_percent(fit.baseline_ms[c], truth[c]), 2) for name, c in regimes.items()},
    }


def summary(fit: Fit, chosen: Any) -> dict[str, float]:
    """Error figures of some held-out networks, in percent."""
    ratio = fit.measured_ms[chosen] / fit.predicted_ms[chosen]
    error = 1 / ratio - 1
    inside = (ratio >= fit.low_factor) & (ratio <= fit.high_factor)
    return {
        "networks": len(error),
        "mape_percent": round(100 * float(np.abs(error).mean()), 2),
        "p90_percent": round(100 * float(np.quantile(np.abs(error), 0.9)), 2),
        "bias_percent": round(100 * float(error.mean()), 2),
        "within_interval_percent": round(100 * float(inside.mean()), 1),
    }


def predictions(fit: Fit, layers: Path) -> dict[str, float]:
    """Milliseconds of published networks at 224 px; a relu that ncnn runs alone is fused here."""
    networks = ncnn_benchmark.read_networks(layers)
    rows = [Row(name, name, tuple(o for o in networks[name] if o.kind != "activation" or o.activation != "relu"), 1.0) for name in SHOWN]
    found = fitting.amounts(FORM, rows) @ list(fit.coefficients.values())
    return {name: round(float(ms), 2) for name, ms in zip(SHOWN, found, strict=True)}


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="jetson_nano_tensorrt_fp32_synthetic.csv", exists=True, dir_okay=False)],
    layers: Annotated[Path | None, typer.Option(help="ncnn_net_layers.csv", exists=True, dir_okay=False)] = None,
    when: Annotated[str, typer.Option(help="Date of the fit, YYYY-MM-DD; today if not given.")] = "",
) -> None:
    """Fits the kernel model, prints its errors, and writes the results file and the device profile."""
    fit, result = evaluate(read(data))
    if layers is not None:
        result["predicted_not_measured_ms"] = predictions(fit, layers)
    atomic_write(RESULTS, json.dumps(result, indent=2) + "\n")
    about = {"source": SOURCE, "when": datetime.date.fromisoformat(when) if when else datetime.date.today(), "command": COMMAND}
    levels = result["interval"]["levels"]
    target = target_text.target("tensorrt", "8.2", 0, "tensorrt", COVERS, fit, about, of=HELD_OUT, levels=levels)
    target_text.replace(PROFILE, SCRIPT, [target])
    table = Table("held-out networks", "number", "MAPE %", "p90 %", "bias %", "in interval %", "MACs only, MAPE %")
    for name, figures in result["held_out"].items():
        table.add_row(name, *(str(value) for value in figures.values()), str(result["macs_only"][name]))
    output.print(table)
    if layers is not None:
        output.print("predicted, not measured:", result["predicted_not_measured_ms"])
    output.print(f"wrote {RESULTS.relative_to(ROOT)} and {PROFILE.relative_to(ROOT)}", soft_wrap=True)


if __name__ == "__main__":
    run(app)
