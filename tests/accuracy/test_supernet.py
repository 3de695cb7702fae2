"""What a candidate is worth with the supernet's weights."""

import pickle
import warnings

import pytest
import torch
from torch import nn

import search_spaces
from nas.accuracy.supernet import SupernetAccuracy, calibration_batch, calibration_data, count_macs
from nas.core.network import BlockSpec, NetworkSpec
from nas.network import Network, recalibrate
from nas.supernet import Supernet
from nas.training import Schedule, accuracy, make_optimizer, train_supernet
from search_spaces import blocks
from tests.tiny import CLASSES, SPACE, images

DATA = images()


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    made, schedule = Supernet(SPACE, 1, CLASSES), Schedule(8, 32, 0.2, 1e-4)
    for _ in train_supernet(made, make_optimizer(made, schedule), DATA, schedule, 1, seed=0, start=0):
        pass
    return made


@pytest.fixture
def evaluate(supernet, monkeypatch):
    monkeypatch.setattr(search_spaces, "load", {"tiny": SPACE}.__getitem__)
    return SupernetAccuracy.of(supernet, DATA, calibration_images=64, validation_images=45)


def test_an_evaluation_is_that_of_the_recalibrated_network_on_validation_images(evaluate, supernet):
    architecture = SPACE.architecture([0, 1, 1, 2, 0, 1, 1, 1, 1])
    found = evaluate(architecture)
    spec = SPACE.network(architecture, 1, CLASSES)
    network = supernet.extract(spec)
    recalibrate(network, calibration_batch(calibration_data(DATA, 64), 8))
    assert found.accuracy == accuracy(network, DATA, evaluate.data.validation)
    assert found.accuracy > 0.5 and (45 * found.accuracy) % 1 == pytest.approx(0, abs=1e-4)
    assert found.macs == blocks.macs(spec)
    assert found.params == sum(parameter.numel() for parameter in network.parameters())
    assert found.seconds > 0


def test_the_larger_network_counts_more(evaluate):
    small, large = evaluate(SPACE.smallest()), evaluate(SPACE.largest())
    assert small.macs < large.macs and small.params < large.params


def test_the_same_architecture_has_the_same_accuracy_in_any_process(evaluate):
    first, again = evaluate(SPACE.largest()), pickle.loads(pickle.dumps(evaluate))(SPACE.largest())
    assert (first.accuracy, first.macs, first.uncounted) == (again.accuracy, again.macs, again.uncounted)


def test_it_holds_some_images_of_train_and_validation_and_none_of_test(evaluate):
    held = evaluate.data
    assert (len(held.train), len(held.validation), len(held.test)) == (64, 45, 0)
    for some, part in ((held.train, DATA.train), (held.validation, DATA.validation)):
        places = [(part.images == image).flatten(1).all(dim=1).nonzero().item() for image in some.images]
        assert len(set(places)) == len(some) and torch.equal(some.labels, part.labels[places])
    assert held.validation.images.untyped_storage().nbytes() == 45 * 12 * 12  # not the rest behind a view


def test_it_does_not_follow_later_training(evaluate, supernet):
    before = evaluate(SPACE.smallest()).accuracy
    with torch.no_grad():
        weight = supernet.get_parameter("stem.conv.conv.weight")
        kept = weight.clone()
        weight.zero_()
        assert evaluate(SPACE.smallest()).accuracy == before
        weight.copy_(kept)


def test_counting_is_silent_and_names_what_it_cannot_count():
    """With squeeze-and-excitation and hard swish: operators that fvcore has no count for."""
    network = Network(SPACE.network(SPACE.largest(), 1, CLASSES)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        macs, uncounted = count_macs(network)
    assert macs == blocks.macs(network.spec)
    assert {"hardswish_", "hardsigmoid"} <= set(uncounted)
    assert list(uncounted) == sorted(uncounted) and not any(name.startswith("aten::") for name in uncounted)


def test_an_operator_is_named_only_where_it_is_used():
    stem, head = BlockSpec("conv", 1, 8, 8, 3, 1, False, "relu", 8, 8), BlockSpec("head", 8, 16, 3, 1, 1, False, "relu", 8, 8)
    network = Network(NetworkSpec(8, 1, 3, ("stem", "head"), (stem, head))).eval()
    macs, uncounted = count_macs(network)
    assert macs == 9 * 8 * 64 + 8 * 16 * 64 + 16 * 3
    assert "hardswish_" not in uncounted
    network.head.features.act = nn.Softplus()
    assert "softplus" in count_macs(network)[1]


def test_counting_changes_no_statistics():
    network = Network(SPACE.network(SPACE.smallest(), 1, CLASSES)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count_macs(network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items()) and not network.training
