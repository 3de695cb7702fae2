"""Is a searched network better than MobileNetV2, MobileNetV3-Small and ShuffleNetV2 of its size, on all of Fashion-MNIST?

    python -m experiments.fashion_mnist supernet --data idx:IMAGES --out FOLDER     under an hour
    python -m experiments.fashion_mnist search --data idx:IMAGES --out FOLDER       a quarter of an hour
    python -m experiments.fashion_mnist train --data idx:IMAGES --out FOLDER [--from-scratch]    1 to 1.5 hours a network
    python -m experiments.fashion_mnist time --out FOLDER                           on a calm machine
    python -m experiments.fashion_mnist report --out FOLDER

Each may be stopped at any moment; the same command again goes on. Hours are those of one core that nobody else uses. The best
pick and the published networks, scaled to its multiply-accumulates and image size, are trained with one recipe for as many epochs.
Picks begin with the supernet's weights; with --from-scratch the best one also begins with random ones, as the others do. Test
images are looked at when a training has ended, and nowhere else.
"""

import datetime
import importlib.metadata
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.fashion_lib import entrants, figures, images, picking, times
from experiments.journal import Journal
from hardware_profiles import table_file
from nas.cli import messages, run
from nas.core.errors import UnknownNameError
from nas.display import Terminal
from nas.files import atomic_write

RESULT = Path(__file__).parent / "results" / "fashion_mnist.json"

SHIPPED, NONE = "shipped", "none"
"""What `--init` takes beside a path: the weights that come with the package, or random ones."""

app = typer.Typer(add_completion=False, help=(__doc__ or "").splitlines()[0])


@app.callback()
def main() -> None:
    """Takes a sub-command."""


Data = Annotated[str, typer.Option(help="Images, such as idx:FOLDER.")]
Out = Annotated[Path, typer.Option(help="Folder of all results of the experiment.")]
Space = Annotated[str, typer.Option(help="Search space.")]
Count = Annotated[int, typer.Option("--images", min=64, help="Training images at most, the same ones for the supernet and all networks.")]
Seed = Annotated[int, typer.Option(min=0)]


@app.command()
def supernet(
    data: Data,
    out: Out,
    space: Space = "mobile_shuffle_32",
    count: Count = 60_000,
    init: Annotated[
        str, typer.Option(help=f"Weights to begin with: {SHIPPED}, {NONE}, or the path of a supernet that nas.train trained.")
    ] = SHIPPED,
    epochs: Annotated[float, typer.Option(min=0, help="Passes over the training images; 0 takes the weights as they are.")] = 4,
    batch_size: Annotated[int, typer.Option(min=8)] = 64,
    learning_rate: Annotated[float, typer.Option()] = 0.1,
    weight_decay: Annotated[float, typer.Option()] = 1e-4,
    label_smoothing: Annotated[float, typer.Option()] = 0.1,
    max_shift: Annotated[float, typer.Option(help="Random shift, share of an image's size.")] = 0.08,
    random_networks: Annotated[int, typer.Option(min=0, help="Sampled networks a step, beside largest and smallest.")] = 2,
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Trains the shared weights on these images."""
    _prepare(threads)
    import torch

    import search_spaces
    from nas import checkpoint
    from nas.settings import SupernetSettings
    from nas.supernet import Supernet
    from nas.supernet_training import SHIPPED as FOLDER
    from nas.supernet_training import keep_weights, train_resumably

    chosen, loaded = search_spaces.load(space), images.load(data, space, count)
    torch.manual_seed(seed)
    weights = Supernet(chosen, loaded.channels, len(loaded.classes))
    if init != NONE:
        path = FOLDER / f"{space}.safetensors" if init == SHIPPED else Path(init)
        if not path.exists():
            raise UnknownNameError("weights to begin with", init, (SHIPPED, NONE), "Or give the path of a supernet that nas.train trained.")
        checkpoint.read_weights(path, weights, {"space": chosen.key, "classes": str(weights.classes), "channels": str(weights.in_channels)})
    kept = images.weights_of(out)
    kept.parent.mkdir(parents=True, exist_ok=True)
    if epochs == 0:
        keep_weights(weights, loaded, kept)
    else:
        settings = SupernetSettings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            max_shift=max_shift,
            random_networks=random_networks,
        )
        train_resumably(weights, loaded, settings, seed, kept, Terminal(messages), began_with="" if init == NONE else init)
    print(f"shared weights: {kept} ({images.digest(weights)})")


@app.command()
def search(
    data: Data,
    out: Out,
    space: Space = "mobile_shuffle_32",
    count: Count = 60_000,
    device: Annotated[str, typer.Option(help="Device whose latencies are an objective.")] = "local",
    max_macs: Annotated[float, typer.Option(help="Most multiply-accumulates of a network.")] = 10e6,
    objectives: Annotated[str, typer.Option(help="What is traded off.")] = "accuracy,latency",
    strategy: Annotated[str, typer.Option()] = "predictor_guided",
    trials: Annotated[int, typer.Option(min=1, help="Networks to evaluate.")] = 400,
    picks: Annotated[int, typer.Option(min=1, help="Of the front, those with the best accuracy.")] = 2,
    calibration_images: Annotated[int, typer.Option(min=32)] = 1000,
    validation_images: Annotated[int, typer.Option(min=32)] = 10_000,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that evaluate.")] = 1,
) -> None:
    """Searches the front of validation accuracy with shared weights, and picks the best networks of it."""
    _prepare(1)
    loaded = images.load(data, space, count)
    weights = images.supernet_of(space, loaded, images.weights_of(out))
    asked = picking.Question(device, max_macs, objectives, strategy, trials, picks, seed, calibration_images, validation_images)
    picking.search(asked, weights, loaded, out, workers, Terminal(messages))
    found = picking.read(out)
    print(f"{found['evaluated']} networks evaluated, {len(found['front'])} on the front")
    for pick in found["picks"]:
        figures_of_it = f"{pick['macs'] / 1e6:.2f} M MACs, {pick['predicted_ms']:.3f} ms predicted"
        print(f"{pick['id']}  {100 * pick['inherited_validation']:.2f} % of validation images inherited, {figures_of_it}")


@app.command()
def train(
    data: Data,
    out: Out,
    space: Space = "mobile_shuffle_32",
    count: Count = 60_000,
    epochs: Annotated[float, typer.Option(help="Passes over the training images, of every network.")] = 16,
    batch_size: Annotated[int, typer.Option(min=8)] = 64,
    learning_rate: Annotated[float, typer.Option()] = 0.1,
    weight_decay: Annotated[float, typer.Option()] = 5e-4,
    label_smoothing: Annotated[float, typer.Option()] = 0.1,
    max_shift: Annotated[float, typer.Option(help="Random shift, share of an image's size.")] = 0.08,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Trains the best pick from random weights too.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each network.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Networks at a time, a process of one thread each.")] = 1,
    checkpoint_seconds: Annotated[float, typer.Option(min=0, help="Between checkpoints of a training.")] = 20,
) -> None:
    """Trains the picks and, at their size, the published networks, all with one recipe; then scores each on the test images."""
    recipe = entrants.Recipe(epochs, batch_size, learning_rate, weight_decay, label_smoothing, max_shift)
    found, loaded = picking.read(out), images.load(data, space, count)
    picking.require_same(found, images.digest(images.supernet_of(space, loaded, images.weights_of(out))), out)
    journal = Journal(entrants.journal_of(out), entrants.title(loaded, recipe))
    chosen = entrants.entrants(found, from_scratch)
    tasks = [entrants.Task(one, seed, space, data, count, recipe, out, checkpoint_seconds) for seed in range(seeds) for one in chosen]
    for line in entrants.run(tasks, journal, workers):
        scores = f"test {100 * (1 - len(line['wrong']) / len(loaded.test)):.2f} %, validation {100 * line['validation']:.2f} %"
        print(f"{line['title']} (from {line['start']}): {line['macs'] / 1e6:.2f} M MACs, seed {line['seed']}, {scores}", flush=True)


@app.command(name="time")
def time_(
    out: Out,
    rounds: Annotated[int, typer.Option(min=1, help="Timings of each network, in turns; their median counts.")] = 7,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    max_seconds: Annotated[float, typer.Option(min=0.01, help="Longest timing of a network in a round.")] = 2.0,
) -> None:
    """Exports the trained networks to ONNX and times them in turns, in ONNX Runtime on this machine."""
    _, lines = entrants.trained(out)
    keys = list(dict.fromkeys(line["key"] for line in lines))
    paths = times.export(out, keys, seed=0)
    journal = Journal(times.journal_of(out), times.title(threads))
    for one in times.run(paths, journal, rounds, threads, max_seconds):
        print("  ".join(f"{key} {ms:.3f} ms" for key, ms in one["ms"].items()), flush=True)


@app.command()
def report(
    out: Out,
    result: Annotated[Path, typer.Option(help="JSON to write; a page of the same name, .md, goes beside it.")] = RESULT,
) -> None:
    """The figures: table, JSON, and a page."""
    head, lines = entrants.trained(out)
    keys = list(dict.fromkeys(line["key"] for line in lines))
    title, rounds = times.kept(out)
    timed = title, times.figures(rounds, keys), len(times.whole(rounds, keys))
    told = figures.document(picking.read(out), head, lines, timed)
    today = datetime.date.today().isoformat()
    origin = {
        "command": "python -m experiments.fashion_mnist supernet, search, train, time, report",
        "when": today,
        "machine": table_file.machine(),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "onnxruntime", "optuna")},
    }
    atomic_write(result, json.dumps(origin | told, indent=1) + "\n")
    atomic_write(result.with_suffix(".md"), figures.markdown(told, today))
    Console(width=150).print(figures.table(told))
    for sentence in figures.sentences(told):
        print(sentence)


def _prepare(threads: int) -> None:
    from nas.allocator import keep_freed_memory

    keep_freed_memory()
    import torch

    torch.set_num_threads(threads)


if __name__ == "__main__":
    run(app)
