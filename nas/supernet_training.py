"""Training of a supernet that may be stopped at any moment: a checkpoint every few seconds, and the rest again.

A loss or gradient that is no number rolls the training back to the last checkpoint, and it goes on at half the learning rate;
if that is not far enough back, the next time to the checkpoint before it. After `MAX_SETBACKS` times it gives up.
"""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from nas import augmentation, checkpoint
from nas.core.errors import CheckpointError, DivergenceError
from nas.data import ImageData
from nas.display import Display
from nas.distributed import ALONE, Team
from nas.settings import SupernetSettings
from nas.supernet import Supernet
from nas.training import Average, Progress, Recipe, Schedule, make_optimizer, train_supernet
from nas.training_log import Row, TrainingLog

CHECKPOINT_SECONDS = 15.0
MAX_SETBACKS = 3
KEPT = 3
"""Moments that a training can be rolled back to."""
SHIPPED = Path(__file__).parent / "embedded"
"""Weights that come with the package, one file a space, made by `experiments/train_shipped.py`."""


def train_resumably(
    supernet: Supernet,
    data: ImageData,
    settings: SupernetSettings,
    seed: int,
    path: Path,
    display: Display,
    began_with: str = "",
    team: Team = ALONE,
) -> None:
    """Trains `supernet`, in place, to the end of its schedule, from the checkpoint at `path` on if there is one.

    It ends with the running average of its weights. Every step is also a row of `path` with the suffix .csv, and an event for
    TensorBoard in the folder of that name. `began_with` names the weights that `supernet` was given before, "" if it has none
    but random ones. Trains on the GPU where there is one.

    Raises:
        CheckpointError: the checkpoint is damaged or of another space, data set or schedule.
        DivergenceError: a loss is no number, also after roll-backs.
        ExecutorError: the batch cannot be divided among the team.
    """
    augment = augmentation.deserved(settings.augment, data.train.images, settings.epochs)
    rates = settings.learning_rate, settings.weight_decay
    schedule = Schedule(settings.epochs, settings.batch_size, *rates, max_shift=settings.max_shift, augment=augment)
    bf16 = uses_bf16(settings.precision)
    recipe = Recipe(settings.by_macs, settings.label_smoothing, settings.drop_path, bf16, settings.sandwich_every)
    changes = f"shift {settings.max_shift:g}" if augment == augmentation.SHIFT else augment
    belongs_to = _marks(supernet, data) | {
        "schedule": f"{schedule}, {settings.random_networks} random networks, seed {seed}",
        "recipe": f"{recipe}, average {settings.average}, {changes}, mirrored {data.mirrors}",
    }
    if began_with:
        belongs_to["start"] = began_with
    team.share(schedule.batch_size)
    steps = schedule.steps(len(data.train))
    supernet.to("cuda" if torch.cuda.is_available() else "cpu")
    optimizer, average = make_optimizer(supernet, schedule), Average(supernet, settings.average)
    start = checkpoint.read(path, supernet, optimizer, belongs_to, average.tensors) if path.exists() else 0
    stand = _Stand(start, checkpoint.setbacks(path))
    if stand.step < steps:
        session = _Session(supernet, optimizer, average, path, belongs_to, team)
        with display.bar("Training the supernet", steps) as bar, TrainingLog(path if team.leads else None) as log:
            log.restart(stand.step)
            bar.at(stand.step)
            session.remember(stand)
            sandwich = None
            while stand.step < steps:
                gentler = replace(schedule, learning_rate=schedule.learning_rate * 0.5**stand.setbacks)
                began = time.perf_counter()
                training = train_supernet(supernet, optimizer, data, gentler, settings.random_networks, seed, stand.step, recipe, team)
                try:
                    for progress in training:
                        stand = replace(stand, step=progress.step)
                        average.update(supernet, stand.step)
                        speed = schedule.batch_size / max(1e-9, time.perf_counter() - began)
                        log.add(_row(progress, stand.step * schedule.batch_size / len(data.train), speed))
                        sandwich = sandwich if math.isnan(progress.largest_loss) else progress
                        bar.at(stand.step, _note(progress, sandwich, speed))
                        if team.agree(time.monotonic() - session.saved_at > CHECKPOINT_SECONDS):
                            log.flush()
                            session.save(stand)
                        began = time.perf_counter()
                except DivergenceError as error:
                    stand = session.roll_back(stand, error)
                    log.restart(stand.step)
                    display.say(f"{error}: going on from step {stand.step} at half the learning rate")
            session.save(stand)
    average.copy_into(supernet)
    supernet.to("cpu")


def keep_converted(supernet: Supernet, path: Path) -> None:
    """Writes weights that were trained elsewhere to `path`, for `load_trained` with any data set of as many classes.

    Raises:
        CheckpointError: there is a file at `path`, which could be somebody's training.
    """
    if path.exists():
        raise CheckpointError(f"{path} exists and may hold trained weights: delete it, or give another --out")
    marks = {"space": supernet.space.key, "data": checkpoint.ANY, "classes": str(supernet.classes)}
    checkpoint.write(path, supernet, torch.optim.SGD(supernet.parameters()), 0, marks)


def shipped(supernet: Supernet, data: ImageData) -> Path | None:
    """The weights of the space that come with the package, if they were trained on exactly the training images of `data`."""
    path = SHIPPED / f"{supernet.space.name}.safetensors"
    return path if path.exists() and checkpoint.belongs(path, _marks(supernet, data)) else None


def keep_weights(supernet: Supernet, data: ImageData, path: Path) -> None:
    """Writes the weights alone to `path`, for `load_trained`: no momentum, and nothing to continue from."""
    checkpoint.write(path, supernet, torch.optim.SGD(supernet.parameters()), 0, _marks(supernet, data))


def load_trained(supernet: Supernet, data: ImageData, path: Path) -> None:
    """Loads the weights that `nas.train` left at `path` into `supernet`, in place.

    Raises:
        CheckpointError: the file is missing, damaged, or of another space, data set or class count.
    """
    checkpoint.read_weights(path, supernet, _marks(supernet, data))


def uses_bf16(precision: str) -> bool:
    """Whether `precision` ("auto", "fp32" or "bf16") means bfloat16 on this machine.

    On processors automatic casting is slower than single precision even with AMX (measured: 30 times at 64 px), so that only a
    GPU with bfloat16 gets it unasked.
    """
    return precision == "bf16" or (precision == "auto" and torch.cuda.is_available() and torch.cuda.is_bf16_supported())


@dataclass(frozen=True, slots=True)
class _Stand:
    """How far a training is: optimiser steps done, and how often it was rolled back."""

    step: int
    setbacks: int


@dataclass(frozen=True, slots=True)
class _Moment:
    """All of a training that a roll-back restores."""

    stand: _Stand
    weights: dict[str, Tensor]
    momenta: dict[str, Tensor]
    average: dict[str, Tensor]


class _Session:
    """Checkpoints of a training in this process: on disk, and the last few in memory."""

    def __init__(
        self, supernet: Supernet, optimizer: torch.optim.Optimizer, average: Average, path: Path, belongs_to: dict[str, str], team: Team
    ) -> None:
        self.supernet, self.optimizer, self.average = supernet, optimizer, average
        self.path, self.belongs_to, self.team = path, belongs_to, team
        self.moments: list[_Moment] = []
        self.saved_at = time.monotonic()

    def save(self, stand: _Stand) -> None:
        """Keeps where the training stands on disk and in memory."""
        if self.team.leads:
            checkpoint.write(self.path, self.supernet, self.optimizer, stand.step, self.belongs_to, self.average.tensors, stand.setbacks)
        self.remember(stand)
        self.saved_at = time.monotonic()

    def remember(self, stand: _Stand) -> None:
        """Keeps where the training stands in memory."""
        weights = {name: parameter.detach().clone() for name, parameter in self.supernet.named_parameters()}
        momenta = {name: momentum.clone() for name, momentum in checkpoint.momenta(self.supernet, self.optimizer).items()}
        average = {name: tensor.clone() for name, tensor in self.average.tensors.items()}
        self.moments = [*self.moments, _Moment(stand, weights, momenta, average)][-KEPT:]

    @torch.no_grad()
    def roll_back(self, stand: _Stand, error: DivergenceError) -> _Stand:
        """Restores the last moment, which is then forgotten unless it is the only one, and returns where the training stands.

        Raises:
            DivergenceError: it was rolled back often enough.
        """
        if stand.setbacks >= MAX_SETBACKS:
            raise DivergenceError(f"{error} (gave up after {MAX_SETBACKS} roll-backs, each to half the learning rate)") from None
        moment = self.moments.pop() if len(self.moments) > 1 else self.moments[0]
        for name, parameter in self.supernet.named_parameters():
            parameter.copy_(moment.weights[name])
            self.average.tensors[name].copy_(moment.average[name])
        checkpoint.set_momenta(self.supernet, self.optimizer, moment.momenta)
        return _Stand(moment.stand.step, stand.setbacks + 1)


def _row(progress: Progress, epoch: float, images_per_s: float) -> Row:
    losses = progress.largest_loss, progress.smallest_loss, progress.sampled_loss
    return Row(progress.step, epoch, *losses, progress.learning_rate, progress.gradient_norm, images_per_s)


def _note(progress: Progress, sandwich: Progress | None, images_per_s: float) -> str:
    """Losses in words: those of the largest and the smallest network as they were in the last `sandwich`."""
    said = [f"{sandwich.largest_loss:.2f} largest, {sandwich.smallest_loss:.2f} smallest"] if sandwich else []
    said += [] if math.isnan(progress.sampled_loss) else [f"{progress.sampled_loss:.2f} sampled"]
    return f"loss {', '.join(said)}, {images_per_s:.0f} images/s"


def _marks(supernet: Supernet, data: ImageData) -> dict[str, str]:
    """What shared weights belong to, whatever their schedule was."""
    counts = {"classes": str(supernet.classes), "channels": str(supernet.in_channels)}
    return {"space": supernet.space.key, **counts, "data": f"{data.name} ({data.fingerprint})"}
