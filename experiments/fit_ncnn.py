"""Coefficients of ncnn on boards: fits `kernel_forms.ncnn_cpu` and `ncnn_vulkan` to the times of benchncnn.

    python -m experiments.fit_ncnn --times ncnn_benchmark.csv --layers ncnn_net_layers.csv

A board has about twenty networks, so processors learn from their family (`latency_models.families`): every ARMv8.0 board of
the table with enough of them. Held out is one network after the other; the family does not see it on any other board
either. The GPU's prior is its data sheet: other GPUs are too different to learn from. Writes `experiments/results/ncnn_fit.json`
and the generated part of `hardware_profiles/jetson-nano.toml`; `--raspberry FILE` also writes the targets of that board.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tomli_w
import typer
from rich.table import Table

import hardware_profiles
from latency_models import families, fitting, kernel_forms, target_text
from latency_models.fitting import Fit, Row, Settings
from latency_models.importers.ncnn_benchmark import Timing, read_networks, read_timings
from nas.cli import output, run
from nas.core.operators import Operator
from nas.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
PROFILE = hardware_profiles.FOLDER / "jetson-nano.toml"
RESULTS = ROOT / "experiments" / "results" / "ncnn_fit.json"
SCRIPT = "experiments/fit_ncnn.py"
COMMAND = "python -m experiments.fit_ncnn --times ncnn_benchmark.csv --layers ncnn_net_layers.csv"
IMPROVE = f"{COMMAND}, with more networks timed by benchncnn on the board"
SOURCE = "Tencent/ncnn @a4d2ea1, benchmark table, least of the loops, batch 1"
VERSION = "unstated"
"""The table does not say which version each board ran."""

CORES = (
    "Cortex-A53",
    "Cortex-A57",
    "Cortex-A72",
    "Cortex-A73",
    "FTC66",
    "Kyro 2.35",
    "MSM8998",
    "SDM660",
    "Jetson Nano",
    "TX2",
    "PhytiumPi",
)
"""In the names of boards whose cores compute in fp32: ARMv8.0."""

OTHER_CORES = ("A55", "A76", "A78", "A720", "X1")
"""Later cores, for which ncnn takes fp16."""

ODD = ("FT-2000/4", "Kirin")
"""Boards whose times with several threads scatter by more than 15 %."""

LEAST_NETWORKS = 13
LEAST_LAUNCH_MS = {1: 0.004, 4: 0.012}
"""A layer's call, and what four threads need to wait for each other: assumed, no measured network is small enough to tell."""

LEFT_OUT = {
    "efficientnetv2_b0": "its reductions run on the host",
    "nanodet_m": "a small detector that is far from its layers' sum; why is not known",
    "yolo-fastest-1.1": "a small detector that is far from its layers' sum; why is not known",
    "yolo-fastestv2": "a small detector that is far from its layers' sum; why is not known",
}
"""Networks that the GPU's fit does not see, and why. The detectors were chosen after the first fit had missed them by up to twice:
the error without them is optimistic, and that with all networks stands beside it in the results."""

PEAK_MMACS_PER_MS, MEMORY_MB_PER_MS = 236.0, 12.8
"""128 cores at 0.92 GHz, two operations each; half of the data sheet's 25.6 GB/s, which is what copies reach."""

VULKAN_RIDGE = 0.005
VULKAN_FLOOR = {"launch_ms": 0.02}
VULKAN_PRIOR = {
    "overhead_ms": 1.0,
    "launch_ms": 0.03,
    "normalise_ms_per_melement": 2.0,
    "linear_ms_per_mb": 2 / MEMORY_MB_PER_MS,
    **{f"{name}_ms_per_mb": 1 / MEMORY_MB_PER_MS for name in ("traffic", "weights")},
    **{f"{name}_ms_per_mmac": 5 / PEAK_MMACS_PER_MS for name in ("pointwise", "dense")},
    "winograd_ms_per_mmul": 5 / PEAK_MMACS_PER_MS,
    **{f"{name}_ms_per_mmac": 10 / PEAK_MMACS_PER_MS for name in ("unpacked", "depthwise", "grouped")},
}
"""Multiplications at a fifth of the peak, at a tenth where channels do not pack."""

CPU_COVERS = (
    *("dense k3-7 s1-2", "pointwise s1", "depthwise k3-5 s1-2", "grouped k1-3", "linear", "pool", "window_pool", "add", "se_scale"),
    *("activation", "split", "concat", "shuffle"),
)
VULKAN_COVERS = (
    *("dense k3-7 s1-2", "pointwise s1", "depthwise k3 s1-2", "grouped k1-3", "linear", "pool", "window_pool", "add", "se_scale"),
    "concat",
)

SHOWN = ("mobilenet_v2", "mobilenet_v3", "mnasnet", "proxylessnasnet", "shufflenet_v2", "efficientnet_b0")

app = typer.Typer(add_completion=False)

Networks = Mapping[str, tuple[Operator, ...]]
Board = tuple[str, int, int]


def group(name: str) -> int:
    """Which factor of a board a coefficient shares: 0 launches, 1 memory, 2 arithmetic."""
    if name in ("overhead_ms", "launch_ms", "groups_ms_each"):
        return 0
    return 1 if name.endswith("_per_mb") or name.startswith(("first", "depthwise")) else 2


def processors(timings: Sequence[Timing], networks: Networks, threads: int) -> dict[Board, list[Row]]:
    """Rows of every board of the family, by board, threads and powersave."""
    found: dict[Board, list[Row]] = {}
    for timing in timings:
        kin = any(core in timing.board for core in CORES) and not any(core in timing.board for core in (*OTHER_CORES, *ODD))
        if kin and not timing.gpu and timing.threads == threads and timing.network in networks:
            found.setdefault((timing.board, threads, timing.powersave), []).append(_row(timing, networks))
    return {board: rows for board, rows in found.items() if len(rows) >= LEAST_NETWORKS}


def graphics(timings: Sequence[Timing], networks: Networks, board: str) -> list[Row]:
    """Rows of one board's GPU, the least over its numbers of threads."""
    best: dict[str, Timing] = {}
    for timing in timings:
        if timing.gpu and timing.board == board and timing.network in networks:
            known = best.get(timing.network)
            best[timing.network] = timing if known is None or timing.min_ms < known.min_ms else known
    return [_row(timing, networks) for timing in best.values()]


def fit_processor(boards: Mapping[Board, Sequence[Row]], name: str, threads: int) -> tuple[list[Row], Fit]:
    """Rows of the board whose name starts with `name`, and the fit to them and its family."""
    form = kernel_forms.load("ncnn_cpu")
    own = next(list(rows) for board, rows in boards.items() if board[0].startswith(name))
    others = [rows for board, rows in boards.items() if not board[0].startswith(name)]
    family = families.learn(form, others, group, fixed={fitting.OVERHEAD: 0.0})
    every = {row.name for row in own}

    def settings(seen: Sequence[Row]) -> Settings:
        hidden = every - {row.name for row in seen}
        known = families.learn_again(family, [[row for row in rows if row.name not in hidden] for rows in others]) if hidden else family
        return known.settings(seen, {"launch_ms": LEAST_LAUNCH_MS[threads]})

    return own, fitting.fit(form, own, settings)


def fit_graphics(rows: Sequence[Row]) -> Fit:
    """The fit to a GPU's rows."""
    return fitting.fit(kernel_forms.load("ncnn_vulkan"), rows, Settings(VULKAN_PRIOR, VULKAN_RIDGE, floor=VULKAN_FLOOR, robust=False))


def figures(form: str, rows: Sequence[Row], fit: Fit, networks: Networks) -> dict[str, Any]:
    """What is reported of one target."""
    shown = [Row(name, name, networks[name], 1.0) for name in SHOWN]
    predicted = fitting.amounts(kernel_forms.load(form), shown) @ list(fit.coefficients.values())
    return {
        "networks": len(rows),
        "leave_one_out_mape_percent": round(fit.mape_percent, 2),
        "macs_only_mape_percent": round(fit.baseline_mape_percent, 2),
        "spearman": round(fit.spearman, 4),
        "interval": [round(fit.low_factor, 3), round(fit.high_factor, 3), fit.confidence],
        "predicted_over_measured": {row.name: round(float(p), 3) for row, p in zip(rows, fit.predicted_ms / fit.measured_ms, strict=True)},
        "predicted_ms": {name: round(float(ms), 2) for name, ms in zip(SHOWN, predicted, strict=True)},
        "coefficients": {name: float(f"{value:.5g}") for name, value in fit.coefficients.items()},
    }


def _row(timing: Timing, networks: Networks) -> Row:
    return Row(timing.network, timing.network, networks[timing.network], timing.min_ms)


@app.command()
def main(
    times: Annotated[Path, typer.Option(help="ncnn_benchmark.csv", exists=True, dir_okay=False)],
    layers: Annotated[Path, typer.Option(help="ncnn_net_layers.csv", exists=True, dir_okay=False)],
    when: Annotated[str, typer.Option(help="Date of the fit, YYYY-MM-DD; today if not given.")] = "",
    raspberry: Annotated[Path | None, typer.Option(help="Where to write the targets of the Raspberry Pi 4.")] = None,
) -> None:
    """Fits the forms, prints held-out errors, and writes the results file and the device profile."""
    networks, timings = read_networks(layers), read_timings(times)
    date = datetime.date.fromisoformat(when) if when else datetime.date.today()
    results: dict[str, Any] = {"source": SOURCE, "command": COMMAND, "left_out_of_vulkan": LEFT_OUT}
    targets: dict[str, list[dict[str, Any]]] = {"NVIDIA Jetson Nano": [], "Raspberry Pi 4": []}
    every = graphics(timings, networks, "NVIDIA Jetson Nano")
    seen = [row for row in every if row.name not in LEFT_OUT]
    fit = fit_graphics(seen)
    results["NVIDIA Jetson Nano, Vulkan"] = figures("ncnn_vulkan", seen, fit, networks)
    whole = fit_graphics(every)
    results["NVIDIA Jetson Nano, Vulkan, nothing left out"] = figures("ncnn_vulkan", every, whole, networks)
    source = f"{SOURCE}, {len(seen)} networks; error: leave one network out"
    about = {"source": source, "when": date, "command": COMMAND}
    spared = {"networks": list(LEFT_OUT), "mape_percent": round(whole.mape_percent, 2), "rows": len(every)}
    vulkan = target_text.target("ncnn-vulkan", VERSION, 0, "ncnn_vulkan", VULKAN_COVERS, fit, about, left_out=spared, improve=IMPROVE)
    targets["NVIDIA Jetson Nano"].append(vulkan)
    for threads in LEAST_LAUNCH_MS:
        boards = processors(timings, networks, threads)
        for name, found in targets.items():
            rows, fit = fit_processor(boards, name, threads)
            results[f"{name}, {threads} thread(s)"] = figures("ncnn_cpu", rows, fit, networks)
            source = f"{SOURCE}, {len(rows)} networks, with {len(boards) - 1} other ARMv8.0 boards as prior; error: leave one network out"
            about = {"source": source, "when": date, "command": COMMAND}
            found.append(target_text.target("ncnn", VERSION, threads, "ncnn_cpu", CPU_COVERS, fit, about, improve=IMPROVE))
    atomic_write(RESULTS, json.dumps(results, indent=2) + "\n")
    target_text.replace(PROFILE, SCRIPT, targets["NVIDIA Jetson Nano"])
    if raspberry is not None:
        atomic_write(raspberry, tomli_w.dumps({"targets": targets["Raspberry Pi 4"]}))
    table = Table("target", "networks", "leave-one-out MAPE %", "MACs only %", "Spearman", "interval", *SHOWN)
    for name, row in results.items():
        if isinstance(row, dict) and "networks" in row:
            errors = (row["leave_one_out_mape_percent"], row["macs_only_mape_percent"], row["spearman"], row["interval"])
            table.add_row(name, *map(str, (row["networks"], *errors, *row["predicted_ms"].values())))
    output.print(table)
    output.print(f"wrote {RESULTS.relative_to(ROOT)} and {PROFILE.relative_to(ROOT)}", soft_wrap=True)


if __name__ == "__main__":
    run(app)
