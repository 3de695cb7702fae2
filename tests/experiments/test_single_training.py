"""A network that is trained alone: stopped anywhere, it ends as if it had not been."""

import itertools

import pytest
import torch

from experiments import single_training
from nas.core.errors import CheckpointError, DivergenceError
from nas.network import Network, channels_last
from nas.training import Schedule
from tests.tiny import CLASSES, SPACE, images

DATA = images()
SCHEDULE = Schedule(2, 32, 0.1, 1e-4, max_shift=0.1)
SPEC = SPACE.network(SPACE.largest(), 1, CLASSES)


def network():
    torch.manual_seed(5)
    return channels_last(Network(SPEC))


def trained(path=None, stop=None, belongs_to=single_training.NOTHING, schedule=SCHEDULE):
    found = network()
    course = single_training.train(found, DATA, schedule, 0.1, seed=3, path=path, belongs_to=belongs_to, every_seconds=0.0)
    steps = [step for step, _, _ in itertools.islice(course, stop)]
    return found.state_dict(), steps


def test_a_training_goes_on_to_the_same_bits(tmp_path):
    whole, steps = trained()
    assert steps == [1, 2, 3, 4, 5, 6]
    path = tmp_path / "training.safetensors"
    assert trained(path, stop=2)[1] == [1, 2] and trained(path, stop=3)[1] == [3, 4, 5]
    again, rest = trained(path)
    assert rest == [6] and all(torch.equal(again[name], values) for name, values in whole.items())
    finished, none = trained(path)  # stopped between the last step and what comes after
    assert none == [] and all(torch.equal(finished[name], values) for name, values in whole.items())


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = tmp_path / "training.safetensors"
    trained(path, belongs_to={"recipe": "a"})
    with pytest.raises(CheckpointError, match="is of recipe a, this run is of recipe b"):
        trained(path, belongs_to={"recipe": "b"})


def test_a_loss_that_is_no_number_ends_the_training():
    with pytest.raises(DivergenceError, match="lower the learning rate"):
        trained(schedule=Schedule(20, 32, 1e30, 1e-4))
