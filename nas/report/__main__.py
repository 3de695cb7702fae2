"""`python -m nas.report RUN`: writes a run's report again, from its files alone."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli import publish, publish_devices, publish_found, run

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: python -m nas.report runs/jetson-nano-20ms")
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `nas.search` wrote, such as runs/jetson-nano-20ms.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print pareto.json (or devices.json, or front.json) on standard output, and nothing else there.")
    ] = False,
) -> None:
    """Rebuilds the reports of a finished run, and the figures beside them, from its folder; measures nothing."""
    from nas.run_folder import RunFolder
    from nas.settings import RunSettings
    from nas.several_settings import is_of_several

    written = RunFolder(folder).settings
    if is_of_several(written):
        from nas import several_devices

        publish_devices(several_devices.conclude_again(folder), folder, as_json)
        return
    settings = RunSettings.read(written) if written.exists() else None
    if settings and settings.table:
        from nas import tabular_search

        publish_found(tabular_search.conclude_again(folder), folder, as_json)
        return
    if settings and settings.accuracy != "supernet":
        from nas import scored_search

        publish_found(scored_search.conclude_again(folder), folder, as_json)
        return
    from nas import pipeline

    publish(pipeline.conclude_again(folder), folder, as_json)


if __name__ == "__main__":
    run(app)
