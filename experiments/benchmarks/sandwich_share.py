"""How often to train the largest and the smallest network: what random networks inherit, from trainings of about equal cost.

    python -m experiments.benchmarks.sandwich_share         about a quarter of an hour on one core

Each training is of the embedded images, from the same seed. Shown are validation accuracies with inherited weights and batch norms
re-calibrated: of the smallest, the largest, and of random networks, which a search chooses from. The largest alone takes more than
half of the time of a step that trains it.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import search_spaces
from nas import data as images
from nas.accuracy.supernet import SupernetAccuracy
from nas.files import atomic_write
from nas.settings import SupernetSettings
from nas.supernet import Supernet
from nas.training import Average, Recipe, Schedule, make_optimizer, sample, train_supernet

RESULT = Path(__file__).parents[1] / "results" / "sandwich_share.json"
SPACE = search_spaces.load("mobile_shuffle_32")
RANDOM, CALIBRATION_IMAGES = 24, 500
WAYS: dict[str, dict[str, Any]] = {
    "at every step": {"sandwich_every": 1, "random_networks": 1, "epochs": 4},
    "every 4th": {"sandwich_every": 4, "random_networks": 2, "epochs": 3},
    "every 8th": {"sandwich_every": 8, "random_networks": 2, "epochs": 3},
    "never": {"sandwich_every": 0, "random_networks": 2, "epochs": 3},
}


def trained(settings: SupernetSettings, data: images.ImageData, seed: int) -> tuple[Supernet, float]:
    """A supernet trained as `settings` say, with its averaged weights, and the processor seconds that it took."""
    torch.manual_seed(seed)
    supernet = Supernet(SPACE, data.channels, len(data.classes))
    schedule = Schedule(settings.epochs, settings.batch_size, settings.learning_rate, settings.weight_decay)
    optimizer, average = make_optimizer(supernet, schedule), Average(supernet, settings.average)
    recipe = Recipe(by_macs=settings.by_macs, sandwich_every=settings.sandwich_every)
    begun = time.process_time()
    for progress in train_supernet(supernet, optimizer, data, schedule, settings.random_networks, seed, 0, recipe):
        average.update(supernet, progress.step)
    seconds = time.process_time() - begun
    average.copy_into(supernet)
    return supernet, seconds


def main() -> None:
    """Trains, prints a line a training and writes `experiments/results/sandwich_share.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each way (default 1)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = images.load("embedded", SPACE.resolutions[-1], 0)
    found = []
    for seed in range(given.seeds):
        for name, changes in WAYS.items():
            supernet, seconds = trained(SupernetSettings().changed(**changes), data, seed)
            score = SupernetAccuracy.of(supernet, data, CALIBRATION_IMAGES, len(data.validation))
            smallest, largest, *accuracies = [
                100 * score(one).accuracy for one in (SPACE.smallest(), SPACE.largest(), *sample(SPACE, RANDOM, "scored"))
            ]
            row = {
                "sandwich": name,
                **changes,
                "seed": seed,
                "cpu_seconds": round(seconds, 1),
                "smallest_percent": round(smallest, 2),
                "largest_percent": round(largest, 2),
                "random_mean_percent": round(statistics.mean(accuracies), 2),
                "random_deviation_percent": round(statistics.stdev(accuracies), 2),
            }
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            found.append(row)
    atomic_write(RESULT, json.dumps({"command": f"sandwich_share.py --seeds {given.seeds}", "trainings": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
