"""Each network trained by itself, with weights and a schedule of its own: the truth that shared weights are held against."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import single_training
from experiments.journal import Journal
from experiments.ranking_lib.networks import Ranked
from experiments.single_training import Recipe

if TYPE_CHECKING:
    from nas.core.network import NetworkSpec
    from nas.data import ImageData
    from nas.network import Network


@dataclass(frozen=True, slots=True)
class Task:
    """A network to be trained from one seed, in any process."""

    ranked: Ranked
    seed: int
    space: str
    source: str
    images: int
    recipe: Recipe


def load(source: str, space_name: str, images: int) -> "ImageData":
    """The data set that `source` names, with `images` of its training images: always the same ones, for supernet and networks."""
    import search_spaces
    from nas import data

    found = data.load(source, search_spaces.load(space_name).resolutions[-1], seed=0)
    return replace(found, name=f"{found.name}, {min(images, len(found.train)):,} training images", train=found.train.some(images))


def train(spec: "NetworkSpec", data: "ImageData", recipe: Recipe, seed: int) -> "Network":
    """A network trained on `data.train` from a random start, in evaluation mode, batch norms calibrated.

    Raises:
        DivergenceError: the loss is not finite.
    """
    import torch

    from nas.network import Network, channels_last
    from nas.training import Schedule

    torch.manual_seed(seed)
    network = channels_last(Network(spec))
    schedule = Schedule(recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay)
    for _ in single_training.train(network, data, schedule, recipe.label_smoothing, seed):
        pass
    return network


def perform(task: Task) -> dict[str, Any]:
    """Trains and scores one network in this process, on one thread; its line of the journal."""
    import search_spaces
    from nas.training import accuracy

    started, worked = time.perf_counter(), time.process_time()
    data = load(task.source, task.space, task.images)
    space = search_spaces.load(task.space)
    network = train(space.network(task.ranked.architecture, data.channels, len(data.classes)), data, task.recipe, task.seed)
    return {
        "id": task.ranked.architecture.id,
        "genes": list(task.ranked.architecture.genes),
        "group": task.ranked.group,
        "macs": task.ranked.macs,
        "seed": task.seed,
        "test": accuracy(network, data, data.test),
        "validation": accuracy(network, data, data.validation),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
    }


def run(tasks: list[Task], journal: Journal, workers: int) -> Iterator[dict[str, Any]]:
    """Does what the journal does not hold yet, in order, in `workers` processes of one thread each; yields each new line."""
    from nas.workers import prepare

    done = {(line["id"], line["seed"]) for line in journal.lines[1:]}
    missing = [task for task in tasks if (task.ranked.architecture.id, task.seed) not in done]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=prepare, initargs=(1,)) as pool:
        for future in as_completed([pool.submit(perform, task) for task in missing]):
            journal.add(future.result())
            yield journal.lines[-1]


def title(space: str, data: "ImageData", recipe: Recipe) -> dict[str, Any]:
    """What results hold for, wherever the images lie: the first line of their journal."""
    return {"space": space, "training_images": len(data.train), "fingerprint": data.fingerprint, "recipe": asdict(recipe)}


def journal_of(out: Path) -> Path:
    """Where the results of `run` are kept in the folder `out`."""
    return out / "alone.jsonl"
