"""`python -m nas.search`: find, compress and export networks that run within a latency budget on a device."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nas.cli import epilog, messages, publish, publish_devices, publish_found, run
from nas.core.errors import UnknownNameError
from nas.core.space import TABLE
from nas.core.units import parse_energy_mj, parse_latency_ms, parse_macs, parse_size_mb

app = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """
[bold]Examples[/]

  python -m nas.search --device jetson-nano --budget 20ms

  python -m nas.search --device jetson-nano --budget 20ms --max-size 1MB --max-memory 512kB

  python -m nas.search --device local --budget 500us --data folder:photos --trials 200 --workers 2

  python -m nas.search --device local --precision int8 --threads 2 --budget 1ms

  python -m nas.search --device local --precision fp32,int8 --keep 1,0.75,0.5 --budget 300us

  python -m nas.search --device jetson-nano,local --budget 20ms,500us

  python -m nas.search --device my-pi --target ssh://pi@raspberrypi.local --budget 30ms

  python -m nas.search --device jetson-nano --budget 20ms --objectives accuracy,latency,size --max-macs 10M

  python -m nas.search --device jetson-nano --budget 20ms --executor ray --ray-address auto --workers 16

The same command again continues a run that was stopped; more --trials extend one that is finished.
With another budget, --objectives or --strategy and the same --out, nothing that was evaluated is evaluated again.
Exit code 0: done; 2: wrong input; 3: no network of the space fits the limits; 130: stopped by Ctrl-C.
"""


@app.command(epilog=epilog(EXAMPLES))
def search(
    budget: Annotated[
        str, typer.Option(help="Latency limit per image with its unit, such as 20ms, 0.02s or 500us; held on the upper bound.")
    ],
    device: Annotated[
        str,
        typer.Option(
            help="Device to run on: a name that `python -m nas.devices` lists, or a path to a .toml. Needed, but for a table. Several, as "
            "in a,b, share a supernet and its evaluations; limits, runtime, precision and threads are then one for all, or one each."
        ),
    ] = "",
    runtime: Annotated[str, typer.Option(help="Runtime on the device, such as tensorrt; else its first that was measured.")] = "",
    precision: Annotated[
        str,
        typer.Option(
            help="Numbers to compute with: fp32, fp16 or int8; candidates are priced, and picks made, for it. Several, as in fp32,int8, "
            "compete within the search (for one device)."
        ),
    ] = "fp32",
    keep: Annotated[
        str,
        typer.Option(
            help="Shares of hidden channels that candidates may keep, as in 1,0.75,0.5: pruning then competes within the search. Without "
            "it only picks are pruned.",
            show_default=False,
        ),
    ] = "",
    threads: Annotated[str, typer.Option(help="Threads of the runtime (0: a GPU's); any if not given.")] = "",
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
    max_macs: Annotated[
        str | None, typer.Option(help="Limit of the multiply-accumulates of one image, such as 10M, 600k or 1.5G.", show_default=False)
    ] = None,
    objectives: Annotated[
        str, typer.Option(help="What to better, between commas: accuracy and at least one of latency, size, memory, energy, macs.")
    ] = "accuracy,latency",
    confidence: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=0.99,
            help="How often a latency is to lie within its bounds, on the upper of which the budget holds: 0.9 is less strict than the "
            "0.95 of most figures.",
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
    warm_start: Annotated[
        str,
        typer.Option(
            help="Folder of another run in the same space: its evaluations and supernet are taken over, or, where it judged otherwise, "
            "the networks of its front are evaluated first.",
            show_default=False,
        ),
    ] = "",
    weights: Annotated[str, typer.Option(help="Supernet that `nas.train` trained (.safetensors), instead of training one.")] = "",
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train the supernet although the package brings one for the space and the images.")
    ] = False,
    epochs: Annotated[float | None, typer.Option(min=0.01, help="Passes over the training images for the supernet.")] = None,
    augment: Annotated[
        Literal["auto", "shift", "photo"],
        typer.Option(help="Random changes: shift and mirror; crop, mirror, RandAugment; auto: that for photographs and 20 epochs or more."),
    ] = "auto",
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
    dashboard: Annotated[
        str,
        typer.Option(
            help="Storage of Optuna's for a live copy of the search, such as sqlite:///search.db, to be watched with `optuna-dashboard "
            "sqlite:///search.db`. Without it, optuna-dashboard reads RUN/study.journal itself.",
            show_default=False,
        ),
    ] = "",
    target: Annotated[
        str,
        typer.Option(
            help="Where the device is: local, or ssh://user@host, with :port and /folder where needed. Networks are then timed on it "
            "during the search, prices fitted again to what they took, and the picks' files timed.",
            show_default=False,
        ),
    ] = "",
    measure_every: Annotated[
        int | None,
        typer.Option(min=1, help="Evaluations between rounds of timing on --target [default: a quarter of --trials].", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print pareto.json (or devices.json, or front.json) on standard output, and nothing else there.")
    ] = False,
) -> None:
    """Finds small image networks that run within a latency budget on a device: searched, pruned, quantized, exported."""
    options = {"--budget": budget, "--runtime": runtime, "--precision": precision, "--threads": threads}
    options |= {
        "--max-size": max_size or "",
        "--max-memory": max_memory or "",
        "--max-energy": max_energy or "",
        "--max-macs": max_macs or "",
    }
    asked: dict[str, Any] = {"objectives": objectives, "strategy": strategy, "seed": seed, "trials": trials, "warm_start": warm_start}
    _refuse_wrong_space(space, options)
    each = _each_device(device, options)
    if dashboard:
        from nas.live_copy import refuse_wrong

        refuse_wrong(dashboard)
    own, limits = each[0], {name: limit for name, limit in each[0].items() if name.startswith("max_")}
    command = shlex.join(["python", "-m", "nas.search", *sys.argv[1:]])
    if space.startswith(TABLE):
        ignored = {"--device": device, "--weights": weights, "--retrain": retrain, "--epochs": epochs, "--target": target}
        ignored |= {"--fine-tune-epochs": fine_tune_epochs, "--keep": keep, "--augment": augment != "auto", "--picks": picks != 5}
        ignored |= {"--data": data != "embedded", "--accuracy": accuracy != "supernet", "--precision": precision != "fp32"}
        ignored |= {"--runtime": runtime, "--threads": threads, "--executor": executor != "local", "--workers": workers != 1}
        ignored |= {"--ray-address": ray_address, "--measure-every": measure_every, "--confidence": confidence}
        _search_table(
            {"space": space, "budget_ms": own["budget_ms"], **limits, **asked},
            {option for option, given in ignored.items() if given},
            out,
            fresh,
            command,
            dashboard,
            as_json,
        )
        return
    if weights and retrain:
        raise typer.BadParameter("--weights brings a trained supernet and --retrain trains one: leave one of them out")
    if not device:
        raise typer.BadParameter("give --device, a name that `python -m nas.devices` lists (only a table is searched without one)")
    from nas.allocator import keep_freed_memory

    if measure_every is not None and not target:
        raise typer.BadParameter("--measure-every says when networks are timed on --target: give that too")
    if target and (len(each) > 1 or accuracy != "supernet"):
        raise typer.BadParameter("--target times networks of a search for one device with a supernet: leave it out here")
    keep_freed_memory()
    from nas import pipeline, several_devices
    from nas.display import Terminal
    from nas.settings import RunSettings
    from nas.several_settings import SeveralSettings

    settings = RunSettings(
        **own,
        keep=keep,
        confidence=confidence,
        data=data,
        space=space,
        accuracy=accuracy,
        **asked,
        picks=picks,
        weights=weights,
        retrain=retrain,
    )
    settings = settings.model_copy(
        update={
            "supernet": settings.supernet.changed(epochs=epochs, augment=augment),
            "fine_tuning": settings.fine_tuning.changed(epochs=fine_tune_epochs, augment=augment),
        }
    )
    folder = out or Path("runs") / _folder_name(each, keep, confidence)
    execution = pipeline.Execution(executor, workers, ray_address, fresh, command, target, measure_every, dashboard)
    if len(each) > 1:
        if accuracy != "supernet":
            raise typer.BadParameter(f"several devices share a supernet, and --accuracy {accuracy} has none: search for one at a time")
        several = [settings.model_copy(update=one) for one in each]
        publish_devices(several_devices.search(SeveralSettings.of(several), execution, folder, Terminal(messages)), folder, as_json)
        return
    if accuracy != "supernet":
        from nas import scored_search

        if useless := [
            name
            for name, given in (
                ("--weights", weights),
                ("--retrain", retrain),
                ("--epochs", epochs),
                ("--data", data != "embedded"),
                ("--augment", augment != "auto"),
            )
            if given
        ]:
            raise typer.BadParameter(f"--accuracy {accuracy} trains nothing and reads no images: leave out {', '.join(useless)}")
        folder = out or folder.with_name(f"{folder.name}-{accuracy}")
        publish_found(scored_search.search(settings, execution, folder, Terminal(messages)), folder, as_json)
        return
    result = pipeline.search(settings, execution, folder, Terminal(messages))
    publish(result, folder, as_json)


def _refuse_wrong_space(space: str, options: Mapping[str, str]) -> None:
    """Raises where `space` is several, or names no table where it should, or where a table is given what only devices share.

    Raises:
        UnknownNameError: it begins with the name of something else than a table.
    """
    kind, colon, rest = space.partition(":")
    if colon and f"{kind}:" != TABLE:
        raise UnknownNameError("kind of space", kind, [TABLE[:-1]], f"Write a space's name, or {TABLE}TABLE.csv.")
    if colon and not rest:
        raise typer.BadParameter(f"--space {space} names no table: write {TABLE}TABLE.csv")
    if not colon and "," in space:
        raise typer.BadParameter(f"--space {space}: all devices share one supernet, and so one space: give one")
    several = [f"{option} {text}" for option, text in options.items() if "," in text and option != "--precision"]
    if colon and several:
        raise typer.BadParameter(f"a table has one column for each of its costs, and no devices: give one value instead of {several[0]}")


def _threads(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise typer.BadParameter(f"--threads {text} is no number of threads, such as 1, or 0 for a GPU's")
    return int(text)


_OWN: dict[str, tuple[str, Callable[[str], Any]]] = {
    "--budget": ("budget_ms", parse_latency_ms),
    "--runtime": ("runtime", str),
    "--precision": ("precision", lambda text: text or "fp32"),
    "--threads": ("threads", _threads),
    "--max-size": ("max_size_mb", lambda text: parse_size_mb(text) if text else None),
    "--max-memory": ("max_memory_mb", lambda text: parse_size_mb(text) if text else None),
    "--max-energy": ("max_energy_mj", lambda text: parse_energy_mj(text) if text else None),
    "--max-macs": ("max_macs", lambda text: parse_macs(text) if text else None),
}
"""Options that each of several devices may have for itself: the setting, and how its text is read."""


def _each_device(device: str, options: Mapping[str, str]) -> list[dict[str, Any]]:
    """What each device in `device`, which commas separate, is asked for: settings by their names, from the text of `options`.

    Several precisions for one device are a gene.

    Raises:
        StudyError: an option gives another number of values than there are devices.
    """
    from nas.several_settings import one_each

    devices = [name.strip() for name in device.split(",")]
    if len(devices) > 1 and "" in devices:
        raise typer.BadParameter(f"--device {device} has a device without a name: write it as a,b")
    found: list[dict[str, Any]] = [{"device": name} for name in devices]
    for option, text in options.items():
        name, parse = _OWN[option]
        values = (text,) if option == "--precision" and len(devices) == 1 else one_each(option, text, devices)
        for settings, value in zip(found, values, strict=True):
            settings[name] = parse(value)
    return found


def _folder_name(each: Sequence[Mapping[str, Any]], keep: str, confidence: float | None = None) -> str:
    """Where a run goes that was not told: "jetson-nano-20ms", "jetson-nano+local-20+1ms-size-mb-4", "local-fp32-int8-keep-1-0.5-1ms"."""
    from nas.several_settings import target_name

    targets = (target_name(one["device"], one["runtime"], one["precision"], one["threads"]) for one in each)
    asked = ["+".join(targets), *([f"keep-{keep}"] if keep else [])]
    parts = [*(text.replace(" ", "").replace(",", "-") for text in asked), f"{_values(each, 'budget_ms')}ms"]
    parts += [f"{name[4:].replace('_', '-')}-{_values(each, name)}" for name in each[0] if name.startswith("max_") and _values(each, name)]
    return "-".join([*parts, *([f"confidence-{confidence:g}"] if confidence else [])])


def _values(each: Sequence[Mapping[str, Any]], name: str) -> str:
    """What the devices have of a setting: once where it is the same for all, "" where none has any."""
    values = ["" if one[name] is None else f"{one[name] / 1e6:g}M" if name == "max_macs" else f"{one[name]:g}" for one in each]
    return values[0] if len(set(values)) == 1 else "+".join(values)


def _search_table(
    asked: dict[str, Any], useless: set[str], out: Path | None, fresh: bool, command: str, dashboard: str, as_json: bool
) -> None:
    """The same for a table: nothing is trained, picked or exported."""
    from nas import tabular_search
    from nas.display import Terminal
    from nas.settings import RunSettings

    if useless:
        raise typer.BadParameter(f"a table has its accuracies and latencies in it: leave out {', '.join(sorted(useless))}")
    settings = RunSettings(device=tabular_search.DEVICE, **asked)
    folder = out or Path("runs") / f"{Path(settings.table).stem}-{settings.budget_ms:g}ms"
    publish_found(tabular_search.search(settings, fresh, folder, command, Terminal(messages), dashboard), folder, as_json)


if __name__ == "__main__":
    run(app)
