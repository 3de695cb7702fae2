"""Shared weights for the experiment, trained as `nas.training` does or with a rule of it left out, and networks scored with them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.single_training import calibration
from nas.core.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from nas.core.network import NetworkSpec
    from nas.data import ImageData
    from nas.network import Network
    from nas.supernet import Supernet

CHECKPOINT_STEPS = 100
STATISTICS_FROM = 32
"""Random networks, beside the largest and the smallest, over whose statistics the shared ones are averaged."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How shared weights are trained. Every step trains `random_networks` + 2 networks, whatever is left out."""

    epochs: float
    batch_size: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    random_networks: int = 2
    by_macs: bool = True
    """Sampled networks are uniform over MACs; False: over genes."""
    average: float = 0.999
    """Decay of the running average of the weights that is scored; 0: the last step's weights."""
    label_smoothing: float = 0.0
    sandwich_every: int = 1
    """Largest and smallest at every so many steps, 0: never; at others two more sampled networks in their place."""
    teacher_share: float = 0.5
    """Of a student's loss, on the soft predictions of the step's largest network; the rest is on the labels."""
    growing: bool = True
    """Resolutions are let in one after the other; False: all from the start."""


def train(supernet: "Supernet", data: "ImageData", recipe: Recipe, seed: int, path: Path) -> Iterator[tuple[int, int, float]]:
    """Trains `supernet`, in place, from the checkpoint at `path` on if there is one; yields (step, steps, loss) after each step.

    Raises:
        CheckpointError: the checkpoint is of another recipe.
        DivergenceError: a loss is not finite.
    """
    from nas import checkpoint
    from nas.training import Average, Schedule, make_optimizer, train_supernet
    from nas.training import Recipe as Rules

    schedule = Schedule(recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay)
    rules = Rules(
        by_macs=recipe.by_macs,
        label_smoothing=recipe.label_smoothing,
        sandwich_every=recipe.sandwich_every,
        teacher_share=recipe.teacher_share,
        growing=recipe.growing,
    )
    optimizer, average = make_optimizer(supernet, schedule), Average(supernet, recipe.average)
    belongs_to = marks(supernet, data) | {"recipe": f"{asdict(recipe)}, seed {seed}"}
    start = checkpoint.read(path, supernet, optimizer, belongs_to, average.tensors) if path.exists() else 0
    for done in train_supernet(supernet, optimizer, data, schedule, recipe.random_networks, seed, start, rules):
        average.update(supernet, done.step)
        if done.step % CHECKPOINT_STEPS == 0 or done.step == done.steps:
            checkpoint.write(path, supernet, optimizer, done.step, belongs_to, average.tensors)
        yield done.step, done.steps, done.sampled_loss


def marks(supernet: "Supernet", data: "ImageData") -> dict[str, str]:
    """What shared weights belong to, whatever their recipe."""
    return {"space": supernet.space.key, "data": f"{data.name} ({data.fingerprint})"}


def load(supernet: "Supernet", data: "ImageData", path: Path) -> dict[str, Any]:
    """Loads the weights that `train` left at `path` into `supernet`, in place; their recipe and step, for a title.

    Raises:
        CheckpointError: there are none, or they are of another space or other images.
    """
    from safetensors import safe_open

    from nas import checkpoint

    checkpoint.read_weights(path, supernet, marks(supernet, data))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    images = {"training_images": len(data.train), "fingerprint": data.fingerprint}
    return {"space": metadata["space"], **images, "recipe": metadata["recipe"], "step": metadata["step"]}


def weights_of(out: Path, name: str) -> Path:
    """Where the shared weights of that name are kept in the folder `out`."""
    return out / name / "weights.safetensors"


def journal_of(out: Path, name: str) -> Path:
    """Where the scores with the shared weights of that name are kept."""
    return out / name / "inherited.jsonl"


def score(supernet: "Supernet", data: "ImageData", networks: Mapping[str, Architecture], validation: int) -> Iterator[dict[str, Any]]:
    """Accuracy of each of `networks`, by id, with inherited weights on all test images and on `validation` images.

    "raw" is without re-calibration: with statistics that all networks share, as a training that keeps running averages has them.
    """
    from nas.network import recalibrate
    from nas.training import accuracy

    shared = shared_statistics(supernet, data)
    for identity, architecture in networks.items():
        spec = _spec(supernet, architecture)
        network = supernet.extract(spec)
        use_statistics(network, shared)
        raw = accuracy(network, data, data.test)
        recalibrate(network, calibration(data, spec.resolution))
        held = accuracy(network, data, data.validation.some(validation))
        yield {"id": identity, "test": accuracy(network, data, data.test), "validation": held, "raw": raw}


def shared_statistics(supernet: "Supernet", data: "ImageData") -> "dict[str, Tensor]":
    """Batch-norm statistics by slot, kind and name, averaged for each channel over networks that have it.

    Those are the largest, the smallest and `STATISTICS_FROM` random networks, each calibrated by itself.
    """
    import torch
    from torch.nn import functional

    from nas.network import recalibrate
    from nas.training import sample

    space = supernet.space
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    for architecture in (space.largest(), space.smallest(), *sample(space, STATISTICS_FROM, "statistics")):
        network = supernet.extract(_spec(supernet, architecture))
        recalibrate(network, calibration(data, network.spec.resolution))
        for name, values in _statistics(network):
            length = max(len(values), len(sums.get(name, ())))
            for found, new in ((sums, values), (counts, torch.ones_like(values))):
                old = found.get(name, torch.zeros(0))
                found[name] = functional.pad(old, (0, length - len(old))) + functional.pad(new, (0, length - len(new)))
    return {name: total / counts[name] for name, total in sums.items()}


def use_statistics(network: "Network", shared: "dict[str, Tensor]") -> None:
    """Gives `network` the first channels of `shared`; channels that nobody had keep mean 0 and variance 1."""
    for name, values in _statistics(network):
        found = shared.get(name, values)[: len(values)]
        values[: len(found)] = found


def _statistics(network: "Network") -> "Iterator[tuple[str, Tensor]]":
    """Running means and variances under the name by which networks of a space share them: `<slot>.<kind>.<buffer>`."""
    kinds = {slot: block.kind for slot, block in zip(network.spec.slots, network.spec.blocks, strict=True)}
    for name, values in network.named_buffers():
        slot, _, rest = name.partition(".")
        if values.is_floating_point():
            yield f"{slot}.{kinds[slot]}.{rest}", values


def _spec(supernet: "Supernet", architecture: Architecture) -> "NetworkSpec":
    return supernet.space.network(architecture, supernet.in_channels, supernet.classes)
