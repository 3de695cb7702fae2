"""Coefficients of five devices whose latencies were published: fits the form `mobile_cpu`, reports held-out errors, writes profiles.

    python -m experiments.fit_phones --data FOLDER

FOLDER holds `pixel1_note10_blocks.csv` (ProxylessNAS and Once-for-All block tables), `pixel1_mobilenet_v2_networks.csv`,
`raspi4_pixel3_fbnet_blocks.csv` (HW-NAS-Bench) and `sd855_paddle_networks.csv` (PaddleClas).

The Galaxy Note10's table is the cleanest and the widest, so its coefficients, times one factor for the speed of the device,
are what a ridge pulls the others towards; where a source lacks a kind of operator, that is its price. What the Note10's table
lacks itself (groups, shuffles, exponentials) comes from the devices that have it, relative to their pointwise convolutions.
Writes `experiments/results/phones_fit.json` and the generated end of each profile.
"""

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tomli_w
import typer
from rich.table import Table

import hardware_profiles
from latency_models import fitting, kernel_forms, relative_fitting, target_text
from latency_models.fitting import CONFIDENCE, LEVELS, OVERHEAD, Fit, Floats, Row, Settings
from latency_models.importers import block_tables, fbnet_blocks, networks_csv, public_networks
from nas.cli import output, run
from nas.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results" / "phones_fit.json"
MARK, END = "# written by experiments/fit_phones.py, up to the line that says so\n", "# end of what experiments/fit_phones.py writes\n"
COMMAND = "python -m experiments.fit_phones --data FOLDER"

FORM = kernel_forms.load("mobile_cpu")
NAMES = (OVERHEAD, *FORM.coefficients)
NO_OVERHEAD = {OVERHEAD: 0.0}
"""Networks of 30 to 160 launches: what a call costs once cannot be told from what its launches cost."""

NO_TRAFFIC = {**NO_OVERHEAD, "traffic_ms_per_mb": 0.0}
"""TensorFlow Lite: the Note10's table, which could tell, gives zero for packing beyond the multiply-accumulates."""

RIDGE = {"pixel-1 blocks": 1.0, "pixel-1 networks": 0.1, "pixel-3": 0.03, "raspberry-pi-4": 0.3, "snapdragon-855": 0.01}
"""How strongly the scaled Note10 holds, chosen with the held-out errors in view.

The blocks of the Pixel 1 need it most: from 1 to 10 the networks are predicted with 4.9 to 5.5 % error, with 0.3 and 0.1 it is
7.9 and 11.5 %. The other errors are 0.87 to 1.22 times those reported for three times less and three times more.
"""

COVERS = {
    "galaxy-note10": [
        *("pointwise", "dense k3 s2", "depthwise k3-7 s1-2", "add", "se_scale", "activation hard_swish", "activation hard_sigmoid"),
        *("pool", "linear"),
    ],
    "pixel-1": ["pointwise", "dense k3 s2", "depthwise k3-7 s1-2", "add", "pool", "linear"],
    "pixel-3": ["pointwise", "grouped", "depthwise k3-5 s1-2", "add", "shuffle"],
    "raspberry-pi-4": ["pointwise", "grouped", "depthwise k3-5 s1-2", "add", "shuffle"],
    "snapdragon-855": [
        *("pointwise", "dense k3 s2", "depthwise k3-5 s1-2", "add", "se_scale", "activation", "pool", "window_pool"),
        *("split", "concat", "shuffle", "linear"),
    ],
}
SOURCES = {
    "galaxy-note10": "han-cai/files @a7c9bcd: 480 blocks of Once-for-All's MobileNetV3 space, 160 to 224 px, TensorFlow Lite",
    "pixel-1": "tensorflow/models @60c28f9: 22 MobileNetV2 networks, large core; han-cai/files @a7c9bcd: 72 ProxylessNAS blocks",
    "pixel-3": "HW-NAS-Bench, recovered from HayeonLee/HELP @45f70eb: 96 FBNet blocks of a 32 px network, TensorFlow Lite",
    "raspberry-pi-4": "HW-NAS-Bench, recovered from HayeonLee/HELP @45f70eb: 96 FBNet blocks of a 32 px network, TensorFlow Lite",
    "snapdragon-855": "PaddlePaddle/PaddleClas @18840f1: 30 networks, Paddle Lite, batch 1",
}
HELD_OUT = {
    "leave one resolution out": "blocks, each predicted without its resolution",
    "leave one place out": "blocks, each predicted without its place in the network",
    "leave one network out": "networks, each predicted without itself",
    "leave one family out": "networks, each predicted without its family",
}
RUNTIMES = {name: "paddle-lite" if name == "snapdragon-855" else "tflite" for name in SOURCES}
VERSION = "unstated"
"""None of the sources says which release of the runtime it used."""

LATER_RELEASE = 64 / 73.8
"""How much less a later TensorFlow Lite took on the Pixel 1, by MobileNetV2 1.0 at 224 px: 64 ms where our source has 73.8.

Nothing is fitted to it; the lower bound of that phone's interval is multiplied with it.
Source: Howard et al. 2019 (arXiv 1905.02244), table 3.
"""

PREDICTED = (
    *("mobilenet_v1", "mobilenet_v2", "mobilenet_v2-0.35", "mobilenet_v3_large", "mobilenet_v3_large-0.75", "mobilenet_v3_small"),
    *("mobilenet_v3_large_minimalistic", "mobilenet_v3_small_minimalistic", "mnasnet_a1", "mnasnet_b1", "shufflenet_v2-0.5"),
    *("shufflenet_v2", "efficientnet_b0", "efficientnet_lite0", "ghostnet"),
)
"""Networks whose predictions are written beside the errors, for comparison with what others publish."""

app = typer.Typer(add_completion=False)


def values(coefficients: Mapping[str, float]) -> Floats:
    """(names,) the coefficients as an array, the overhead first."""
    return np.array([coefficients.get(name, 0.0) for name in NAMES])


def scaled(base: Mapping[str, float], rows: Sequence[Row]) -> dict[str, float]:
    """`base` times the median ratio of `rows` to what `base` predicts for them: the same runtime on another processor."""
    ratio = float(np.median(fitting.latencies(rows) / (fitting.amounts(FORM, rows) @ values(base))))
    return {name: ratio * value for name, value in base.items()}


def rounded(fit: Fit) -> dict[str, float]:
    """Coefficients as they are committed."""
    return {name: float(f"{value:.4g}") for name, value in fit.coefficients.items()}


def note10(data: Path) -> tuple[Fit, Fit]:
    """Fits to the Note10's blocks, leaving out a resolution, then a kind of block (all resolutions and kernels of it)."""
    found = block_tables.read(data / "pixel1_note10_blocks.csv", "note10")
    settings = Settings(fixed=NO_OVERHEAD, robust=False)
    by_resolution = [Row(block.key, block.table, block.operators, block.latency_ms, 0.0) for block in found]
    by_kind = [Row(block.key, _kind(block), block.operators, block.latency_ms, 0.0) for block in found]
    return fitting.fit(FORM, by_resolution, settings), fitting.fit(FORM, by_kind, settings)


def _kind(block: block_tables.MeasuredBlock) -> str:
    sides = [operator for operator in block.operators if operator.kind != "add"]
    return f"{len(block.operators)} operators, {sides[0].in_channels} to {sides[-1].out_channels} channels"


def pixel1(data: Path, base: Mapping[str, float]) -> tuple[dict[str, float], Floats, Fit]:
    """Coefficients from blocks alone, their predictions of the networks (never seen), and the fit to both."""
    blocks = block_tables.read(data / "pixel1_note10_blocks.csv", "pixel1")
    rows = [Row(block.key, block.key, block.operators, block.latency_ms, 0.0) for block in blocks]
    prior = scaled(base, rows)
    # the classifier was timed by itself: the price of reading weights needs no help
    free = {name: value for name, value in prior.items() if name != "weights_ms_per_mb"}
    settings = Settings(prior=free, ridge=RIDGE["pixel-1 blocks"], fixed=NO_TRAFFIC, robust=False)
    alone = dict(zip(NAMES, fitting.solve(NAMES, fitting.amounts(FORM, rows), fitting.latencies(rows), settings).tolist(), strict=True))
    networks = networks_csv.read(
        data / "pixel1_mobilenet_v2_networks.csv", "mobilenet_v2-{width}@{resolution}", "pixel1_ms", public_networks.operators
    )
    whole = [Row(network.name, network.name, network.operators, network.latency_ms) for network in networks]
    unseen = fitting.amounts(FORM, whole) @ values(alone)
    both = Settings(prior=alone, ridge=RIDGE["pixel-1 networks"], fixed=NO_TRAFFIC, robust=False)
    return alone, unseen, fitting.fit(FORM, whole, both)


def fbnet(data: Path, device: str, name: str, base: Mapping[str, float]) -> relative_fitting.RelativeFit:
    """Fit to the FBNet blocks of `device`, places of a network left out in turn; groups and shuffles are free."""
    found = fbnet_blocks.read(data / "raspi4_pixel3_fbnet_blocks.csv", device)
    rows = [Row(block.op, block.slot, block.operators, block.latency_ms, 0.0) for block in found]
    plain = [row for row, block in zip(rows, found, strict=True) if block.absolute and "_g" not in block.op]
    relative = {block.slot for block in found if not block.absolute}
    prior = {key: value for key, value in scaled(base, plain).items() if key not in ("grouped_ms_per_mmac", "shuffle_ms_per_mb")}
    return relative_fitting.fit(FORM, rows, relative, Settings(prior=prior, ridge=RIDGE[name], fixed=NO_TRAFFIC, robust=False))


def paddle_name(model: str) -> str:
    """The network in `public_networks` that PaddleClas calls `model`; "" for other precisions."""
    found = re.fullmatch(r"(MobileNetV\d|ShuffleNetV2|GhostNet)(_large|_small|_swish)?(?:_x(\d)_(\d+))?", model)
    if found is None:
        return ""
    family = {"ShuffleNetV2": "shufflenet_v2", "GhostNet": "ghostnet"}.get(found[1], f"mobilenet_v{found[1][-1]}") + (found[2] or "")
    return family + (f"-{found[3]}.{found[4]}" if found[3] else "")


def snapdragon855(data: Path, base: Mapping[str, float]) -> tuple[Fit, Fit]:
    """Fits to the networks, leaving out a network, then a family (MobileNetV3's two sizes are one)."""
    networks = networks_csv.read(
        data / "sd855_paddle_networks.csv",
        "{model}",
        "sd855_ms",
        lambda name: public_networks.operators(name, "paddle"),
        paddle_name,
    )
    by_network = [Row(network.name, network.name, network.operators, network.latency_ms) for network in networks]
    by_family = [Row(row.name, re.split(r"_large|_small|_swish|-", row.name)[0], row.operators, row.latency_ms) for row in by_network]
    known = {name: value for name, value in base.items() if name not in BORROWED and value > 0}
    moved = dict.fromkeys(("shuffle_ms_per_mb", "move_ms_per_mb"), known["elementwise_ms_per_mb"])
    prior = {**known, **moved, "grouped_ms_per_mmac": known["pointwise_ms_per_mmac"]}
    prior["exponential_ms_per_mb"] = EXPONENTIAL * known["hard_activation_ms_per_mb"]
    settings = Settings(prior=scaled(prior, by_network), ridge=RIDGE["snapdragon-855"], fixed=NO_OVERHEAD, robust=False)
    return fitting.fit(FORM, by_network, settings), fitting.fit(FORM, by_family, settings)


EXPONENTIAL = 2.0
"""Guess that only one network (ShuffleNetV2 with swish) corrects: what an exponential costs, in piecewise linear activations."""

BORROWED = ("grouped_ms_per_mmac", "shuffle_ms_per_mb", "move_ms_per_mb", "exponential_ms_per_mb")
"""What the Note10's table lacks."""


def completed(base: Mapping[str, float], pixel3: Mapping[str, float], sd855: Mapping[str, float]) -> dict[str, float]:
    """The Note10's coefficients with those that its table lacks; moving a number costs what adding two does."""

    def borrowed(name: str, other: Mapping[str, float]) -> float:
        return base["pointwise_ms_per_mmac"] * other[name] / other["pointwise_ms_per_mmac"]

    return {
        **base,
        "grouped_ms_per_mmac": borrowed("grouped_ms_per_mmac", pixel3),
        "shuffle_ms_per_mb": borrowed("shuffle_ms_per_mb", pixel3),
        "exponential_ms_per_mb": borrowed("exponential_ms_per_mb", sd855),
        "move_ms_per_mb": base["elementwise_ms_per_mb"],
    }


def evaluate(data: Path) -> dict[str, Any]:
    """All devices: coefficients, interval, errors and predictions, rounded to what is committed."""
    by_resolution, by_kind = note10(data)
    seen = by_resolution.coefficients
    by_network, by_family = snapdragon855(data, seen)
    start = {**seen, "move_ms_per_mb": seen["elementwise_ms_per_mb"]}
    first = fbnet(data, "pixel3", "pixel-3", start).fit.coefficients
    base = completed(seen, first, by_network.coefficients)
    alone, unseen, both = pixel1(data, base)
    pixel3, raspi4 = fbnet(data, "pixel3", "pixel-3", base), fbnet(data, "raspi4", "raspberry-pi-4", base)
    # what is lost between a table of blocks and whole networks of others: known on the one device that has both
    lost = both.measured_ms / unseen
    transfer = {CONFIDENCE: fitting.conformal_factors(lost), **fitting.levels(lost)}
    return {
        "command": COMMAND,
        "devices": {
            "galaxy-note10": {
                **_device({**by_resolution.coefficients, **base}, by_resolution, transfer, "leave one resolution out"),
                "leave one kind of block out": _errors(by_kind),
            },
            "pixel-1": {
                **_device(both.coefficients, both, dict.fromkeys((CONFIDENCE, *LEVELS), (LATER_RELEASE, 1.0)), "leave one network out"),
                "blocks alone": {
                    "coefficients": {name: float(f"{value:.4g}") for name, value in alone.items()},
                    "networks": len(unseen),
                    "mape_percent": round(fitting.mape_percent(unseen, both.measured_ms), 2),
                    "bias_percent": round(100 * float(np.mean(unseen / both.measured_ms - 1)), 2),
                    "spearman": round(fitting.spearman(unseen, both.measured_ms), 4),
                    "ratios": [round(float(ratio), 3) for ratio in np.sort(both.measured_ms / unseen)],
                },
            },
            "pixel-3": {
                **_device(pixel3.fit.coefficients, pixel3.fit, transfer, "leave one place out"),
                "constants_ms": {slot: round(value, 4) for slot, value in pixel3.constants_ms.items()},
            },
            "raspberry-pi-4": {
                **_device(raspi4.fit.coefficients, raspi4.fit, transfer, "leave one place out"),
                "constants_ms": {slot: round(value, 4) for slot, value in raspi4.constants_ms.items()},
            },
            "snapdragon-855": {
                **_device(by_family.coefficients, by_family, dict.fromkeys((CONFIDENCE, *LEVELS), (1.0, 1.0)), "leave one family out"),
                "leave one network out": _errors(by_network),
            },
        },
        "transfer from blocks to networks": [round(factor, 3) for factor in transfer[CONFIDENCE]],
    }


def _errors(fit: Fit) -> dict[str, float]:
    return {
        "rows": len(fit.measured_ms),
        "mape_percent": round(fit.mape_percent, 2),
        "macs_only_mape_percent": round(fit.baseline_mape_percent, 2),
        "spearman": round(fit.spearman, 4),
    }


def _device(coefficients: Mapping[str, float], fit: Fit, transfer: Mapping[float, tuple[float, float]], how: str) -> dict[str, Any]:
    """What is kept of a device; its bounds are those of the fit times `transfer`, where that is known at the level."""
    final = {name: float(f"{coefficients[name]:.4g}") for name in NAMES}
    flavour = "paddle" if "family" in how else "tf"
    networks = [Row(name, name, public_networks.operators(name, flavour), 1.0) for name in PREDICTED]
    predictions = fitting.amounts(FORM, networks) @ values(final)
    return {
        "held out": {"how": how, **_errors(fit)},
        "interval": {
            "confidence": fit.confidence,
            "low_factor": round(fit.low_factor * transfer[CONFIDENCE][0], 3),
            "high_factor": round(fit.high_factor * transfer[CONFIDENCE][1], 3),
            "levels": target_text.level_text(
                {
                    level: (low * transfer[level][0], high * transfer[level][1])
                    for level, (low, high) in fitting.levels(fit.measured_ms / fit.predicted_ms).items()
                    if level in transfer
                }
            ),
        },
        "coefficients": final,
        "predictions_ms": {name: round(float(ms), 2) for name, ms in zip(PREDICTED, predictions, strict=True)},
    }


def target(name: str, device: Mapping[str, Any], when: datetime.date) -> dict[str, Any]:
    """The `[[targets]]` table of a profile."""
    held_out = device["held out"]
    return {
        "runtime": RUNTIMES[name],
        "runtime_version": VERSION,
        "precision": "fp32",
        "threads": 1,
        "origin": "calibrated",
        "model": "kernel_model",
        "provenance": {"source": SOURCES[name], "when": when, "command": COMMAND},
        "error": {
            "mape_percent": held_out["mape_percent"],
            "rows": held_out["rows"],
            "baseline_mape_percent": held_out["macs_only_mape_percent"],
            "of": HELD_OUT[held_out["how"]],
        },
        "parameters": {
            "form": "mobile_cpu",
            "covers": COVERS[name],
            # the last two are an assumption, not a measurement: kernels of a kind that the source does not contain
            "interval": {**device["interval"], "extrapolated_low_factor": 0.5, "extrapolated_high_factor": 2.0},
            "coefficients": device["coefficients"],
        },
    }


def replaced(profile: str, body: str) -> str:
    """The text of a profile with `body` between the two marks; what stands around them, such as measured targets, stays."""
    head, _, rest = profile.partition(MARK)
    return head + MARK + body + END + rest.partition(END)[2]


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="Folder with the four CSV files.", exists=True, file_okay=False)],
    when: Annotated[str, typer.Option(help="Date of the fit, YYYY-MM-DD; today if not given.")] = "",
) -> None:
    """Fits the five devices, prints their errors, and writes the results file and the device profiles."""
    result = evaluate(data)
    atomic_write(RESULTS, json.dumps(result, indent=2) + "\n")
    date = datetime.date.fromisoformat(when) if when else datetime.date.today()
    table = Table("held out", "rows", "MAPE %", "MACs only %", "Spearman", "interval")
    for name, device in result["devices"].items():
        path = hardware_profiles.FOLDER / f"{name}.toml"
        body = tomli_w.dumps({"targets": [target(name, device, date)]})
        atomic_write(path, replaced(path.read_text(encoding="utf-8"), body))
        figures = device["held out"]
        interval = f"{device['interval']['low_factor']} to {device['interval']['high_factor']}"
        numbers = (str(figures[key]) for key in ("rows", "mape_percent", "macs_only_mape_percent", "spearman"))
        table.add_row(f"{name}: {figures['how']}", *numbers, interval)
    output.print(table)
    alone = result["devices"]["pixel-1"]["blocks alone"]
    output.print(f"pixel-1, blocks alone to {alone['networks']} networks: {alone['mape_percent']} %, Spearman {alone['spearman']}")
    output.print(f"wrote {RESULTS.relative_to(ROOT)} and {len(result['devices'])} profiles", soft_wrap=True)


if __name__ == "__main__":
    run(app)
