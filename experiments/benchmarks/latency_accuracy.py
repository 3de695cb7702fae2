"""How far predicted networks are from measured ones, on networks that no calibration has seen: for every table of a device.

    python -m experiments.benchmarks.latency_accuracy [--device local] [--out experiments/results/latency_accuracy.json]

Reads the tables that `python -m nas.measure` wrote, which hold their whole networks with them. Beside the calibrated sum stand
what others use: a line through MACs alone, and the plain sum of the blocks.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import hardware_profiles
from hardware_profiles import table_file
from hardware_profiles.table_file import Calibration, NetworkTiming, Table
from latency_models.calibration import line, predicted_ms
from latency_models.fitting import mape_percent, spearman
from nas.files import atomic_write

NEAR = 0.08
"""Share of the truth within which a prediction is called near."""


def rows(table: Table) -> list[dict[str, Any]]:
    """A row a space of `table`: errors on its held-out networks."""
    found = []
    for space in sorted({network.space for network in table.head.networks}):
        unseen = [network for network in table.head.networks if network.held_out and network.space == space]
        used = [network for network in table.head.networks if not network.held_out and network.space == space]
        figures = errors(unseen, used, table.head.calibration_of(space))
        found.append({"target": str(table.head.target), "space": space, "blocks": len(table.rows), **figures})
    return found


def errors(unseen: Sequence[NetworkTiming], used: Sequence[NetworkTiming], calibration: Calibration) -> dict[str, Any]:
    """Figures of `calibration`, of MACs alone and of the plain sum, on `unseen`."""
    measured = np.array([network.measured_ms for network in unseen])
    predicted = predicted_ms(unseen, calibration)
    slope, offset_ms = line(np.array([float(network.macs) for network in used]), np.array([network.measured_ms for network in used]))
    macs = np.array([slope * network.macs + offset_ms for network in unseen])
    plain = np.array([network.sum_ms for network in unseen])
    inside = (measured >= calibration.low_factor * predicted) & (measured <= calibration.high_factor * predicted)
    return {
        "networks": len(unseen),
        "measured_ms": [round(float(measured.min()), 4), round(float(measured.max()), 4)],
        "mape_percent": round(mape_percent(predicted, measured), 2),
        "within_8_percent": round(100 * float((np.abs(predicted / measured - 1) <= NEAR).mean()), 1),
        "spearman": round(spearman(predicted, measured), 4),
        "interval_percent": [round(100 * calibration.low_factor - 100, 1), round(100 * calibration.high_factor - 100, 1)],
        "confidence": round(calibration.confidence, 3),
        "inside_percent": round(100 * float(inside.mean()), 1),
        "above_upper_percent": round(100 * float((measured > calibration.high_factor * predicted).mean()), 1),
        "macs_only_mape_percent": round(mape_percent(macs, measured), 2),
        "plain_sum_mape_percent": round(mape_percent(plain, measured), 2),
        "macs_only_spearman": round(spearman(macs, measured), 4),
    }


def show(found: Sequence[dict[str, Any]]) -> None:
    """The table on standard output."""
    from rich.console import Console
    from rich.table import Table as Shown

    names = ("mape_percent", "within_8_percent", "spearman", "inside_percent", "above_upper_percent", "macs_only_mape_percent")
    shown = Shown("target", "space", "networks", *names, "plain_sum_mape_percent")
    for row in found:
        figures = [str(row[name]) for name in (*names, "plain_sum_mape_percent")]
        shown.add_row(row["target"], row["space"].split("@")[0], str(row["networks"]), *figures)
    Console(width=180).print(shown)


def main() -> None:
    """Reads the command line, prints, and writes the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="local", help="device whose tables are looked at (default local)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "latency_accuracy.json", help="JSON to write")
    given = parser.parse_args()
    profile = hardware_profiles.load(given.device)
    paths = [table_file.path_of(Path(profile.path), each.target) for each in profile.targets]
    tables = [table_file.read(path) for path in paths if path.exists()]
    found = [row for table in tables for row in rows(table)]
    machines = sorted({table.head.machine for table in tables})
    show(found)
    atomic_write(given.out, json.dumps({"machines": machines, "rows": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
