"""`python -m nas.measure`: times the blocks of a search space on a device and writes its latency table."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli import messages, output, run
from nas.core.errors import DeviceError

if TYPE_CHECKING:
    from latency_models.hosts import Host
    from nas.measuring.job import Job, Wanted
    from nas.measuring.target import Found

app = typer.Typer(add_completion=False)

SECONDS_A_TIMING, SECONDS_A_FILE, SECONDS_A_MMAC = 0.06, 0.08, 0.005
"""Rough cost of a timing, of writing a file, and what a model's size adds to a timing; for the estimate of `--dry-run`."""

NOISY_PERCENT = 6.0
"""Held-out error above which something else was probably using the processor."""

SMALL_PX = 32
"""Spaces of at most this resolution are taken to be for grey images in 10 classes, others for colour in 1000."""


@app.command(
    epilog="Examples: python -m nas.measure · python -m nas.measure --precision int8 --threads 2 · "
    "python -m nas.measure --space mobile_shuffle --dry-run · "
    "python -m nas.measure --device my-pi --target ssh://pi@raspberrypi.local · "
    "python -m nas.measure --runtime onnxruntime-web · python -m nas.measure --passes 5 · python -m nas.measure --check"
)
def main(
    device: Annotated[str, typer.Option(help="Name of the device, or a path to its .toml file; a new name gets a new file.")] = "local",
    target: Annotated[str, typer.Option(help="Where it is: local, or ssh://user@host, with :port and /folder where needed.")] = "local",
    runtime: Annotated[str, typer.Option(help="onnxruntime, litert, or onnxruntime-web (local only).")] = "onnxruntime",
    provider: Annotated[str, typer.Option(help="Execution provider of ONNX Runtime: cpu, cuda, tensorrt, xnnpack...")] = "cpu",
    precision: Annotated[str, typer.Option(help="Numbers that are computed with: fp32 or int8.")] = "fp32",
    threads: Annotated[int, typer.Option(min=1, help="Threads of one run.")] = 1,
    space: Annotated[str, typer.Option(help="Search space whose blocks are measured.")] = "mobile_shuffle_32",
    channels: Annotated[
        int | None, typer.Option(min=1, help=f"Channels of the images; 1 for spaces up to {SMALL_PX} px, else 3.", show_default=False)
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help=f"Outputs of the networks; 10 for spaces up to {SMALL_PX} px, else 1000.", show_default=False)
    ] = None,
    passes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over all blocks (networks: at least 5); the best counts. New ones get 3, or 1 with --quick; what the table "
            "has in fewer than you ask for gets those that are lacking.",
            show_default=False,
        ),
    ] = None,
    probes: Annotated[
        bool,
        typer.Option("--probes/--no-probes", help="Time some blocks of no space too, from which nas.price knows what other networks cost."),
    ] = True,
    quick: Annotated[bool, typer.Option(help="One pass, fewer whole networks: a first idea, wider intervals.")] = False,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.99, help="How often the interval is to hold the truth; more than 0.95 needs more networks.")
    ] = 0.95,
    dry_run: Annotated[bool, typer.Option(help="Say what would be measured and how long it would take, and stop.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Begin again instead of adding; the old table stays until the new one is whole.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Measure a few networks again, say whether the table still holds, and note it.")
    ] = False,
) -> None:
    """Time every block of a search space on a device and write its latency table.

    Latencies are milliseconds for one image. Blocks are timed one by one, pinned to cores, in random order between runs of a
    sentinel network: where that drifts by 5 %, what lies between is measured again. Whole networks calibrate the blocks' sum
    and give the interval. Ctrl-C, a cut connection or a dead battery lose one model at most: the same command continues.
    """
    import search_spaces
    from latency_models.hosts import connect
    from nas.measuring.job import FULL, QUICK, Job
    from nas.measuring.target import Asked, find

    found_space = search_spaces.load(space)
    small = found_space.resolutions[-1] <= SMALL_PX
    plan = QUICK if quick else FULL
    plan = replace(plan, passes=passes, at_least=passes) if passes else plan
    command = " ".join(["python -m nas.measure", *sys.argv[1:]])
    host = connect(target)
    try:
        asked = Asked(device, target, runtime, provider, precision, threads)
        found = find(asked, host, may_write=not (dry_run or check), any_version=check or fresh)
        images = channels or (1 if small else 3), classes or (10 if small else 1000)
        files = found.table, found.max_onnx_opset
        job = Job(found.target, found.machine, found_space, *images, plan, *files, command, provider, confidence, probes, fresh)
        if check:
            _check(job, host, found)
        elif dry_run:
            _dry_run(job)
        else:
            if fresh:
                _say_replaced(job)
                job.discard()
            _measure(job, host)
            found.state_version()
    finally:
        host.close()


def _measure(job: "Job", host: "Host") -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from nas.measuring.job import measure

    wanted = job.wanted()
    if not wanted.keys(job.plan):
        _say_complete(job, wanted)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left:"), TimeRemainingColumn())
    with Progress(*columns, console=messages) as progress:
        task = progress.add_task(f"timing {job.space.name} on {job.target.device}", total=None)
        head = measure(job, host, lambda done, of: progress.update(task, completed=done, total=of)).head
    fit = next(each for each in head.fits if each.space == job.space.key)
    terms, error = fit.calibration, fit.error
    cold = f" + {terms.cold_ms_per_mb:.4f} ms for each MB of weights beyond {terms.cached_mb:g}" if terms.cold_ms_per_mb else ""
    output.print(f"wrote {job.table}", soft_wrap=True)
    output.print(
        f"networks of {job.space.name} = {terms.factor:.3f} x sum of blocks - {terms.join_ms:.4f} ms a join{cold}; error on "
        f"{error.rows} held-out networks {error.mape_percent} % (MACs alone: {error.baseline_mape_percent} %), interval "
        f"{100 * terms.low_factor - 100:+.1f} to {100 * terms.high_factor - 100:+.1f} % at {terms.confidence:.0%}",
        soft_wrap=True,
    )
    if error.mape_percent > NOISY_PERCENT:
        messages.print(
            f"that error is large (a quiet machine reaches {NOISY_PERCENT:.0f} %): close other programs, fix the clocks, and run the "
            f"command again with --passes {head.passes_to_better(job.space.key)}, which adds "
            "timings (the least counts), or with --fresh",
            soft_wrap=True,
        )


def _say_complete(job: "Job", wanted: "Wanted") -> None:
    """That nothing is left to be timed, in how many passes everything was, and what would time more."""
    from nas.measuring.tables import in_passes

    passes = [row.passes for row in wanted.rows.values()]
    networks = in_passes([network.passes for network in wanted.timed.values()])
    output.print(
        f"{job.table} holds all of {job.space.key}: {len(passes)} blocks in {in_passes(passes)}, {len(wanted.timed)} whole networks in "
        f"{networks}. --passes {max(passes) + 1} or more adds to them, --check looks whether they still hold, --fresh begins again.",
        soft_wrap=True,
    )
    if job.journal.exists():
        output.print(f"{job.journal} holds more timings, of a measurement that was interrupted: its command finishes it.", soft_wrap=True)


def _say_replaced(job: "Job") -> None:
    """What the new table will not hold."""
    from hardware_profiles import table_file

    try:
        fits = table_file.read(job.table).head.fits if job.table.exists() else ()
    except DeviceError:  # damaged, or of an older version: it is for such that one begins again
        return
    others = [fit.space for fit in fits if fit.space != job.space.key]
    if others:
        messages.print(f"the new table will hold {job.space.key} alone: time {' and '.join(others)} again with --space", soft_wrap=True)


def _dry_run(job: "Job") -> None:
    from nas.measuring.job import ROUNDS
    from nas.measuring.journal import Journal, is_of
    from nas.measuring.tables import in_passes
    from search_spaces import blocks

    wanted = job.wanted()
    keys = wanted.keys(job.plan)
    if not keys:
        _say_complete(job, wanted)
        return
    begins = job.fresh and job.journal.exists() and not is_of(job.journal, job.title)
    missing = dict.fromkeys(keys, 0) if begins else Journal(job.journal, job.title).missing(keys, ROUNDS)
    passes: dict[str, list[int]] = {}
    for item, number in keys:
        passes.setdefault(item, []).append(number)
    seconds = 0.0
    for item, numbers in passes.items():
        spec = wanted.items[item]
        operators = [operator for block in getattr(spec, "blocks", (spec,)) for operator in blocks.operators(block)]
        left = sum((item, number) in missing for number in numbers)
        mmacs = sum(operator.macs for operator in operators) / 1e6
        seconds += SECONDS_A_FILE * (left > 0) + left * (SECONDS_A_TIMING + SECONDS_A_MMAC * mmacs)
    counts = [len([item for item in passes if item in group]) for group in (wanted.blocks, wanted.networks)]
    how_often = in_passes([len(numbers) for numbers in passes.values()])
    counted = f"{counts[0]} blocks and {counts[1]} whole networks of {job.space.key}"
    output.print(f"{job.target}: {counted} to time, in {how_often}", soft_wrap=True)
    count = f"{len(missing)} of {len(keys)} timings left"
    output.print(f"{count}, about {seconds / 60:.0f} min on a processor like a laptop's, into {job.table}", soft_wrap=True)


def _check(job: "Job", host: "Host", target: "Found") -> None:
    """Says whether the table still holds, and writes it into the table; exit code 1 if not."""
    from hardware_profiles.table_file import DRIFT_PERCENT
    from nas.measuring.check import check, record

    found = check(job, host)
    head, verdict = found.table.head, found.verdict
    output.print(f"{head.target}, measured {head.provenance.when}, looked at again with {verdict.runtime_version}:", soft_wrap=True)
    for name, was_ms, now_ms in found.networks:
        output.print(f"  {name}: {was_ms:.3f} ms then, {now_ms:.3f} ms now ({100 * (now_ms / was_ms - 1):+.1f} %)")
    record(job, found)
    target.state_version()
    stale = "it holds no longer, and is refused until it is measured anew: run the command with --fresh instead of --check"
    answer = f"it still holds, and is used with {verdict.runtime_version} from now on" if verdict.holds else stale
    output.print(f"median change {verdict.change_percent:+.1f} % (up to {DRIFT_PERCENT:.0f} % counts as none): {answer}", soft_wrap=True)
    if not verdict.holds:
        raise typer.Exit(1)


if __name__ == "__main__":
    run(app)
