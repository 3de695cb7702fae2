"""Training: the supernet by the sandwich rule with in-place distillation, and single networks by a teacher.

Every random choice is drawn from the seed and the step's number alone, so a run that was stopped continues as if it
had not been. Sources: Yu et al. 2020, BigNAS (sandwich rule, in-place distillation); Tan and Le 2021, EfficientNetV2
(images that grow with the training).
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.core.architecture import Architecture
from nas.core.errors import CheckpointError
from nas.core.space import SearchSpace
from nas.data import ImageData, Split, augment, normalise
from nas.network import Network
from nas.supernet import Supernet

TEACHER_SHARE = 0.3
"""Of the loss of a fine-tuned network; the rest is on the labels."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how hard to train. `epochs` may be a fraction; `learning_rate` is the peak, for `batch_size`."""

    epochs: float
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_share: float = 0.15

    def steps(self, images: int) -> int:
        """Optimiser steps for a training set of `images`."""
        return max(1, round(self.epochs * (images // self.batch_size)))

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of step `step` of `steps`: linear warm-up, then a cosine to zero."""
        warmup = max(1, round(self.warmup_share * steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands: `step` of `steps` done, losses of the largest and the smallest network at that step."""

    step: int
    steps: int
    largest_loss: float
    smallest_loss: float


def make_optimizer(module: nn.Module, schedule: Schedule) -> torch.optim.SGD:
    """SGD with Nesterov momentum; weight decay spares biases and batch norms (all one-dimensional parameters)."""
    decayed = [p for p in module.parameters() if p.ndim > 1]
    spared = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True)


def train_supernet(
    supernet: Supernet, optimizer: torch.optim.Optimizer, data: ImageData, schedule: Schedule, random_networks: int, seed: int, start: int
) -> Iterator[Progress]:
    """Trains from step `start` on, and yields after each step, so that the caller may save, show or stop.

    Each step trains the largest network on the labels, and the smallest and `random_networks` sampled ones on the labels
    and the largest's soft predictions for the same images in equal parts, then updates the shared tensors once. Images
    grow with the training: resolutions are let in one after the other, which saves a third of the time.

    Raises:
        CheckpointError: a loss or gradient is not finite; the last checkpoint is still good.
    """
    space = supernet.space
    steps = schedule.steps(len(data.train))
    for step in range(start, steps):
        images, labels, _ = training_batch(data, schedule.batch_size, seed, step)
        _set_rate(optimizer, schedule.rate(step, steps))
        optimizer.zero_grad(set_to_none=True)
        allowed = len(space.resolutions) * step // steps
        logits = _run(supernet, _no_larger(space, space.largest(), allowed), images)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        target = 0.5 * functional.one_hot(labels, supernet.classes) + 0.5 * logits.detach().softmax(dim=1)
        students = [space.smallest(), *sample(space, random_networks, f"{seed}:{step}")]
        losses = [_student_step(supernet, _no_larger(space, student, allowed), images, target) for student in students]
        norm = nn.utils.clip_grad_norm_(supernet.parameters(), max_norm=5.0)
        _refuse_not_finite(step, loss.item(), *losses, norm.item())
        optimizer.step()
        yield Progress(step + 1, steps, loss.item(), losses[0])


def fine_tune(network: Network, data: ImageData, schedule: Schedule, soft_labels: Tensor, seed: int) -> Iterator[Progress]:
    """Trains a single network, in place, on labels and a teacher's `soft_labels` (n, classes), which weigh `TEACHER_SHARE`.

    Leaves the network in evaluation mode; its batch norms want `recalibrate`.

    Raises:
        CheckpointError: a loss or gradient is not finite.
    """
    optimizer = make_optimizer(network, schedule)
    steps = schedule.steps(len(data.train.labels))
    network.train()
    for step in range(steps):
        images, labels, chosen = training_batch(data, schedule.batch_size, seed, step)
        _set_rate(optimizer, schedule.rate(step, steps))
        optimizer.zero_grad(set_to_none=True)
        logits = network(resize(images, network.spec.resolution))
        hard, soft = functional.cross_entropy(logits, labels), functional.cross_entropy(logits, soft_labels[chosen])
        loss = (1 - TEACHER_SHARE) * hard + TEACHER_SHARE * soft
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), max_norm=5.0)
        _refuse_not_finite(step, loss.item(), norm.item())
        optimizer.step()
        yield Progress(step + 1, steps, loss.item(), loss.item())
    network.eval()


def corrected(soft_labels: Tensor, labels: Tensor) -> Tensor:
    """`soft_labels` (n, classes), with certainty for the label (n,) in rows where the teacher would say another class.

    A teacher that is barely better than its students otherwise passes its mistakes on.
    """
    certain = functional.one_hot(labels, soft_labels.shape[1]).to(soft_labels.dtype)
    right = soft_labels.argmax(dim=1) == labels
    return torch.where(right[:, None], soft_labels, certain)


def training_batch(data: ImageData, batch_size: int, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Augmented, normalised images (n, c, h, w) at the data's own size, labels (n,) and indices (n,) of step `step`.

    Every epoch visits the images in an order of its own and drops what does not fill a batch.
    """
    count = len(data.train.labels)
    epoch, position = divmod(step, max(1, count // batch_size))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 100_003 + epoch))
    chosen = order[position * batch_size : (position + 1) * batch_size]
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    images = augment(normalise(data.train.images[chosen], data, data.train.images.shape[-1]), generator)
    return images.contiguous(memory_format=torch.channels_last), data.train.labels[chosen], chosen


@torch.no_grad()
def predictions(network: Network, data: ImageData, split: Split, batch_size: int = 250) -> Tensor:
    """Class probabilities (n, classes) that `network`, in evaluation mode, gives the images of `split`."""
    found = []
    for images in split.images.split(batch_size):
        batch = normalise(images, data, network.spec.resolution).contiguous(memory_format=torch.channels_last)
        found.append(network(batch).softmax(dim=1))
    return torch.cat(found)


def accuracy(network: Network, data: ImageData, split: Split) -> float:
    """Share of the images of `split` that `network` classifies correctly, from 0 to 1."""
    return float((predictions(network, data, split).argmax(dim=1) == split.labels).float().mean())


def resize(images: Tensor, resolution: int) -> Tensor:
    """Images (n, c, h, w) at `resolution`; the same interpolation as `nas.data.normalise`, which commutes with it."""
    if images.shape[-1] == resolution:
        return images
    resized = functional.interpolate(images, size=(resolution, resolution), mode="bilinear", antialias=True, align_corners=False)
    return resized.contiguous(memory_format=torch.channels_last)


def sample(space: SearchSpace, count: int, seed: str) -> list[Architecture]:
    """`count` architectures with every gene uniform; the same for the same `seed`."""
    chosen = random.Random(seed)
    return [space.architecture([chosen.randrange(gene.options) for gene in space.genes]) for _ in range(count)]


def _run(supernet: Supernet, architecture: Architecture, images: Tensor) -> Tensor:
    spec = supernet.space.network(architecture, supernet.in_channels, supernet.classes)
    logits: Tensor = supernet(resize(images, spec.resolution), spec)
    return logits


def _no_larger(space: SearchSpace, architecture: Architecture, resolution: int) -> Architecture:
    """`architecture`, with at most the resolution of that index."""
    return space.architecture((min(architecture.genes[0], resolution), *architecture.genes[1:]))


def _student_step(supernet: Supernet, student: Architecture, images: Tensor, target: Tensor) -> float:
    loss = functional.cross_entropy(_run(supernet, student, images), target)
    loss.backward()
    return loss.item()


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _refuse_not_finite(step: int, *values: float) -> None:
    """Raises before an update that would spoil the weights: a loss, or the norm of the gradients, is no number."""
    for value in values:
        if not math.isfinite(value):
            raise CheckpointError(
                f"a loss or gradient became {value} at step {step + 1}: lower the learning rate; the last checkpoint is still good"
            )
