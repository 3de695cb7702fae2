"""Do shared weights put networks in the order in which they stand when each is trained by itself?

    python -m experiments.ranking standalone --data idx:IMAGES --out FOLDER     hours; the same command again continues
    python -m experiments.ranking supernet --data idx:IMAGES --out FOLDER [--name no-distillation --teacher-share 0]
    python -m experiments.ranking inherit --data idx:IMAGES --out FOLDER [--name no-distillation]
    python -m experiments.ranking report --out FOLDER

Networks are spread evenly over the MACs of the space, and a third of them lie in one narrow band of MACs, where size alone
says nothing. Test images are looked at here and nowhere else. What was trained so far is in `experiments/results/ranking`: with
`--out` there (and `--nets 24`) the first three commands go on from it; shared weights are not kept.
"""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.journal import Journal, read
from experiments.ranking_lib import agreement, alone, shared
from experiments.ranking_lib.networks import choose
from experiments.single_training import Recipe
from nas.cli import run
from nas.core.errors import StudyError
from nas.files import atomic_write

RESULT = Path(__file__).parent / "results" / "ranking.json"

app = typer.Typer(add_completion=False, help=(__doc__ or "").splitlines()[0])


@app.callback()
def main() -> None:
    """Takes a sub-command."""


Data = Annotated[str, typer.Option(help="Images, such as idx:FOLDER.")]
Out = Annotated[Path, typer.Option(help="Folder of all results of the experiment.")]
Space = Annotated[str, typer.Option(help="Search space.")]
Nets = Annotated[int, typer.Option(min=6, help="Networks: two thirds over the range of MACs, one third in the band.")]
Name = Annotated[str, typer.Option(help="Name of the supernet: a folder of its own in --out.")]
Images = Annotated[int, typer.Option(min=64, help="Training images, the same for all networks and the supernet.")]


@app.command()
def standalone(
    data: Data,
    out: Out,
    space: Space = "mobile_shuffle_32",
    nets: Nets = 36,
    images: Images = 20_000,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each network.")] = 2,
    epochs: Annotated[float, typer.Option(help="Passes over the training images.")] = 10,
    learning_rate: Annotated[float, typer.Option()] = 0.1,
    weight_decay: Annotated[float, typer.Option()] = 5e-4,
    workers: Annotated[int, typer.Option(min=1, help="Processes of one thread each.")] = 2,
    first: Annotated[int | None, typer.Option(help="Only this many trainings of the list.")] = None,
) -> None:
    """Trains every network by itself, from each seed, and scores it on the test images."""
    import search_spaces

    loaded = alone.load(data, space, images)
    chosen = choose(search_spaces.load(space), loaded.channels, len(loaded.classes), nets, seed=0)
    recipe = Recipe(epochs, learning_rate=learning_rate, weight_decay=weight_decay)
    tasks = [alone.Task(ranked, seed, space, data, images, recipe) for seed in range(seeds) for ranked in chosen][:first]
    journal = Journal(alone.journal_of(out), alone.title(space, loaded, recipe))
    for line in alone.run(tasks, journal, workers):
        size, scores = f"{line['macs'] / 1e6:6.2f} M MACs", f"test {100 * line['test']:.2f} %, validation {100 * line['validation']:.2f} %"
        count = f"{len(journal.lines) - 1:>4} of {len(tasks)}"
        print(f"{count}  {line['group']:<5} {line['id']} {size}  seed {line['seed']}  {scores}  {line['cpu_seconds']:.0f} s", flush=True)


@app.command()
def supernet(
    data: Data,
    out: Out,
    space: Space = "mobile_shuffle_32",
    images: Images = 20_000,
    name: Name = "reference",
    epochs: Annotated[float, typer.Option(help="Passes over the training images.")] = 20,
    batch_size: Annotated[int, typer.Option(min=8)] = 64,
    learning_rate: Annotated[float, typer.Option()] = 0.1,
    weight_decay: Annotated[float, typer.Option()] = 1e-4,
    random_networks: Annotated[int, typer.Option(min=0, help="Sampled networks a step, beside largest and smallest.")] = 2,
    by_macs: Annotated[bool, typer.Option(help="Sampled networks uniform over MACs, or over genes.")] = True,
    average: Annotated[float, typer.Option(help="Decay of the running average of the weights; 0: the last ones.")] = 0.999,
    teacher_share: Annotated[
        float, typer.Option(help="Of a student's loss on the largest network's predictions; 0: no distillation.")
    ] = 0.5,
    label_smoothing: Annotated[float, typer.Option()] = 0.0,
    sandwich_every: Annotated[
        int, typer.Option(min=0, help="Largest and smallest at every so many steps, 0: never; at others sampled ones in their place.")
    ] = 1,
    growing: Annotated[bool, typer.Option(help="Small images first, or all sizes from the start.")] = True,
    seed: Annotated[int, typer.Option()] = 0,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Trains shared weights on the same images; the same command again continues."""
    _prepare(threads)
    import torch

    import search_spaces
    from nas.supernet import Supernet

    chosen, loaded = search_spaces.load(space), alone.load(data, space, images)
    recipe = shared.Recipe(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        random_networks=random_networks,
        by_macs=by_macs,
        average=average,
        label_smoothing=label_smoothing,
        sandwich_every=sandwich_every,
        teacher_share=teacher_share,
        growing=growing,
    )
    torch.manual_seed(seed)
    weights = Supernet(chosen, loaded.channels, len(loaded.classes))
    before = time.process_time()
    for step, steps, loss in shared.train(weights, loaded, recipe, seed, shared.weights_of(out, name)):
        if step % 50 == 0 or step == steps:
            seconds = time.process_time() - before
            print(f"{name}: step {step} of {steps}, loss {loss:.3f}, {seconds:.0f} s of the processor", flush=True)


@app.command()
def inherit(
    data: Data,
    out: Out,
    space: Space = "mobile_shuffle_32",
    images: Images = 20_000,
    name: Name = "reference",
    nets: Nets = 36,
    validation: Annotated[int, typer.Option(min=32, help="Validation images.")] = 5000,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Scores the networks that are trained alone, or are to be, with the shared weights; the same command again continues."""
    _prepare(threads)
    import search_spaces
    from nas.supernet import Supernet

    chosen, loaded = search_spaces.load(space), alone.load(data, space, images)
    weights = Supernet(chosen, loaded.channels, len(loaded.classes))
    title = {"validation_images": validation, **shared.load(weights, loaded, shared.weights_of(out, name))}
    journal = Journal(shared.journal_of(out, name), title)
    done = {line["id"] for line in journal.lines[1:]}
    networks = [ranked.architecture for ranked in choose(chosen, loaded.channels, len(loaded.classes), nets, seed=0)]
    for found in shared.score(weights, loaded, {one.id: one for one in networks if one.id not in done}, validation):
        journal.add(found)
        print(f"{name}: {found['id']} test {100 * found['test']:.2f} %, without re-calibration {100 * found['raw']:.2f} %", flush=True)


@app.command()
def report(out: Out, result: Annotated[Path, typer.Option(help="JSON to write.")] = RESULT) -> None:
    """Figures of every supernet that `inherit` has scored: table, JSON, and a plot beside the results."""
    title, *lines = read(alone.journal_of(out)) or [{}]
    if not lines:
        raise StudyError(f"no network has been trained alone in {out}: run the standalone command first")
    rows, found = agreement.joined(lines), {}
    for path in sorted(out.glob("*/inherited.jsonl")):
        recipe, *scored = read(path)
        inherited = {line["id"]: line for line in scored}
        found[path.parent.name] = {"supernet": recipe, "figures": agreement.figures(rows, inherited), "inherited": scored}
        atomic_write(path.with_name("ranking.html"), agreement.plot(rows, inherited))
    hours = sum(line["cpu_seconds"] for line in lines) / 3600
    alone_part = {**title, "trainings": len(lines), "processor_hours": round(hours, 2), "networks": rows}
    atomic_write(result, json.dumps({"alone": alone_part, "supernets": found}, indent=1) + "\n")
    Console(width=150).print(agreement.table({name: one["figures"] for name, one in found.items()}))


def _prepare(threads: int) -> None:
    from nas.allocator import keep_freed_memory

    keep_freed_memory()
    import torch

    torch.set_num_threads(threads)


if __name__ == "__main__":
    run(app)
