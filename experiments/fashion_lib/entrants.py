"""What is compared, and its training: picks, and published networks scaled to their multiply-accumulates, all with one recipe."""

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import single_training
from experiments.fashion_lib import images, picking
from experiments.journal import Journal, read
from nas.core.errors import StudyError
from nas.core.network import NetworkSpec

if TYPE_CHECKING:
    from nas.data import ImageData
    from nas.network import Network

PEERS = ("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2")
"""Networks of `search_spaces/known.py` that the picks are compared with."""

SHARED, RANDOM = "shared weights", "random"
"""What a training starts from."""

SHOWN_STEPS = 100
"""Steps after which a training says how far it is."""


@dataclass(frozen=True, slots=True)
class Recipe(single_training.Recipe):
    """How every network of the comparison is trained. `max_shift` is how far images are moved, as a share of their size."""

    max_shift: float = 0.08


@dataclass(frozen=True, slots=True)
class Entrant:
    """A network of the comparison. `key` tells it from all others, also from the same one with another start."""

    key: str
    title: str
    pick: int
    start: str
    spec: NetworkSpec
    genes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """An entrant to be trained from one seed, in any process. `keep` is the folder of results, `every_seconds` as in `single_training`."""

    entrant: Entrant
    seed: int
    space: str
    source: str
    images: int
    recipe: Recipe
    out: Path
    every_seconds: float


def entrants(found: Mapping[str, Any], from_scratch: bool) -> list[Entrant]:
    """The best pick, the published networks at its multiply-accumulates and image size, the other picks, and the best from scratch.

    Args:
        found: from `picking.read`.
        from_scratch: whether the best pick is also trained from random weights, as its peers are.

    Raises:
        SpaceError: a published network cannot be made as large.
    """
    import search_spaces
    from search_spaces import blocks, known

    space = search_spaces.load(found["space"].partition("@")[0])
    counts = found["channels"], found["classes"]
    ours = []
    for number, pick in enumerate(found["picks"], start=1):
        spec = space.network(space.architecture(pick["genes"]), *counts)
        ours.append(Entrant(f"{pick['id']}-from-{found['supernet']}", f"pick {number}", number, SHARED, spec, tuple(pick["genes"])))
    best = ours[0]
    macs, size = blocks.macs(best.spec), best.spec.resolution
    peers = []
    for name in PEERS:
        spec = known.scaled(name, macs, size, *counts)
        shown = f"{known.find(name).title.rpartition(' ')[0]}, scaled"
        peers.append(Entrant(f"{name}-{blocks.macs(spec) / 1e6:.2f}M-{size}px", shown, 0, RANDOM, spec))
    scratch = Entrant(f"{found['picks'][0]['id']}-from-random", "pick 1, from scratch", 1, RANDOM, best.spec, best.genes)
    return [best, *peers, *ours[1:], *([scratch] if from_scratch else [])]


def perform(task: Task) -> dict[str, Any]:
    """Trains one network in this process from where its checkpoint is, keeps it, and scores it: the only look at test images."""
    from nas import tuning
    from nas.training import Schedule, accuracy
    from search_spaces import blocks

    data, recipe, entrant = images.load(task.source, task.space, task.images), task.recipe, task.entrant
    training = data.without_test()
    schedule = Schedule(recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay, max_shift=recipe.max_shift)
    network = begin(task, training)
    belongs_to = {"network": entrant.key, "data": f"{data.name} ({data.fingerprint})", "recipe": f"{recipe}, seed {task.seed}"}
    path = checkpoint_of(task.out, entrant.key, task.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    course = single_training.train(
        network, training, schedule, recipe.label_smoothing, task.seed, path, belongs_to, every_seconds=task.every_seconds
    )
    for step, steps, loss in course:
        if step % SHOWN_STEPS == 0 or step == steps:
            print(f"{entrant.title}: step {step} of {steps}, loss {loss:.3f}", flush=True)
    tuning.write(network_of(task.out, entrant.key, task.seed), {"fp32": network}, [])
    return {
        "key": entrant.key,
        "title": entrant.title,
        "start": entrant.start,
        "genes": list(entrant.genes),
        "seed": task.seed,
        "resolution": entrant.spec.resolution,
        "macs": blocks.macs(entrant.spec),
        "params": sum(parameter.numel() for parameter in network.parameters()),
        "validation": accuracy(network, data, data.validation),
        "wrong": wrong(network, data),
    }


def wrong(network: "Network", data: "ImageData") -> list[int]:
    """Places of the test images that `network` puts into another class: kept one by one, so that networks compare image by image."""
    from nas.training import predictions

    found: list[int] = (predictions(network, data, data.test).argmax(dim=1) != data.test.labels).nonzero().flatten().tolist()
    return found


def begin(task: Task, data: "ImageData") -> "Network":
    """The network before its first step: cut out of the shared weights, or random ones of the task's seed."""
    import torch

    from nas.network import Network, channels_last

    if task.entrant.start == SHARED:
        return images.supernet_of(task.space, data, images.weights_of(task.out)).extract(task.entrant.spec)
    torch.manual_seed(task.seed)
    return channels_last(Network(task.entrant.spec))


def run(tasks: Sequence[Task], journal: Journal, workers: int) -> Iterator[dict[str, Any]]:
    """Does what the journal does not hold yet, in order, in `workers` processes of one thread each; yields each new line."""
    from nas.workers import prepare

    done = {(line["key"], line["seed"]) for line in journal.lines[1:]}
    missing = [task for task in tasks if (task.entrant.key, task.seed) not in done]
    if not missing:
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=prepare, initargs=(1,)) as pool:
        for future in as_completed([pool.submit(perform, task) for task in missing]):
            line = future.result()
            journal.add(line)
            checkpoint_of(tasks[0].out, line["key"], line["seed"]).unlink(missing_ok=True)
            yield line


def title(data: "ImageData", recipe: Recipe) -> dict[str, Any]:
    """What results hold for: the first line of their journal."""
    return {"data": data.name, "test_images": len(data.test), "fingerprint": data.fingerprint, "recipe": asdict(recipe)}


def trained(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The title of the journal in `out`, and its lines of entrants of the last search, in their order, with `pick` (0: a peer) and `test`.

    Raises:
        StudyError: nothing was picked, or nothing was trained yet.
    """
    head, *lines = read(journal_of(out)) or [{}]
    now = {entrant.key: entrant for entrant in entrants(picking.read(out), from_scratch=True)}
    order = list(now)
    kept = sorted((line for line in lines if line["key"] in now), key=lambda line: (order.index(line["key"]), line["seed"]))
    if not kept:
        raise StudyError(f"no network that was picked in {out}, and no peer, has been trained: run the train command first")
    return head, [line | {"pick": now[line["key"]].pick, "test": 1 - len(line["wrong"]) / head["test_images"]} for line in kept]


def journal_of(out: Path) -> Path:
    """Where the results of `run` are kept in the folder `out`."""
    return out / "trained.jsonl"


def network_of(out: Path, key: str, seed: int) -> Path:
    """Where a trained network is kept."""
    return out / "networks" / f"{key}-seed{seed}.safetensors"


def checkpoint_of(out: Path, key: str, seed: int) -> Path:
    """Where a network in training is kept."""
    return out / "training" / f"{key}-seed{seed}.safetensors"
