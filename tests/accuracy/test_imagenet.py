"""Predicted ImageNet top-1: of measured sub-networks, and of nothing else."""

from dataclasses import replace

import numpy as np
import pytest

import search_spaces
from nas.accuracy import Scoring, load
from nas.accuracy.imagenet import features, predict
from nas.core.errors import SpaceError
from search_spaces import blocks
from tests import shared_data

SPACE = search_spaces.load("mobilenet_v3")
AT_224 = replace(SPACE, name="at_224", resolutions=(224,))


def architecture(depths, kernels, expands, space=SPACE):
    """From five depths and, for four layers of each stage, kernels and expansions."""
    known = [(choice.kernel, choice.expand) for choice in SPACE.stages[1].choices]
    genes = [space.resolutions.index(224), 0, 0, 0]
    for stage in range(5):
        layers = [known.index((kernels[4 * stage + i], expands[4 * stage + i])) for i in range(4)]
        genes += [depths[stage] - 2, 0, *layers]
    return space.architecture(genes)


def network(depths, kernels, expands):
    return SPACE.network(architecture(depths, kernels, expands), 3, 1000)


SMALLEST = network([2] * 5, [3] * 20, [3] * 20)
LARGEST = network([4] * 5, [7] * 20, [6] * 20)


def test_it_lies_within_its_bounds_and_larger_networks_are_better():
    small, large = predict(SMALLEST), predict(LARGEST)
    assert 0.69 < small.low < small.top1 < small.high < 0.73
    assert 0.765 < large.low < large.top1 < large.high < 0.78
    assert large.high - large.low < 0.006


def test_layers_beyond_the_depth_do_not_matter():
    one = features([[2, 3, 4, 2, 2]], [[3] * 20], [[4] * 20])
    kernels, expands = np.full((1, 20), 3), np.full((1, 20), 4)
    kernels[0, [2, 3, 7, 14, 15]], expands[0, [2, 3, 7, 18, 19]] = 7, 6
    assert np.array_equal(one, features([[2, 3, 4, 2, 2]], kernels, expands)) and one.shape == (1, 250)


def test_measured_networks_are_predicted_to_a_tenth_of_a_point():
    """They were fitted to, so this is about reading networks; experiments/results/imagenet_accuracy.json has held-out figures."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(shared_data.path("accuracy/ofa_mbv3_imagenet_top1.csv")).iloc[::29]
    split = [[[int(one) for one in row.split("-")] for row in table[name]] for name in ("d", "ks", "e")]
    networks = [network(*one) for one in zip(*split, strict=True)]
    found = [predict(one) for one in networks]
    top1, measured = 100 * np.array([one.top1 for one in found]), table["top1_mean"].to_numpy()
    assert np.abs(top1 - measured).mean() < 0.08
    held = [one.low <= value / 100 <= one.high for one, value in zip(found, measured, strict=True)]
    assert np.mean(held) > 0.8
    assert [blocks.macs(one) for one in networks] == pytest.approx(table["macs"].to_list(), rel=0.01)


def test_it_evaluates_architectures_of_the_space_at_224_px_alone():
    evaluate = Scoring("imagenet", AT_224, 3, 1000, 0)
    chosen = architecture([2] * 5, [3] * 20, [3] * 20, AT_224)
    found = evaluate(chosen)
    assert (found.accuracy, found.macs) == (predict(SMALLEST).top1, blocks.macs(SMALLEST))
    assert load("imagenet").is_accuracy and "predicted" in load("imagenet").quantity


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (SPACE.network(SPACE.smallest(), 3, 1000), "for 224 px, where it was measured, not for 128 px: search a space that has 224 px"),
        (SPACE.network(architecture([2] * 5, [3] * 20, [3] * 20), 3, 10), r"ImageNet \(3 channels, 1000 classes\), not 3 and 10"),
        (search_spaces.load("mobile_shuffle").network(search_spaces.load("mobile_shuffle").largest(), 3, 1000), "mobilenet_v3"),
        (search_spaces.load("mobilenet_v3_w12").network(search_spaces.load("mobilenet_v3_w12").largest(), 3, 1000), "mobilenet_v3"),
        (replace(SMALLEST, blocks=(replace(SMALLEST.blocks[0], activation="relu"), *SMALLEST.blocks[1:])), "widths or other layers"),
    ],
)
def test_any_other_network_is_refused(other, message):
    with pytest.raises(SpaceError, match=message):
        predict(other)
