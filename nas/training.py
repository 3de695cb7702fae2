"""Training: the supernet by the sandwich rule with in-place distillation, and single networks by a teacher.

Every random choice is drawn from the seed and the step's number alone, so a run that was stopped continues as if it
had not been. Sources: Yu et al. 2020, BigNAS (sandwich rule, in-place distillation); Tan and Le 2021, EfficientNetV2
(images that grow with the training).
"""

import math
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas import augmentation, photographs
from nas.core.architecture import Architecture
from nas.core.errors import DivergenceError
from nas.core.network import BlockSpec
from nas.core.space import SearchSpace
from nas.data import ImageData, Split, normalise
from nas.distributed import ALONE, Team
from nas.network import Network
from nas.path_sampling import MacsSampler
from nas.supernet import After, Supernet
from search_spaces import blocks

TEACHER_SHARE = 0.3
"""Of the loss of a fine-tuned network; the rest is on the labels."""

_RESIDUAL = frozenset({"mbconv", "separable"})
"""Blocks that add their input to what they compute, where stride and channels allow."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how hard to train. `epochs` may be a fraction; `learning_rate` is the peak, for `batch_size`.

    `max_shift` is how far images are moved at random, as a share of their size. `augment` is how they are changed: "shift", or
    "photo", which shifts nothing (`nas.augmentation`).
    """

    epochs: float
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_share: float = 0.15
    max_shift: float = field(default=1 / 32, repr=False)
    augment: str = field(default=augmentation.SHIFT, repr=False)

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
class Recipe:
    """What the networks of a step are, and what they are trained on.

    `by_macs` samples uniformly over multiply-accumulates, else over genes. `label_smoothing` is the share of a label that goes
    to all classes alike. `drop_path` is the probability with which the last residual block of the largest network passes an
    image by; it rises linearly from the first (Huang et al. 2016). `bf16` computes in bfloat16 where PyTorch's autocast says so.
    The largest and the smallest network are trained at every `sandwich_every`-th step, 0 is never; at the others two more sampled
    ones are. `teacher_share` is the part of a student's loss that is on the teacher's predictions; the rest is on the labels.
    `growing` lets resolutions in one after the other, which saves a third of the time; else all are there from the start.
    """

    by_macs: bool = False
    label_smoothing: float = 0.0
    drop_path: float = 0.0
    bf16: bool = False
    sandwich_every: int = 1
    teacher_share: float = 0.5
    growing: bool = True


PLAIN = Recipe()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands: `step` of `steps` done, and the losses of that step.

    Those of the largest and the smallest network are no numbers (NaN) unless the step was a sandwich; `sampled_loss`, the mean of
    the networks that were drawn, is none where none were. `learning_rate` is that of the step, `gradient_norm` that before clipping.
    """

    step: int
    steps: int
    largest_loss: float
    smallest_loss: float
    sampled_loss: float
    learning_rate: float
    gradient_norm: float


class Average:
    """A running average of shared weights (Tarvainen and Valpola 2017), which scores better than the last step's.

    Of step t it keeps min(`decay`, (1 + t) / (10 + t)): short trainings average over few steps.
    """

    def __init__(self, supernet: Supernet, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: parameter.detach().clone() for name, parameter in supernet.named_parameters()}

    @torch.no_grad()
    def update(self, supernet: Supernet, step: int) -> None:
        """Takes in the weights after `step` steps."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), [parameter.detach() for parameter in supernet.parameters()], share)

    @torch.no_grad()
    def copy_into(self, supernet: Supernet) -> None:
        """Gives `supernet` the average in place of its weights."""
        for name, parameter in supernet.named_parameters():
            parameter.copy_(self.tensors[name])


def make_optimizer(module: nn.Module, schedule: Schedule) -> torch.optim.SGD:
    """SGD with Nesterov momentum; weight decay spares biases and batch norms (all one-dimensional parameters)."""
    decayed = [p for p in module.parameters() if p.ndim > 1]
    spared = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, fused=True)
    for parameter in module.parameters():  # the fused step, four times as fast, wants a momentum for all or for none
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def train_supernet(
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    data: ImageData,
    schedule: Schedule,
    random_networks: int,
    seed: int,
    start: int,
    recipe: Recipe = PLAIN,
    team: Team = ALONE,
) -> Iterator[Progress]:
    """Trains from step `start` on, and yields after each step, so that the caller may save, show or stop.

    Each step trains a teacher on the labels, and the others on the labels and the teacher's soft predictions for the same
    images, then updates the shared tensors once. With a sandwich the largest network teaches the smallest and
    `random_networks` sampled ones; without, the one of most multiply-accumulates teaches as many others that are sampled.
    Each process of `team` trains on its part of the batch.

    Raises:
        DivergenceError: a loss or gradient is not finite; the weights are those before the step.
        ExecutorError: the batch cannot be divided among the team.
    """
    space = supernet.space
    steps = schedule.steps(len(data.train))
    by_macs = MacsSampler.of(space, supernet.in_channels, supernet.classes) if recipe.by_macs else None
    like = next(supernet.parameters())
    for step in range(start, steps):
        images, labels, _ = training_batch(data, schedule.batch_size, seed, step, schedule.max_shift, team, schedule.augment)
        images, labels = images.to(like), labels.to(like.device)
        rate = schedule.rate(step, steps)
        _set_rate(optimizer, rate)
        optimizer.zero_grad(set_to_none=True)
        allowed = len(space.resolutions) * step // steps if recipe.growing else len(space.resolutions)
        sandwich = recipe.sandwich_every > 0 and step % recipe.sandwich_every == 0
        count = random_networks + (0 if sandwich else 2)
        networks = by_macs(count, seed, step) if by_macs else sample(space, count, f"{seed}:{step}")
        networks = [space.largest(), space.smallest(), *networks] if sandwich else _extremes_first(supernet, networks)
        teacher, *students = [_no_larger(space, network, allowed) for network in networks]
        with team.whole_batch_statistics():
            drops = sandwich and recipe.drop_path > 0
            drop = drop_path(supernet, teacher, recipe.drop_path, len(labels), seed, step, team) if drops else None
            logits = _run(supernet, teacher, images, recipe.bf16, drop)
            loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            loss.backward()
            even = recipe.label_smoothing / supernet.classes
            hard = functional.one_hot(labels, supernet.classes) * (1 - recipe.label_smoothing) + even
            target = (1 - recipe.teacher_share) * hard + recipe.teacher_share * logits.detach().softmax(dim=1)
            losses = [loss.detach()]
            for student in students:
                loss = functional.cross_entropy(_run(supernet, student, images, recipe.bf16), target)
                loss.backward()
                losses.append(loss.detach())
        team.average_gradients(supernet.parameters())
        norm = nn.utils.clip_grad_norm_(supernet.parameters(), max_norm=5.0).item()
        found = team.mean(torch.stack(losses)).tolist()
        _refuse_not_finite(step, *found, norm)
        optimizer.step()
        (largest, smallest), drawn = (found[:2], found[2:]) if sandwich else ((math.nan, math.nan), found)
        yield Progress(step + 1, steps, largest, smallest, statistics.fmean(drawn) if drawn else math.nan, rate, norm)


def fine_tune(network: Network, data: ImageData, schedule: Schedule, soft_labels: Tensor, seed: int) -> Iterator[Progress]:
    """Trains a single network, in place, on labels and a teacher's `soft_labels` (n, classes), which weigh `TEACHER_SHARE`.

    Leaves the network in evaluation mode; its batch norms want `recalibrate`.

    Raises:
        DivergenceError: a loss or gradient is not finite.
    """
    optimizer = make_optimizer(network, schedule)
    steps = schedule.steps(len(data.train.labels))
    network.train()
    for step in range(steps):
        images, labels, chosen = training_batch(data, schedule.batch_size, seed, step, schedule.max_shift, augment=schedule.augment)
        rate = schedule.rate(step, steps)
        _set_rate(optimizer, rate)
        optimizer.zero_grad(set_to_none=True)
        logits = network(resize(images, network.spec.resolution))
        hard, soft = functional.cross_entropy(logits, labels), functional.cross_entropy(logits, soft_labels[chosen])
        loss = (1 - TEACHER_SHARE) * hard + TEACHER_SHARE * soft
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), max_norm=5.0).item()
        _refuse_not_finite(step, loss.item(), norm)
        optimizer.step()
        yield Progress(step + 1, steps, loss.item(), loss.item(), math.nan, rate, norm)
    network.eval()


def corrected(soft_labels: Tensor, labels: Tensor) -> Tensor:
    """`soft_labels` (n, classes), with certainty for the label (n,) in rows where the teacher would say another class.

    A teacher that is barely better than its students otherwise passes its mistakes on.
    """
    certain = functional.one_hot(labels, soft_labels.shape[1]).to(soft_labels.dtype)
    right = soft_labels.argmax(dim=1) == labels
    return torch.where(right[:, None], soft_labels, certain)


def training_batch(
    data: ImageData,
    batch_size: int,
    seed: int,
    step: int,
    max_shift: float = 1 / 32,
    team: Team = ALONE,
    augment: str = augmentation.SHIFT,
) -> tuple[Tensor, Tensor, Tensor]:
    """Augmented, normalised images (n, c, h, w) at the data's own size, labels (n,) and indices (n,) of step `step`.

    Every epoch visits the images in an order of its own and drops what does not fill a batch. Each process of `team` gets its
    part of the batch that one process alone would get. `max_shift` and `augment` are as in `Schedule`.
    """
    count = len(data.train.labels)
    epoch, position = divmod(step, max(1, count // batch_size))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 100_003 + epoch))
    chosen = order[position * batch_size : (position + 1) * batch_size]
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    height, width = data.train.images.shape[-2:]
    part = team.share(len(chosen))
    taken = data.train.images[chosen[part]]
    if augment == augmentation.PHOTO:
        cut = photographs.draw(len(chosen), height, width, data.mirrors, generator)
        images = normalise(photographs.apply(taken, cut.of(part)), data, width)
    else:
        moves = augmentation.draw(len(chosen), height, width, max_shift, data.mirrors, generator)
        images = augmentation.apply(normalise(taken, data, width), moves.of(part))
    chosen = chosen[part]
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


def drop_path(supernet: Supernet, architecture: Architecture, rate: float, images: int, seed: int, step: int, team: Team = ALONE) -> After:
    """Lets residual blocks pass images by at random, the last one with probability `rate`, the others in proportion to their place.

    What a block adds to the images that it does not pass by is larger in return, so that the expected sum stays.

    Args:
        supernet: what the network is a part of.
        architecture: the network.
        rate: from 0 to below 1.
        images: how many this process has.
        seed: with `step`, decides.
        step: see `seed`.
        team: draws for the whole batch, and takes its share.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step + 500_000_003)
    blocks = len(supernet.space.network(architecture, supernet.in_channels, supernet.classes).blocks)
    place = 0

    def after(block: BlockSpec, taken: Tensor, given: Tensor) -> Tensor:
        nonlocal place
        place += 1
        if block.kind not in _RESIDUAL or block.stride > 1 or block.in_channels != block.out_channels:
            return given
        kept = 1 - rate * place / blocks
        drawn = torch.rand(images * team.size, generator=generator)[team.share(images * team.size)]
        weight = ((drawn < kept) / kept).to(given)
        return torch.lerp(taken, given, weight.view(-1, 1, 1, 1))

    return after


def _run(supernet: Supernet, architecture: Architecture, images: Tensor, bf16: bool, after: After | None = None) -> Tensor:
    spec = supernet.space.network(architecture, supernet.in_channels, supernet.classes)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        logits: Tensor = supernet(resize(images, spec.resolution), spec, after)
    return logits.float() if bf16 else logits


def _extremes_first(supernet: Supernet, architectures: list[Architecture]) -> list[Architecture]:
    """Two or more architectures: that of most multiply-accumulates, that of fewest, then the others."""
    space, inputs = supernet.space, (supernet.in_channels, supernet.classes)
    fewest, *between, most = sorted(architectures, key=lambda one: blocks.macs(space.network(one, *inputs)))
    return [most, fewest, *between]


def _no_larger(space: SearchSpace, architecture: Architecture, resolution: int) -> Architecture:
    """`architecture`, with at most the resolution of that index."""
    return space.architecture((min(architecture.genes[0], resolution), *architecture.genes[1:]))


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _refuse_not_finite(step: int, *values: float) -> None:
    """Raises before an update that would spoil the weights: a loss, or the norm of the gradients, is no number."""
    for value in values:
        if not math.isfinite(value):
            raise DivergenceError(
                f"a loss or gradient became {value} at step {step + 1}: lower the learning rate; the last checkpoint is still good"
            )
