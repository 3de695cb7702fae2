"""Trains a tiny supernet in as many processes as `torchrun` started, and writes its losses and weights: run by a test."""

import json
import sys
from pathlib import Path

import torch

import nas.supernet
from nas import distributed
from nas.supernet import Supernet
from nas.training import Recipe, Schedule, make_optimizer, train_supernet
from tests.tiny import CLASSES, SPACE, images


def trained(team, dtype, steps=6):
    """Losses of every step as (largest, smallest, norm of the gradients), and all weights in one tensor."""
    torch.set_default_dtype(dtype)
    nas.supernet._template.cache_clear()  # its scratch statistics are of the default type
    try:
        return _trained(team, steps)
    finally:
        torch.set_default_dtype(torch.float32)
        nas.supernet._template.cache_clear()


def _trained(team, steps):
    torch.manual_seed(0)
    supernet = Supernet(SPACE, 1, CLASSES)
    schedule = Schedule(steps * 32 / 96, 32, 0.05, 1e-4)
    recipe = Recipe(by_macs=True, label_smoothing=0.1, drop_path=0.2)
    training = train_supernet(supernet, make_optimizer(supernet, schedule), images(), schedule, 1, 0, 0, recipe, team)
    losses = [(one.largest_loss, one.smallest_loss, one.gradient_norm) for one in training]
    return losses, torch.cat([parameter.detach().flatten() for parameter in supernet.parameters()])


def main(out):
    """What `trained` returns, in single and in double precision, as JSON and safetensors in the folder `out`."""
    torch.set_num_threads(1)
    team = distributed.join()
    assert team.size == 2
    for dtype in (torch.float32, torch.float64):
        losses, weights = trained(team, dtype)
        (out / f"{dtype}.{team.rank}.json").write_text(json.dumps([losses, weights.tolist()]))
    distributed.leave(team)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
