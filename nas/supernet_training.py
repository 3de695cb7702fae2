"""Training of a supernet that may be stopped at any moment: a checkpoint every few seconds, and the rest again."""

import time
from pathlib import Path

from nas import checkpoint
from nas.data import ImageData
from nas.display import Display
from nas.settings import SupernetSettings
from nas.supernet import Supernet
from nas.training import Schedule, make_optimizer, train_supernet

CHECKPOINT_SECONDS = 15.0


def train_resumably(supernet: Supernet, data: ImageData, settings: SupernetSettings, seed: int, path: Path, display: Display) -> None:
    """Trains `supernet`, in place, to the end of its schedule, from the checkpoint at `path` on if there is one.

    Raises:
        CheckpointError: the checkpoint is damaged or of another space, data set or schedule; or a loss is not finite.
    """
    schedule = Schedule(settings.epochs, settings.batch_size, settings.learning_rate, settings.weight_decay)
    optimizer = make_optimizer(supernet, schedule)
    belongs_to = _marks(supernet, data) | {
        "schedule": f"{schedule}, {settings.random_networks} random networks, seed {seed}",
    }
    start = checkpoint.read(path, supernet, optimizer, belongs_to) if path.exists() else 0
    steps = schedule.steps(len(data.train))
    if start >= steps:
        return
    with display.bar("Training the supernet", steps) as bar:
        done, saved_at = start, time.monotonic()
        bar.at(done)
        for progress in train_supernet(supernet, optimizer, data, schedule, settings.random_networks, seed, start):
            done = progress.step
            bar.at(done, f"loss {progress.largest_loss:.2f} largest, {progress.smallest_loss:.2f} smallest")
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                checkpoint.write(path, supernet, optimizer, done, belongs_to)
                saved_at = time.monotonic()
    checkpoint.write(path, supernet, optimizer, done, belongs_to)


def load_trained(supernet: Supernet, data: ImageData, path: Path) -> None:
    """Loads the weights that `nas.train` left at `path` into `supernet`, in place.

    Raises:
        CheckpointError: the file is missing, damaged, or of another space, data set or class count.
    """
    checkpoint.read_weights(path, supernet, _marks(supernet, data))


def _marks(supernet: Supernet, data: ImageData) -> dict[str, str]:
    """What shared weights belong to, whatever their schedule was."""
    return {"space": supernet.space.key, "data": f"{data.name} ({data.fingerprint})", "classes": str(supernet.classes)}
