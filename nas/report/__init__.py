"""A finished run as files that people read and scripts use: pure functions from what it found, one value, to text."""

import json
from pathlib import Path

from nas.core.comparison import Comparison
from nas.core.result import RunResult
from nas.core.search_result import SearchResult
from nas.files import atomic_write
from nas.report.devices import devices_json, devices_tables
from nas.report.devices_html import devices_html
from nas.report.html import report_html
from nas.report.pareto import environment_json, pareto_csv, pareto_json
from nas.report.search_html import search_html
from nas.report.terminal import found_table, summary_table

__all__ = [
    "devices_json",
    "devices_tables",
    "found_table",
    "pareto_csv",
    "pareto_json",
    "report_html",
    "search_html",
    "summary_table",
    "write",
    "write_devices",
    "write_found",
]


def write(result: RunResult, folder: Path) -> None:
    """Writes `report.html`, `pareto.csv`, `pareto.json` and `environment.json` into `folder`, each whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written.
        ValueError: a figure is NaN or infinite, which JSON cannot say.
    """
    contents = {
        "pareto.json": _json_text(pareto_json(result)),
        "environment.json": _json_text(environment_json(result)),
        "pareto.csv": pareto_csv(result),
        "report.html": report_html(result),
    }
    for name, content in contents.items():
        atomic_write(folder / name, content)


def write_devices(comparison: Comparison, folder: Path) -> None:
    """Writes the report of every device into its folder in `folder`, and `devices.json` and a `report.html` that compare beside them.

    Raises:
        OSError: the disk is full or a folder cannot be written.
        ValueError: a figure is NaN or infinite, which JSON cannot say.
    """
    for name, result in comparison.results.items():
        write(result, folder / name)
    atomic_write(folder / "devices.json", _json_text(devices_json(comparison)))
    atomic_write(folder / "report.html", devices_html(comparison))


def write_found(found: SearchResult, folder: Path) -> None:
    """Writes the `report.html` of a search alone into `folder`.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    atomic_write(folder / "report.html", search_html(found))


def _json_text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
