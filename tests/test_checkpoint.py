"""Checkpoints: read back to the bit, refused with both sides named, and never half written."""

import errno
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from nas import checkpoint
from nas.core.errors import CheckpointError
from nas.supernet import Supernet
from nas.training import Schedule, make_optimizer, train_supernet
from tests.tiny import CLASSES, SPACE, images

SCHEDULE = Schedule(1, 32, 0.2, 1e-4)
MARKS = {"space": SPACE.key, "data": "tiny (0123456789ab)", "classes": "3", "schedule": "short"}


def fresh(space=SPACE, classes=CLASSES, seed=1):
    torch.manual_seed(seed)
    supernet = Supernet(space, 1, classes)
    return supernet, make_optimizer(supernet, SCHEDULE)


def state(supernet, optimizer):
    return {
        name: (parameter.detach().clone(), optimizer.state.get(parameter, {}).get("momentum_buffer"))
        for name, parameter in supernet.named_parameters()
    }


@pytest.fixture(scope="module")
def trained():
    supernet, optimizer = fresh(seed=0)
    list(train_supernet(supernet, optimizer, images(), SCHEDULE, 1, seed=0, start=0))
    return supernet, optimizer


@pytest.fixture
def path(trained, tmp_path):
    checkpoint.write(tmp_path / "supernet.safetensors", *trained, 3, MARKS, setbacks=1)
    return tmp_path / "supernet.safetensors"


def test_what_is_read_is_what_was_written_momentum_and_all(trained, path):
    other = fresh()
    assert (checkpoint.read(path, *other, MARKS), checkpoint.setbacks(path)) == (3, 1)
    wanted, found = state(*trained), state(*other)
    assert any(momentum is not None for _, momentum in wanted.values())
    for name, (weight, momentum) in wanted.items():
        assert torch.equal(found[name][0], weight), name
        assert (found[name][1] is None) == (momentum is None) and (momentum is None or torch.equal(found[name][1], momentum)), name


def test_weights_alone_can_be_read_whatever_the_schedule_was(trained, path):
    supernet, _ = fresh()
    checkpoint.read_weights(path, supernet, {key: MARKS[key] for key in ("space", "data", "classes")})
    assert all(torch.equal(a, b) for a, b in zip(supernet.state_dict().values(), trained[0].state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("key", "other"), [("space", "big@00000000"), ("data", "cats (ba9876543210)"), ("classes", "5"), ("schedule", "long")]
)
def test_a_checkpoint_of_something_else_is_refused_with_both_sides(path, key, other):
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(path, *fresh(), {**MARKS, key: other})
    message = str(caught.value)
    assert f"is of {key} {MARKS[key]}, this run is of {key} {other}" in message
    assert str(path) in message and "--fresh" in message and "--out" in message


def test_a_file_of_another_program_is_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"is of space None, this run is of space tiny@"):
        checkpoint.read(tmp_path / "other.safetensors", *fresh(), MARKS)


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1], ids=str)
def test_a_truncated_file_is_refused(path, kept):
    whole = path.read_bytes()
    path.write_bytes(whole[: round(len(whole) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match=r"supernet\.safetensors is damaged or missing .*: delete it, or give --fresh"):
        checkpoint.read(path, *fresh(), MARKS)


def test_garbage_or_nothing_is_refused(path):
    path.write_bytes(os.urandom(5000))
    with pytest.raises(CheckpointError, match="is damaged or missing"):
        checkpoint.read(path, *fresh(), MARKS)
    path.unlink()
    with pytest.raises(CheckpointError, match="is damaged or missing"):
        checkpoint.read(path, *fresh(), MARKS)


def altered(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={**MARKS, "step": "3"})


def test_a_missing_tensor_is_named(path):
    altered(path, lambda tensors: tensors.pop("weight/head.head.classifier.bias"))
    with pytest.raises(CheckpointError, match=r"head\.head\.classifier\.bias is missing, wanted \(3,\): give --fresh"):
        checkpoint.read(path, *fresh(), MARKS)


def test_a_tensor_of_another_shape_is_named_with_both(path):
    altered(path, lambda tensors: tensors.update({"weight/head.head.classifier.bias": torch.zeros(4)}))
    with pytest.raises(CheckpointError, match=r"head\.head\.classifier\.bias is of shape \(4,\), wanted \(3,\)"):
        checkpoint.read(path, *fresh(), MARKS)


def test_another_space_under_the_same_marks_is_refused_by_its_shapes(path):
    with pytest.raises(CheckpointError, match=r"is of shape \(32, 24, 1, 1\), wanted \(40, 24, 1, 1\)"):
        checkpoint.read(path, *fresh(replace(SPACE, head_width=40)), MARKS)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint_and_no_litter(path, monkeypatch, call):
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.write(path, *fresh(), 9, MARKS)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    assert checkpoint.read(path, *fresh(), MARKS) == 3
