"""What a candidate is worth with the supernet's weights."""

import pickle
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import search_spaces
from nas.accuracy import supernet as module
from nas.accuracy.supernet import SupernetAccuracy, calibration_batch, calibration_data, count_macs, uncounted, upper_bound
from nas.core.network import BlockSpec, NetworkSpec
from nas.network import Network, recalibrate
from nas.supernet import Supernet
from nas.training import Schedule, accuracy, make_optimizer, sample, train_supernet
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


def test_what_evaluations_share_does_not_change_them(evaluate, supernet):
    """One evaluator for many architectures of both resolutions gives each what a fresh one gives it, and what plain code does."""
    for architecture in [*sample(SPACE, 8, "some"), SPACE.smallest(), SPACE.largest()]:
        spec = SPACE.network(architecture, 1, CLASSES)
        network = supernet.extract(spec)
        recalibrate(network, calibration_batch(evaluate.data, spec.resolution))
        fresh = SupernetAccuracy(evaluate.space, evaluate.weights, evaluate.data)
        assert evaluate(architecture).accuracy == fresh(architecture).accuracy == accuracy(network, evaluate.data, evaluate.data.validation)


@pytest.mark.parametrize("kept_mb", [0.0, 0.9, 1000.0])
def test_what_first_blocks_gave_is_kept_as_far_as_there_is_room_and_changes_nothing(evaluate, supernet, monkeypatch, kept_mb):
    monkeypatch.setattr(module, "KEPT_MB", kept_mb)
    architectures = sample(SPACE, 12, "beginnings")
    found = [evaluate(architecture).accuracy for architecture in [*architectures, *architectures]]
    for architecture, accuracies in zip(architectures, zip(found[:12], found[12:], strict=True), strict=True):
        spec = SPACE.network(architecture, 1, CLASSES)
        network = supernet.extract(spec)
        recalibrate(network, calibration_batch(evaluate.data, spec.resolution))
        assert set(accuracies) == {accuracy(network, evaluate.data, evaluate.data.validation)}
    beginnings = {(spec.resolution, spec.blocks[:2]) for spec in (SPACE.network(a, 1, CLASSES) for a in architectures)}
    kept = evaluate._beginnings
    assert set(kept) <= beginnings
    assert len(kept) == {0.0: 0, 1000.0: len(beginnings)}.get(kept_mb, len(kept)) and (kept_mb != 0.9 or 4 <= len(kept) < len(beginnings))


@pytest.fixture
def by_tens(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 10)


def test_what_is_clearly_beaten_is_not_scored_to_the_end(evaluate, by_tens):
    nothing = {name: torch.zeros_like(tensor) for name, tensor in evaluate.weights.items()}
    good, broken = SPACE.largest(), SupernetAccuracy(evaluate.space, nothing, evaluate.data)
    found = evaluate(good)
    assert found.accuracy > 0.8 and found.rejected_after == 0
    stopped, whole = broken(good, found.accuracy), broken(good)
    assert stopped.rejected_after == 10 and whole.rejected_after == 0
    assert (10 * stopped.accuracy) % 1 == pytest.approx(0, abs=1e-5)
    assert stopped.accuracy < found.accuracy and (stopped.macs, stopped.params) == (whole.macs, whole.params)


def test_what_may_still_win_is_scored_to_the_end_and_changes_nothing(evaluate, by_tens):
    for architecture in sample(SPACE, 5, "tied"):
        found = evaluate(architecture)
        again = evaluate(architecture, found.accuracy)
        assert (again.accuracy, again.rejected_after) == (found.accuracy, 0)


def test_who_is_rejected_does_not_depend_on_the_worker(evaluate, by_tens):
    architectures = sample(SPACE, 6, "any")
    beat = 0.9
    first = [evaluate(architecture, beat) for architecture in architectures]
    other = pickle.loads(pickle.dumps(evaluate))
    again = [other(architecture, beat) for architecture in reversed(architectures)][::-1]
    assert [(e.accuracy, e.rejected_after) for e in first] == [(e.accuracy, e.rejected_after) for e in again]


def test_an_evaluator_that_has_worked_travels_as_light_as_a_new_one(evaluate):
    before = len(pickle.dumps(evaluate))
    evaluate(SPACE.largest())
    assert len(pickle.dumps(evaluate)) == before


@given(st.integers(2, 400), st.data())
def test_the_bound_lies_above_what_was_seen_and_closes_in(images, data):
    scored = data.draw(st.integers(1, images - 1))
    right = data.draw(st.integers(0, scored))
    bound = upper_bound(right, scored, images)
    assert right / scored < bound
    assert upper_bound(right, scored, images + 1) > bound - 1e-9


def test_the_bound_holds_nearly_always():
    """Of many orders of 1,000 images, 85 % of them right, hardly any is rejected against what the whole set reaches."""
    flags = torch.arange(1000) < 850
    wrong = 0
    for seed in range(400):
        order = flags[torch.randperm(1000, generator=torch.Generator().manual_seed(seed))]
        wrong += any(upper_bound(int(order[:scored].sum()), scored, 1000) < 0.85 for scored in (250, 500, 750))
    assert wrong / 400 < 0.04


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


@pytest.mark.parametrize("architecture", [SPACE.smallest(), SPACE.largest(), *sample(SPACE, 4, "counted")])
def test_operators_without_a_count_are_those_of_the_blocks(architecture):
    spec = SPACE.network(architecture, 1, CLASSES)
    assert uncounted(spec) == count_macs(Network(spec).eval())[1]


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
