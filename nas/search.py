"""`python -m nas.search`: find, compress and export networks that run within a latency budget on a device."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli import epilog, messages, publish, publish_scored, run
from nas.core.units import parse_energy_mj, parse_latency_ms, parse_size_mb

app = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """
[bold]Examples[/]

  python -m nas.search --device jetson-nano --budget 20ms

  python -m nas.search --device jetson-nano --budget 20ms --max-size 1MB --max-memory 512kB

  python -m nas.search --device local --budget 500us --data folder:photos --trials 200 --workers 2

  python -m nas.search --device local --precision int8 --threads 2 --budget 1ms

  python -m nas.search --device jetson-nano --budget 20ms --executor ray --ray-address auto --workers 16

The same command again continues a run that was stopped; more --trials extend one that is finished.
Exit code 0: done; 2: wrong input; 3: no network of the space fits the limits; 130: stopped by Ctrl-C.
"""


@app.command(epilog=epilog(EXAMPLES))
def search(
    budget: Annotated[
        str, typer.Option(help="Latency limit per image with its unit, such as 20ms, 0.02s or 500us; held on the upper bound.")
    ],
    device: Annotated[
        str,
        typer.Option(help="Device to run on: a name that `python -m nas.devices` lists, or a path to a .toml. Needed, but for a table."),
    ] = "",
    runtime: Annotated[str, typer.Option(help="Runtime on the device, such as tensorrt; its first one if not given.")] = "",
    precision: Annotated[
        str, typer.Option(help="Numbers to compute with: fp32, fp16 or int8; candidates are priced, and picks made, for it.")
    ] = "fp32",
    threads: Annotated[int | None, typer.Option(min=0, help="Threads of the runtime (0: a GPU's); any if not given.")] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            help="Limit of a model file, such as 4MB, 512kB or 4MiB (MB: 10^6 bytes, MiB: 2^20), at the precision of the latencies.",
            show_default=False,
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(help="Limit of the memory that one image's activations take at their peak, such as 64MB.", show_default=False),
    ] = None,
    max_energy: Annotated[
        str | None,
        typer.Option(
            help="Limit of the energy per image, such as 50mJ or 0.05J, where power was measured; held on the upper bound.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[str, typer.Option(help="Images: embedded (5,000 of Fashion-MNIST), idx:PATH, folder:PATH or hf:NAME.")] = "embedded",
    space: Annotated[str, typer.Option(help="Search space: a file in search_spaces/, or tabular:TABLE.csv.")] = "mobile_shuffle_32",
    accuracy: Annotated[
        str, typer.Option(help="How candidates are judged: supernet (on your images), or with no training: imagenet, naswot, synflow, zen.")
    ] = "supernet",
    trials: Annotated[int, typer.Option(min=1, help="Distinct architectures to evaluate.")] = 48,
    seed: Annotated[int, typer.Option(min=0, help="Decides every random choice.")] = 0,
    picks: Annotated[int, typer.Option(min=1, help="Networks to take from the front, fine-tune, compress and export.")] = 5,
    strategy: Annotated[str, typer.Option(help="What to try next: a file in nas/strategies/.")] = "predictor_guided",
    weights: Annotated[str, typer.Option(help="Supernet that `nas.train` trained (.safetensors), instead of training one.")] = "",
    epochs: Annotated[float | None, typer.Option(min=0.01, help="Passes over the training images for the supernet.")] = None,
    fine_tune_epochs: Annotated[
        float | None, typer.Option(min=0.01, help="Passes over the training images for each pick; a quarter as many after pruning.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder [default: runs/DEVICE-BUDGET, longer where more was asked].", show_default=False)
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh/--resume", help="Delete the run in the folder first, or continue it.")] = False,
    executor: Annotated[str, typer.Option(help="Who evaluates: local (processes) or ray (a Ray cluster).")] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Evaluations at the same time.")] = 1,
    ray_address: Annotated[
        str | None, typer.Option(help="Ray cluster: auto or HOST:PORT [default: one on this machine].", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print pareto.json on standard output, and nothing else there.")] = False,
) -> None:
    """Finds small image networks that run within a latency budget on a device: searched, pruned, quantized, exported."""
    budget_ms = parse_latency_ms(budget)
    limits: dict[str, Any] = {
        "max_size_mb": parse_size_mb(max_size) if max_size else None,
        "max_memory_mb": parse_size_mb(max_memory) if max_memory else None,
        "max_energy_mj": parse_energy_mj(max_energy) if max_energy else None,
    }
    command = shlex.join(["python", "-m", "nas.search", *sys.argv[1:]])
    if space.startswith("tabular:"):
        ignored = {"--device": device, "--weights": weights, "--epochs": epochs, "--fine-tune-epochs": fine_tune_epochs}
        _search_table(
            {"space": space, "budget_ms": budget_ms, **limits, "strategy": strategy, "seed": seed, "trials": trials},
            {option for option, given in ignored.items() if given},
            out,
            fresh,
            command,
            as_json,
        )
        return
    if not device:
        raise typer.BadParameter("give --device, a name that `python -m nas.devices` lists (only a table is searched without one)")
    from nas.allocator import keep_freed_memory

    keep_freed_memory()
    from nas import pipeline
    from nas.display import Terminal
    from nas.settings import RunSettings

    settings = RunSettings(
        device=device,
        runtime=runtime,
        precision=precision,
        threads=threads,
        budget_ms=budget_ms,
        **limits,
        data=data,
        space=space,
        accuracy=accuracy,
        strategy=strategy,
        seed=seed,
        trials=trials,
        picks=picks,
        weights=weights,
    )
    settings = settings.model_copy(
        update={
            "supernet": settings.supernet.changed(epochs=epochs),
            "fine_tuning": settings.fine_tuning.changed(epochs=fine_tune_epochs),
        }
    )
    typed = "".join(f"-{name[4:].replace('_', '-')}-{limit:g}" for name, limit in limits.items() if limit is not None)
    asked = [runtime, precision if precision != "fp32" else "", f"{threads}t" if threads is not None else ""]
    target = "".join(f"-{name}" for name in asked if name)
    folder = out or Path("runs") / f"{Path(device).stem}{target}-{budget_ms:g}ms{typed}"
    execution = pipeline.Execution(executor, workers, ray_address, fresh, command)
    if accuracy != "supernet":
        from nas import scored_search

        if useless := [name for name, given in (("--weights", weights), ("--epochs", epochs), ("--data", data != "embedded")) if given]:
            raise typer.BadParameter(f"--accuracy {accuracy} trains nothing and reads no images: leave out {', '.join(useless)}")
        folder = out or folder.with_name(f"{folder.name}-{accuracy}")
        publish_scored(scored_search.search(settings, execution, folder, Terminal(messages)), as_json)
        return
    result = pipeline.search(settings, execution, folder, Terminal(messages))
    publish(result, folder, as_json)


def _search_table(asked: dict[str, Any], useless: set[str], out: Path | None, fresh: bool, command: str, as_json: bool) -> None:
    """The same for a table: nothing is trained, picked or exported."""
    from nas import tabular_search
    from nas.cli import publish_table
    from nas.display import Terminal
    from nas.settings import RunSettings

    if useless:
        raise typer.BadParameter(f"a table has its accuracies and latencies in it: leave out {', '.join(sorted(useless))}")
    settings = RunSettings(device=tabular_search.DEVICE, **asked)
    folder = out or Path("runs") / f"{Path(settings.space).stem.removeprefix(tabular_search.PREFIX)}-{settings.budget_ms:g}ms"
    publish_table(tabular_search.search(settings, fresh, folder, command, Terminal(messages)), folder, as_json)


if __name__ == "__main__":
    run(app)
