"""One network trained on hard labels, for experiments that compare networks. It may be stopped at any moment and goes on."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nas.core.errors import DivergenceError

if TYPE_CHECKING:
    from nas.data import ImageData
    from nas.network import Network
    from nas.training import Schedule

CALIBRATION_IMAGES = 2000
"""Training images, not augmented, from which every network's batch-norm statistics are computed at the end."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How networks that are to be compared are trained: SGD with Nesterov momentum on hard labels, warm-up, then a cosine to zero."""

    epochs: float
    batch_size: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1


NOTHING: Mapping[str, str] = MappingProxyType({})


def train(
    network: "Network",
    data: "ImageData",
    schedule: "Schedule",
    label_smoothing: float,
    seed: int,
    path: Path | None = None,
    belongs_to: Mapping[str, str] = NOTHING,
    every_seconds: float = 20.0,
) -> Iterator[tuple[int, int, float]]:
    """Trains `network`, in place, on `data.train` with the weights that it has; yields (step, steps, loss) after each step.

    It ends in evaluation mode, with batch norms calibrated.

    Args:
        network: what is trained; its memory order and its weights are the caller's.
        data: only training images are looked at.
        schedule: SGD with Nesterov momentum, warm-up, then a cosine to zero.
        label_smoothing: share of a label that goes to all classes alike.
        seed: decides order and changes of the images.
        path: a checkpoint, to go on from if it is there, and kept every `every_seconds` and at the end; None keeps none.
        belongs_to: must be what the checkpoint was begun with.
        every_seconds: see `path`.

    Raises:
        CheckpointError: the checkpoint is damaged, or belongs to something else.
        DivergenceError: the loss is not finite.
    """
    from torch.nn import functional
    from torch.nn.utils import clip_grad_norm_

    from nas import checkpoint
    from nas.network import recalibrate
    from nas.training import make_optimizer, resize, training_batch

    optimizer, steps = make_optimizer(network, schedule), schedule.steps(len(data.train))
    start = checkpoint.read(path, network, optimizer, belongs_to) if path and path.exists() else 0
    network.train()
    saved_at = time.monotonic()
    for step in range(start, steps):
        images, labels, _ = training_batch(data, schedule.batch_size, seed, step, schedule.max_shift)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step, steps)
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network(resize(images, network.spec.resolution)), labels, label_smoothing=label_smoothing)
        loss.backward()
        norm = clip_grad_norm_(network.parameters(), max_norm=5.0)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            raise DivergenceError(f"the loss became {loss.item()} at step {step + 1}: lower the learning rate")
        optimizer.step()
        if path and (time.monotonic() - saved_at >= every_seconds or step + 1 == steps):
            checkpoint.write(path, network, optimizer, step + 1, belongs_to)
            saved_at = time.monotonic()
        yield step + 1, steps, loss.item()
    recalibrate(network, calibration(data, network.spec.resolution))


def calibration(data: "ImageData", resolution: int) -> Any:
    """The images for batch-norm statistics, normalised at `resolution`, channels last."""
    import torch

    from nas.data import normalise

    images = data.train.some(CALIBRATION_IMAGES).images
    return normalise(images, data, resolution).contiguous(memory_format=torch.channels_last)
