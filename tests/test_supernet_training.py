"""The law of resuming: stopped anywhere and continued, training ends with the weights it would have ended with anyway."""

import pickle
import struct
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nas import checkpoint, supernet_training
from nas.core.errors import CheckpointError, DivergenceError
from nas.display import Silent
from nas.settings import SupernetSettings
from nas.supernet import Supernet
from nas.supernet_training import load_trained, train_resumably
from tests.tiny import CLASSES, SPACE, images

SETTINGS = SupernetSettings(epochs=3, batch_size=32, learning_rate=0.2, random_networks=1, label_smoothing=0.1, drop_path=0.2)
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


def test_a_loss_that_stays_no_number_ends_with_a_checkpoint_that_is_still_good(tmp_path, saves_every_step):
    path, wild = tmp_path / "supernet.safetensors", SETTINGS.changed(learning_rate=1e30)
    with pytest.raises(DivergenceError, match=r"lower the learning rate; the last checkpoint is still good \(gave up after 3 roll-backs"):
        train_resumably(supernet(), DATA, wild, 0, path, Silent())
    assert all(torch.isfinite(tensor).all() for tensor in load_file(path).values())


class Said(Silent):
    def __init__(self):
        self.said = []

    def say(self, sentence):
        self.said.append(sentence)


def diverging(monkeypatch, *steps):
    """Makes training come to what is no number once at each of `steps`; the peak learning rates that it was begun with."""
    left, rates = list(steps), []
    train = supernet_training.train_supernet

    def training(given, optimizer, data, schedule, *others):
        rates.append(schedule.learning_rate)
        for progress in train(given, optimizer, data, schedule, *others):
            if left and progress.step == left[0]:
                left.pop(0)
                with torch.no_grad():
                    next(given.parameters()).fill_(float("nan"))
                raise DivergenceError(f"a loss or gradient became nan at step {progress.step}")
            yield progress

    monkeypatch.setattr(supernet_training, "train_supernet", training)
    return rates


def table(path):
    return [line.split(",") for line in path.with_suffix(".csv").read_text().splitlines()[1:]]


def test_training_goes_on_at_half_the_rate_from_the_checkpoint_before(tmp_path, saves_every_step, monkeypatch):
    path, display, trained = tmp_path / "supernet.safetensors", Said(), supernet()
    rates = diverging(monkeypatch, 5, 5)
    train_resumably(trained, DATA, SETTINGS, 0, path, display)
    assert rates == [0.2, 0.1, 0.05]
    assert [sentence.partition("going on ")[2] for sentence in display.said] == [
        "from step 4 at half the learning rate",
        "from step 3 at half the learning rate",  # step 4 did not help
    ]
    assert all(torch.isfinite(tensor).all() for tensor in weights(trained).values())
    assert [int(row[0]) for row in table(path)] == list(range(1, STEPS + 1))
    assert checkpoint.setbacks(path) == 2


def test_without_a_checkpoint_it_goes_back_to_the_beginning(tmp_path, monkeypatch):
    path, display, trained = tmp_path / "supernet.safetensors", Said(), supernet()
    diverging(monkeypatch, 4)
    train_resumably(trained, DATA, SETTINGS, 0, path, display)
    assert "from step 0" in display.said[0] and len(display.said) == 1
    slower = supernet()
    monkeypatch.undo()
    train_resumably(slower, DATA, SETTINGS.changed(learning_rate=0.1), 0, tmp_path / "slower.safetensors", Silent())
    assert same(weights(trained), weights(slower))


def test_a_setback_outlives_a_stop(tmp_path, saves_every_step, monkeypatch):
    path = tmp_path / "supernet.safetensors"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        diverging(patched, 3)
        train_resumably(supernet(), DATA, SETTINGS, 0, path, StopsAt(6))
    rates = diverging(monkeypatch)
    train_resumably(supernet(), DATA, SETTINGS, 0, path, Silent())
    assert rates == [0.1]


def test_every_step_is_one_row_and_one_event_whatever_stopped_it(tmp_path, saves_every_step):
    from tensorboardX.proto.event_pb2 import Event

    path = tmp_path / "supernet.safetensors"
    for step in (3, 7):
        with pytest.raises(KeyboardInterrupt):
            train_resumably(supernet(), DATA, SETTINGS, 0, path, StopsAt(step))
    train_resumably(supernet(), DATA, SETTINGS, 0, path, Silent())
    rows = table(path)
    assert [int(row[0]) for row in rows] == list(range(1, STEPS + 1))
    assert [float(row[1]) for row in rows] == pytest.approx([step / 3 for step in range(1, STEPS + 1)], abs=1e-5)
    heading = "step,epoch,largest_loss,smallest_loss,sampled_loss,learning_rate,gradient_norm,images_per_s"
    assert path.with_suffix(".csv").read_text().splitlines()[0] == heading
    assert [int(row[0]) for row in rows if row[2] and row[3]] == [1, 9], "sandwiches"
    assert all(row[2] == row[3] == "" for row in rows if int(row[0]) not in (1, 9))
    seen = {}
    for file in sorted(path.with_suffix(".tensorboard").iterdir()):
        for event in events(file, Event):
            if event.session_log.status == event.session_log.START:
                seen = {step: loss for step, loss in seen.items() if step < event.step}  # what TensorBoard does
            for value in event.summary.value:
                if value.tag == "sampled_loss":
                    assert event.step not in seen
                    seen[event.step] = value.simple_value
    assert list(seen) == list(range(1, STEPS + 1))
    assert list(seen.values()) == pytest.approx([float(row[4]) for row in rows], rel=1e-5)


def events(file, kind):
    """The events of a TensorBoard file: length, its checksum, event, its checksum."""
    content, at = file.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield kind.FromString(content[at + 12 : at + 12 + length])
        at += 12 + length + 4


def test_a_checkpoint_of_an_earlier_version_goes_on(uninterrupted, tmp_path):
    """It says nothing of channels or recipe and has no running average."""
    path = tmp_path / "old.safetensors"
    with safe_open(uninterrupted[1], framework="pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key not in ("recipe", "channels", "setbacks")}
    tensors = {name: tensor for name, tensor in load_file(uninterrupted[1]).items() if not name.startswith("average/")}
    save_file(tensors, path, metadata)
    found = supernet()
    train_resumably(found, DATA, SETTINGS, 0, path, Silent())
    assert same(weights(found), {name.removeprefix("weight/"): tensor for name, tensor in tensors.items() if name.startswith("weight/")})


def test_it_ends_with_the_average_of_the_weights(uninterrupted):
    tensors = load_file(uninterrupted[1])
    assert same(uninterrupted[0], {name: tensors[f"average/{name}"] for name in uninterrupted[0]})
    assert not same(uninterrupted[0], {name: tensors[f"weight/{name}"] for name in uninterrupted[0]})


def test_images_of_other_channels_are_refused_with_both_counts(uninterrupted):
    with pytest.raises(CheckpointError, match="is of channels 1, this run is of channels 3"):
        load_trained(Supernet(SPACE, 3, CLASSES), DATA, uninterrupted[1])


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))], ids=["torch.save", "pickle"])
def test_a_pickle_is_refused_unread(tmp_path, save):
    save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt is a pickle of Python objects .*, wanted is safetensors"):
        load_trained(supernet(), DATA, tmp_path / "other.pt")


def test_a_gpu_with_bfloat16_uses_it_and_a_processor_does_not(monkeypatch):
    for there, has, found in ((False, False, False), (True, False, False), (True, True, True)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has: has)
        assert supernet_training.uses_bf16("auto") is found
        assert supernet_training.uses_bf16("bf16") and not supernet_training.uses_bf16("fp32")


def test_trained_weights_serve_any_schedule_but_no_other_data(uninterrupted):
    loaded = supernet(seed=99)
    load_trained(loaded, DATA, uninterrupted[1])
    assert same(weights(loaded), uninterrupted[0])
    with pytest.raises(CheckpointError, match=r"is of data tiny .*, this run is of data cats \(0123456789ab\)"):
        load_trained(loaded, replace(DATA, name="cats"), uninterrupted[1])


def test_trained_weights_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors is damaged or missing"):
        load_trained(supernet(), DATA, tmp_path / "nowhere.safetensors")
