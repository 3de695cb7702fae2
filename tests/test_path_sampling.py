"""Networks sampled for training spread evenly over MACs, and are decided by seed and step."""

import numpy as np

import search_spaces
from nas.path_sampling import MacsSampler
from nas.training import sample
from search_spaces import blocks
from tests.tiny import CLASSES, SPACE

REAL = search_spaces.load("mobile_shuffle_32")


def shares(macs, low, high):
    """Share of networks in each quarter of the range of MACs."""
    return np.histogram(macs, bins=4, range=(low, high))[0] / len(macs)


def test_every_quarter_of_the_range_of_macs_gets_a_quarter_of_the_networks():
    drawn = MacsSampler.of(REAL, 1, 10)
    macs = [blocks.macs(REAL.network(one, 1, 10)) for step in range(400) for one in drawn(2, 0, step)]
    uniform = [blocks.macs(REAL.network(one, 1, 10)) for one in sample(REAL, 800, "0")]
    low, high = min(macs), max(macs)
    assert np.all(np.abs(shares(macs, low, high) - 0.25) < 0.08)
    assert shares(uniform, low, high).max() > 0.45  # what uniform genes do


def test_seed_and_step_alone_decide():
    one, other = MacsSampler.of(SPACE, 1, CLASSES), MacsSampler.of(SPACE, 1, CLASSES)
    assert one(5, 3, 7) == other(5, 3, 7)
    assert one(5, 3, 7) != one(5, 3, 8) and one(5, 3, 7) != one(5, 4, 7)
    assert all(SPACE.architecture(found.genes) == found for found in one(50, 0, 0))


def test_a_space_of_one_network_gives_that_network():
    from dataclasses import replace

    stage = replace(SPACE.stages[1], widths=(16,), depths=(1,), choices=SPACE.stages[1].choices[:1])
    single = replace(SPACE, resolutions=(8,), stages=(stage,))
    assert MacsSampler.of(single, 1, CLASSES)(3, 0, 0) == [single.largest()] * 3
