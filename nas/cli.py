"""What the commands share: one way to report an error, to show progress, and to stop."""

import sys

import click
import typer
from rich.console import Console

from nas.core.errors import NasError

output = Console()
"""Results: standard output."""

messages = Console(stderr=True)
"""Progress and errors: standard error, so that `--json` stays clean."""


def run(app: typer.Typer) -> None:
    """Runs the command line; a `NasError` becomes one sentence on standard error and its exit code."""
    try:
        result = app(standalone_mode=False)
    except NasError as error:
        messages.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        messages.print("stopped. Nothing is lost: the same command continues.", markup=False)
        sys.exit(130)
    except OSError as error:
        messages.print(
            f"error: {error.strerror or error}: {error.filename or ''} (what was finished is kept)", markup=False, soft_wrap=True
        )
        sys.exit(2)
    sys.exit(result if isinstance(result, int) else 0)
