"""What the commands share: one way to report an error, to show progress, and to stop."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from nas.core.errors import NasError

if TYPE_CHECKING:
    from nas.core.comparison import Comparison
    from nas.core.result import RunResult
    from nas.scored_search import ScoredResult
    from nas.tabular_search import TabularResult

output = Console()
"""Results: standard output."""

messages = Console(stderr=True)
"""Progress and errors: standard error, so that `--json` stays clean."""


INTERRUPTED = 130
"""Exit code that typer gives a command that was stopped by Ctrl-C."""


def epilog(text: str) -> str:
    """`text` with every line as a paragraph of its own, which is how typer keeps lines apart."""
    return "\n\n".join(line for line in text.splitlines() if line.strip())


def publish(result: "RunResult", folder: Path, as_json: bool) -> None:
    """Writes the report of `result` into `folder`, and shows its table, or its `pareto.json`, on standard output."""
    from nas import report

    report.write(result, folder)
    if as_json:
        typer.echo(json.dumps(report.pareto_json(result), indent=2))
        return
    output.print(report.summary_table(result))
    output.print(f"Report: {folder / 'report.html'}   Models: {folder / 'models'}", markup=False, highlight=False, soft_wrap=True)


def publish_devices(comparison: "Comparison", folder: Path, as_json: bool) -> None:
    """Writes the reports of a run for several devices, and shows their tables, or its `devices.json`, on standard output."""
    from nas import report

    report.write_devices(comparison, folder)
    if as_json:
        typer.echo(json.dumps(report.devices_json(comparison), indent=2))
        return
    output.print(report.devices_tables(comparison))
    output.print(f"Report: {folder / 'report.html'}   Each device: {folder}/NAME", markup=False, highlight=False, soft_wrap=True)


def publish_table(result: "TabularResult", folder: Path, as_json: bool) -> None:
    """Shows the front that a search in a table found, or its `front.json`, on standard output."""
    if as_json:
        typer.echo(json.dumps(result.json(), indent=2))
        return
    from rich.table import Table

    from nas.core.units import format_latency

    table = Table("latency", "accuracy", *(gene.name for gene in result.table.genes))
    for record in result.front():
        row = result.table.row(record.architecture)
        figures = format_latency(record.latency.ms), f"{result.table.accuracy[row]:g}"
        table.add_row(*figures, *(str(value) for value in result.table.describe(row).values()))
    output.print(table)
    output.print(f"{len(result.evaluated)} of {result.feasible:,} rows within {result.budget} evaluated. Front: {folder / 'front.json'}")


def publish_scored(result: "ScoredResult", as_json: bool) -> None:
    """Shows the front that a search without images found, or its `front.json`, on standard output."""
    if as_json:
        typer.echo(json.dumps(result.json(), indent=2))
        return
    output.print(result.table())
    kind = "a prediction, not a measurement" if result.score.is_accuracy else "no accuracy: it only compares networks of this space"
    output.print(f"The {result.score.quantity} is {kind}.", markup=False, highlight=False, soft_wrap=True)


def run(app: typer.Typer) -> None:
    """Runs the command line; a `NasError` becomes one sentence on standard error and its exit code."""
    try:
        result = app(standalone_mode=False)
    except NasError as error:
        messages.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        error.show()  # type: ignore[attr-defined]  # all that the parser raises have it
        sys.exit(error.exit_code)
    except OSError as error:
        messages.print(
            f"error: {error.strerror or error}: {error.filename or ''} (what was finished is kept)", markup=False, soft_wrap=True
        )
        sys.exit(2)
    code = result if isinstance(result, int) else 0
    if code == INTERRUPTED:
        messages.print("stopped: the same command continues (of a training, at most the last seconds are done again).", markup=False)
    sys.exit(code)
