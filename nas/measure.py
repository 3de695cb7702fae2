"""`python -m nas.measure`: times the blocks of a search space on the machine in hand and writes its latency table."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nas.cli import messages, output, run
from nas.core.errors import DeviceError, MeasurementError

app = typer.Typer(add_completion=False)

SECONDS_A_TIMING = 0.25
"""Rough time of one timing, its share of exporting included; only for the estimate of `--dry-run`."""

NOISY_PERCENT = 10.0
"""Held-out error above which something else was probably using the processor."""


@app.command(
    epilog="Examples: python -m nas.measure --device local · python -m nas.measure --space mobile_shuffle --channels 3 --classes 1000 · "
    "python -m nas.measure --quick --dry-run"
)
def main(
    device: Annotated[str, typer.Option(help="Device whose runtime is on this machine: a name or a path to a .toml file.")] = "local",
    space: Annotated[str, typer.Option(help="Search space whose blocks are measured.")] = "mobile_shuffle_32",
    channels: Annotated[int, typer.Option(min=1, help="Channels of the images: 1 grey, 3 colour.")] = 1,
    classes: Annotated[int, typer.Option(min=2, help="Outputs of the networks.")] = 10,
    threads: Annotated[int, typer.Option(min=1, help="Threads of one run; the device must have a target with that many.")] = 1,
    precision: Annotated[str, typer.Option(help="Numbers that are measured: fp32.")] = "fp32",
    passes: Annotated[int | None, typer.Option(min=1, help="Passes over all blocks; the median counts. 3, or 1 with --quick.")] = None,
    quick: Annotated[bool, typer.Option(help="0.1 s a block instead of up to 1 s: a first idea, wider intervals.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be measured and how long it would take, and stop.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh/--resume", help="Discard an unfinished measurement instead of continuing it.")] = False,
) -> None:
    """Time every block of a search space on this machine and write its latency table.

    Latencies are milliseconds for one image. Blocks are exported to ONNX and timed one by one, pinned to a core, until the
    median is known within 2 % (5 % with --quick); whole networks calibrate their sum and give the interval. Ctrl-C loses
    nothing: the same command continues.
    """
    import hardware_profiles
    import search_spaces

    profile = hardware_profiles.load(device)
    targets = [each for each in profile.targets if (each.target.precision, each.target.threads) == (precision, threads)]
    if not targets or targets[0].model != "lookup_table":
        have = "; ".join(str(each.target) for each in profile.targets)
        raise DeviceError(f"{device} has no table to measure for {precision} with {threads} thread(s) on this machine, only: {have}")
    target = targets[0].target
    if (target.runtime, precision) != ("onnxruntime", "fp32"):
        raise MeasurementError(f"only onnxruntime fp32 can be measured here, {device} asks for {target.runtime} {precision}")
    found_space = search_spaces.load(space)

    from hardware_profiles import table_file
    from nas.measurement import FULL, QUICK, Job, measure, read_journal, with_passes

    plan = QUICK if quick else FULL
    plan = with_passes(plan, passes) if passes else plan
    command = " ".join(["python -m nas.measure", *sys.argv[1:]])
    table = table_file.path_of(Path(profile.path), target)
    job = Job(target, found_space, channels, classes, plan, table, profile.max_onnx_opset, command)
    if fresh and not dry_run:
        job.journal.unlink(missing_ok=True)
    total = job.timings
    if dry_run:
        left = total - sum(len(found) for found in read_journal(job).values()) if not fresh else total
        output.print(f"{target}: {len(job.items())} blocks and networks of {found_space.key} in {plan.passes} pass(es)", soft_wrap=True)
        output.print(f"{left} of {total} timings left, about {left * SECONDS_A_TIMING / 60:.0f} min, into {table}", soft_wrap=True)
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left:"), TimeRemainingColumn())
    with Progress(*columns, console=messages) as progress:
        task = progress.add_task(f"timing {space} on {device}", total=total)
        head = measure(job, lambda steps: progress.advance(task, steps)).head
    output.print(f"wrote {table}", soft_wrap=True)
    output.print(
        f"whole networks = {head.calibration.factor:.3f} x sum of blocks + {head.calibration.offset_ms:.4f} ms; "
        f"error on {head.error.rows} held-out networks {head.error.mape_percent} % (MACs alone: {head.error.baseline_mape_percent} %)",
        soft_wrap=True,
    )
    if head.error.mape_percent > NOISY_PERCENT:
        messages.print(
            f"that error is large (a quiet machine reaches {NOISY_PERCENT:.0f} %): close other programs and run the command again",
            soft_wrap=True,
        )


if __name__ == "__main__":
    run(app)
