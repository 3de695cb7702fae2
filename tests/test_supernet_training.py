"""The law of resuming: stopped anywhere and continued, training ends with the weights it would have ended with anyway."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from nas import supernet_training
from nas.core.errors import CheckpointError
from nas.display import Silent
from nas.settings import SupernetSettings
from nas.supernet import Supernet
from nas.supernet_training import load_trained, train_resumably
from tests.tiny import CLASSES, SPACE, images

SETTINGS = SupernetSettings(epochs=3, batch_size=32, learning_rate=0.2, random_networks=1)
STEPS = 9
DATA = images()


class StopsAt(Silent):
    """Somebody presses Ctrl-C when step `step` has been shown."""

    def __init__(self, step):
        self.step = step
        self.seen = []

    @contextmanager
    def bar(self, what, total):
        assert (what, total) == ("Training the supernet", STEPS)
        yield self

    def at(self, done, note=""):
        self.seen.append(done)
        if done == self.step:
            raise KeyboardInterrupt


def supernet(seed=0, space=SPACE, classes=CLASSES):
    torch.manual_seed(seed)
    return Supernet(space, 1, classes)


def weights(of):
    return {name: tensor.clone() for name, tensor in of.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Final weights and the checkpoint of a run that nobody stopped."""
    path = tmp_path_factory.mktemp("whole") / "supernet.safetensors"
    trained = supernet()
    train_resumably(trained, DATA, SETTINGS, 0, path, Silent())
    return weights(trained), path


@pytest.fixture
def saves_every_step(monkeypatch):
    monkeypatch.setattr(supernet_training, "CHECKPOINT_SECONDS", -1.0)


@pytest.mark.parametrize("stops", [(2,), (6,), (9,), (3, 4, 8)], ids=str)
def test_stopped_and_continued_is_never_stopped(uninterrupted, tmp_path, saves_every_step, stops):
    path = tmp_path / "supernet.safetensors"
    resumed_from = []
    for step in stops:
        display = StopsAt(step)
        with pytest.raises(KeyboardInterrupt):
            train_resumably(supernet(), DATA, SETTINGS, 0, path, display)
        resumed_from.append(display.seen[0])
    display, last = StopsAt(None), supernet(seed=99)  # what the weights were before reading does not matter
    train_resumably(last, DATA, SETTINGS, 0, path, display)
    assert [*resumed_from, display.seen[0]] == [0, *(step - 1 for step in stops)]
    assert display.seen[-1] == STEPS
    assert same(weights(last), uninterrupted[0])
    assert same(load_file(path), load_file(uninterrupted[1]))  # momentum, too


def test_stopped_before_the_first_checkpoint_begins_anew(uninterrupted, tmp_path):
    path = tmp_path / "supernet.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_resumably(supernet(), DATA, SETTINGS, 0, path, StopsAt(5))
    assert not path.exists()  # fifteen seconds had not passed
    again = supernet()
    train_resumably(again, DATA, SETTINGS, 0, path, Silent())
    assert same(weights(again), uninterrupted[0])


def test_finished_training_is_read_not_repeated(uninterrupted):
    display, again = StopsAt(None), supernet(seed=99)
    train_resumably(again, DATA, SETTINGS, 0, uninterrupted[1], display)
    assert display.seen == [] and same(weights(again), uninterrupted[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": replace(DATA, fingerprint="ba9876543210")}, r"data tiny \(0123456789ab\), this run is of data tiny \(ba9876543210\)"),
        ({"settings": SETTINGS.changed(epochs=4)}, r"schedule Schedule\(epochs=3.*this run is of schedule Schedule\(epochs=4"),
        ({"settings": SETTINGS.changed(random_networks=2)}, "1 random networks, seed 0, this run is of .* 2 random networks, seed 0"),
        ({"seed": 1}, "seed 0, this run is of .* seed 1: give --fresh"),
        ({"supernet": supernet(space=replace(SPACE, name="other"))}, r"is of space tiny@\w+, this run is of space other@"),
        ({"supernet": supernet(classes=4)}, "is of classes 3, this run is of classes 4"),
    ],
    ids=["data", "epochs", "random networks", "seed", "space", "classes"],
)
def test_training_of_something_else_is_not_continued(uninterrupted, change, message):
    asked = {"supernet": supernet(), "data": DATA, "settings": SETTINGS, "seed": 0, **change}
    with pytest.raises(CheckpointError, match=message):
        train_resumably(asked["supernet"], asked["data"], asked["settings"], asked["seed"], uninterrupted[1], Silent())


def test_a_loss_that_is_no_number_leaves_a_checkpoint_that_is_still_good(tmp_path, saves_every_step):
    path, wild = tmp_path / "supernet.safetensors", SETTINGS.changed(learning_rate=1e30)
    with pytest.raises(CheckpointError, match="lower the learning rate; the last checkpoint is still good"):
        train_resumably(supernet(), DATA, wild, 0, path, Silent())
    with pytest.raises(CheckpointError, match="lower the learning rate"):  # the same again, from the checkpoint on
        train_resumably(supernet(), DATA, wild, 0, path, Silent())
    assert all(torch.isfinite(tensor).all() for tensor in load_file(path).values())


def test_trained_weights_serve_any_schedule_but_no_other_data(uninterrupted):
    loaded = supernet(seed=99)
    load_trained(loaded, DATA, uninterrupted[1])
    assert same(weights(loaded), uninterrupted[0])
    with pytest.raises(CheckpointError, match=r"is of data tiny .*, this run is of data cats \(0123456789ab\)"):
        load_trained(loaded, replace(DATA, name="cats"), uninterrupted[1])


def test_trained_weights_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors is damaged or missing"):
        load_trained(supernet(), DATA, tmp_path / "nowhere.safetensors")
