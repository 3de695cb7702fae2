"""A finished run as files that people read and scripts use: pure functions from a `RunResult` to text."""

import json
from pathlib import Path

from nas.core.result import RunResult
from nas.files import atomic_write
from nas.report.html import report_html
from nas.report.pareto import environment_json, pareto_csv, pareto_json
from nas.report.terminal import summary_table

__all__ = ["pareto_csv", "pareto_json", "report_html", "summary_table", "write"]


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


def _json_text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
