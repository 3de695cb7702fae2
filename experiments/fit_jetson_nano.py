"""Coefficients of the Jetson Nano: fits `latency_models.kernel_model` to measured stacks and reports the held-out error.

    python -m experiments.fit_jetson_nano --data jetson_nano_tensorrt_fp32_synthetic.csv

A hash of its name puts each network into one of three parts: 60 % are fitted, 20 % give the interval (split conformal),
20 % give the error that is reported. Coefficients are found by non-negative least squares on relative residuals, reweighted
towards the least mean absolute one; networks of a few milliseconds, which the searches are about, weigh up to eleven times
as much as large ones. Traffic is not allowed to be faster than the memory (25.6 GB/s: NVIDIA Jetson Nano data sheet).
Writes `experiments/results/jetson_nano_fit.json` and the generated end of `hardware_profiles/jetson-nano.toml`.
"""

import datetime
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table
from scipy.optimize import nnls

import hardware_profiles
from latency_models.importers.jetson_nano_stacks import Stack, read
from latency_models.kernel_model import COEFFICIENTS, work
from nas.cli import output, run
from nas.files import atomic_write

Floats = NDArray[np.float64]

ROOT = Path(__file__).resolve().parent.parent
PROFILE = hardware_profiles.FOLDER / "jetson-nano.toml"
RESULTS = ROOT / "experiments" / "results" / "jetson_nano_fit.json"
MARK = "# everything below is written by experiments/fit_jetson_nano.py\n"
SOURCE = "iCAS-Lab/NAS-Performance-Modeling @50e6709: 12,534 synthetic networks, TensorRT FP32, nvpmodel mode 0, batch 1"
COMMAND = "python -m experiments.fit_jetson_nano --data jetson_nano_tensorrt_fp32_synthetic.csv"

NAMES = ("overhead_ms", *COEFFICIENTS)
MEMORY_MS_PER_MB = 1 / 25.6
SMALL_MS, SMALL_BOOST = 10.0, 10.0
CONFIDENCE = 0.95
ROUNDS = 12

app = typer.Typer(add_completion=False)


def part(stack: Stack) -> str:
    """Which of the three uses the network has, by its name alone: "fit", "interval" or "error"."""
    draw = int(hashlib.sha256(stack.name.encode()).hexdigest()[:8], 16) % 100
    return "fit" if draw < 60 else "interval" if draw < 80 else "error"


def amounts(stacks: Sequence[Stack]) -> Floats:
    """(networks, coefficients) what each network needs of each of `NAMES`."""
    rows = np.zeros((len(stacks), len(NAMES)))
    column = {name: i for i, name in enumerate(NAMES)}
    rows[:, 0] = 1.0
    for i, stack in enumerate(stacks):
        for operator in stack.operators:
            for name, amount in work(operator).items():
                rows[i, column[name]] += amount
    return rows


def fit(rows: Floats, latency_ms: Floats, floor: Floats) -> Floats:
    """Coefficients, none below its `floor`, of the least weighted mean absolute relative residual (reweighted NNLS)."""
    weights = 1 + SMALL_BOOST * np.exp(-latency_ms / SMALL_MS)
    relative, rest = rows / latency_ms[:, None], 1 - rows @ floor / latency_ms
    scale = weights.copy()
    for _ in range(ROUNDS):
        found = floor + nnls(relative * scale[:, None], rest * scale, maxiter=10_000)[0]
        scale = weights / np.sqrt(np.maximum(np.abs(relative @ found - 1), 0.01))
    return found


def conformal_factors(predicted_ms: Floats, latency_ms: Floats) -> tuple[float, float]:
    """Factors on a prediction between which the truth lies with `CONFIDENCE`, half of the misses on either side.

    Source: split conformal prediction (Vovk et al. 2005), on the ratio of truth to prediction.
    """
    ratios = np.sort(latency_ms / predicted_ms)
    n, tail = len(ratios), (1 - CONFIDENCE) / 2
    return float(ratios[int(np.floor((n + 1) * tail)) - 1]), float(ratios[int(np.ceil((n + 1) * (1 - tail))) - 1])


def summary(predicted_ms: Floats, latency_ms: Floats, low: float, high: float) -> dict[str, float]:
    """Error figures of some networks, in percent."""
    error = predicted_ms / latency_ms - 1
    inside = (latency_ms >= predicted_ms * low) & (latency_ms <= predicted_ms * high)
    return {
        "networks": len(error),
        "mape_percent": round(100 * float(np.abs(error).mean()), 2),
        "p90_percent": round(100 * float(np.quantile(np.abs(error), 0.9)), 2),
        "bias_percent": round(100 * float(error.mean()), 2),
        "within_interval_percent": round(100 * float(inside.mean()), 1),
    }


def evaluate(stacks: Sequence[Stack]) -> dict[str, Any]:
    """The whole experiment: coefficients, interval and errors, rounded to what is committed."""
    rows, truth = amounts(stacks), np.array([stack.latency_ms for stack in stacks])
    parts = np.array([part(stack) for stack in stacks])
    floor = np.array([MEMORY_MS_PER_MB if name == "traffic_ms_per_mb" else 0.0 for name in NAMES])
    coefficients = np.array([float(f"{value:.5g}") for value in fit(rows[parts == "fit"], truth[parts == "fit"], floor)])
    predicted = rows @ coefficients
    plain = np.stack([np.ones(len(stacks)), [stack.macs / 1e6 for stack in stacks]], axis=1)
    baseline = plain @ fit(plain[parts == "fit"], truth[parts == "fit"], np.zeros(2))
    low, high = (round(factor, 3) for factor in conformal_factors(predicted[parts == "interval"], truth[parts == "interval"]))
    separable = np.array([stack.depthwise_separable for stack in stacks])
    held_out = parts == "error"
    regimes = {
        "all": held_out,
        "dense": held_out & ~separable,
        "depthwise separable": held_out & separable,
        "below 10 ms": held_out & (truth < 10),
        "10 to 20 ms": held_out & (truth >= 10) & (truth < 20),
        "from 20 ms": held_out & (truth >= 20),
    }
    return {
        "source": SOURCE,
        "command": COMMAND,
        "networks": {name: int((parts == name).sum()) for name in ("fit", "interval", "error")},
        "coefficients": dict(zip(NAMES, coefficients.tolist(), strict=True)),
        "interval": {"confidence": CONFIDENCE, "low_factor": low, "high_factor": high},
        "held_out": {name: summary(predicted[rows_], truth[rows_], low, high) for name, rows_ in regimes.items()},
        "macs_only": {name: summary(baseline[rows_], truth[rows_], 0, 0)["mape_percent"] for name, rows_ in regimes.items()},
    }


def toml_target(result: dict[str, Any], when: str) -> str:
    """The `[[targets]]` table of the profile."""
    overall = result["held_out"]["all"]
    lines = [
        "[[targets]]",
        'runtime = "tensorrt"',
        'runtime_version = "8.2"',
        'precision = "fp32"',
        "threads = 0",
        'origin = "calibrated"',
        'model = "kernel_model"',
        "",
        "[targets.provenance]",
        f'source = "{result["source"]}"',
        f"when = {when}",
        f'command = "{result["command"]}"',
        "",
        "[targets.error]",
        f"mape_percent = {overall['mape_percent']}",
        f"rows = {overall['networks']}",
        f"baseline_mape_percent = {result['macs_only']['all']}",
        "",
        "[targets.parameters.interval]",
        *(f"{name} = {value}" for name, value in result["interval"].items()),
        "# an assumption, not a measurement: kernels of a kind or stride that the source does not contain",
        "extrapolated_low_factor = 0.5",
        "extrapolated_high_factor = 2.0",
        "",
        "[targets.parameters.coefficients]",
        *(f"{name} = {value}" for name, value in result["coefficients"].items()),
    ]
    return "\n".join(lines) + "\n"


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="jetson_nano_tensorrt_fp32_synthetic.csv", exists=True, dir_okay=False)],
    when: Annotated[str, typer.Option(help="Date of the fit, YYYY-MM-DD; today if not given.")] = "",
) -> None:
    """Fits the kernel model, prints its errors, and writes the results file and the device profile."""
    result = evaluate(read(data))
    atomic_write(RESULTS, json.dumps(result, indent=2) + "\n")
    head = PROFILE.read_text(encoding="utf-8").split(MARK)[0]
    atomic_write(PROFILE, head + MARK + toml_target(result, when or datetime.date.today().isoformat()))
    table = Table("held-out networks", "number", "MAPE %", "p90 %", "bias %", "in interval %", "MACs only, MAPE %")
    for name, figures in result["held_out"].items():
        table.add_row(name, *(str(value) for value in figures.values()), str(result["macs_only"][name]))
    output.print(table)
    output.print(f"wrote {RESULTS.relative_to(ROOT)} and {PROFILE.relative_to(ROOT)}", soft_wrap=True)


if __name__ == "__main__":
    run(app)
