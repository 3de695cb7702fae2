"""Scores that need no training: the same everywhere, finite, higher for what can do more, and never taken for accuracies."""

import math
import pickle

import pytest
import torch

from nas import accuracy
from nas.core.errors import UnknownNameError
from nas.core.network import BlockSpec, NetworkSpec
from nas.training import sample
from search_spaces import blocks
from tests.tiny import CLASSES, SPACE

UNTRAINED = [name for name in accuracy.names() if not accuracy.load(name).is_accuracy]
every_score = pytest.mark.parametrize("name", UNTRAINED)


def chain(width, layers):
    """A plain network of `layers` convolutions of `width` channels on 8 px."""
    first = BlockSpec("conv", 1, width, width, 3, 1, False, "relu", 8, 8)
    more = [BlockSpec("conv", width, width, width, 3, 1, False, "relu", 8, 8)] * (layers - 1)
    head = BlockSpec("head", width, 16, 3, 1, 1, False, "relu", 8, 8)
    return NetworkSpec(8, 1, 3, (*(f"layer{i}" for i in range(layers)), "head"), (first, *more, head))


def test_they_are_files_and_say_what_they_are():
    assert {"imagenet", "naswot", "synflow", "zen"} == set(accuracy.names())
    with pytest.raises(UnknownNameError, match="no score is named 'naswott'; did you mean 'naswot'"):
        accuracy.load("naswott")
    for name in UNTRAINED:
        score = accuracy.load(name)
        assert "score" in score.quantity and score.bounds is None and "%" not in score.text(0.93)
    assert accuracy.load("imagenet").text(0.7612) == "76.12%"


@every_score
def test_a_score_is_finite_and_the_same_in_any_process_and_state(name):
    evaluate = accuracy.Scoring(name, SPACE, 1, CLASSES, seed=3)
    for architecture in [SPACE.smallest(), SPACE.largest(), *sample(SPACE, 3, "scored")]:
        torch.manual_seed(0)
        found = evaluate(architecture)
        torch.manual_seed(99)
        again = pickle.loads(pickle.dumps(evaluate))(architecture, 0.9)
        assert math.isfinite(found.accuracy) and found.rejected_after == 0
        assert (found.accuracy, found.macs, found.params) == (again.accuracy, again.macs, again.params)
        assert found.macs == blocks.macs(SPACE.network(architecture, 1, CLASSES))


@every_score
def test_scoring_leaves_torchs_own_random_numbers_alone(name):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    accuracy.load(name).of(SPACE.network(SPACE.smallest(), 1, CLASSES), 0)
    assert torch.equal(torch.get_rng_state(), before)


@every_score
def test_the_largest_network_scores_above_the_smallest(name):
    small, large = (accuracy.load(name).of(SPACE.network(one, 1, CLASSES), 0) for one in (SPACE.smallest(), SPACE.largest()))
    assert large > small


@every_score
def test_seeds_differ_less_than_networks(name):
    of = accuracy.load(name).of
    ends = [[of(SPACE.network(one, 1, CLASSES), seed) for seed in range(4)] for one in (SPACE.smallest(), SPACE.largest())]
    assert min(ends[1]) > max(ends[0])


def test_synflow_of_a_chain_is_layers_times_what_passes():
    """Each layer's weights times gradients sum up to the output itself, so the score is log(layers × output)."""
    network = chain(4, 3)
    from nas.accuracy.untrained import untrained

    model = untrained(network, 0)
    flow = torch.ones(1, 1, 8, 8)
    for slot in network.slots[:-1]:
        flow = torch.nn.functional.conv2d(flow, model.get_submodule(slot).conv.weight.abs(), padding=1)
    flow = torch.nn.functional.conv2d(flow, model.head.features.conv.weight.abs()).mean(dim=(2, 3))
    output = float((flow @ model.head.classifier.weight.abs().T).sum().detach())
    assert accuracy.load("synflow").of(network, 0) == pytest.approx(math.log(5 * output), rel=1e-5)


def test_naswot_counts_agreements_of_rectifiers():
    """A network whose rectifiers all images pass alike cannot tell them apart: the lowest score of all."""
    of = accuracy.load("naswot").of
    assert of(chain(8, 2), 0) > of(chain(2, 2), 0)
    linear = [BlockSpec("conv", 1, 4, 4, 3, 1, False, "", 8, 8), BlockSpec("head", 4, 16, 3, 1, 1, False, "", 8, 8)]
    assert of(NetworkSpec(8, 1, 3, ("stem", "head"), tuple(linear)), 0) == pytest.approx(32 * math.log(1e-3))


def test_zen_rises_with_depth_and_width():
    of = accuracy.load("zen").of
    assert of(chain(8, 4), 0) > of(chain(8, 2), 0)
    assert of(chain(16, 3), 0) > of(chain(4, 3), 0)
