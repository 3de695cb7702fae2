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


def publish_found(result: "ScoredResult | TabularResult", folder: Path, as_json: bool) -> None:
    """Writes the report of a search alone into `folder`, and shows the front it found, or its `front.json`, on standard output."""
    from nas import report
    from nas.run_folder import RunFolder

    found = result.found(RunFolder(folder))
    report.write_found(found, folder)
    if as_json:
        typer.echo(json.dumps(result.json(), indent=2))
        return
    output.print(report.found_table(found))
    output.print(f"Report: {folder / 'report.html'}   Front: {folder / 'front.json'}", markup=False, highlight=False, soft_wrap=True)


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
