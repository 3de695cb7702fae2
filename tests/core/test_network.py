"""What a block and a network may be."""

from dataclasses import replace

import pytest

from nas.core.errors import SpaceError
from nas.core.network import BlockSpec, NetworkSpec

STEM = BlockSpec("conv", 3, 8, 8, 3, 2, False, "relu", 9, 9)
HEAD = BlockSpec("head", 8, 16, 10, 1, 1, False, "relu", 5, 5)


@pytest.mark.parametrize(
    "change",
    [{"in_channels": 0}, {"hidden_channels": 0}, {"out_channels": -1}, {"in_height": 0}, {"kernel": 4}, {"stride": 3}, {"stride": 0}],
)
def test_what_is_no_block_is_refused(change):
    with pytest.raises(SpaceError, match="not a block"):
        replace(STEM, **change)


def test_the_output_is_rounded_up():
    assert (STEM.out_height, STEM.out_width) == (5, 5)
    assert replace(STEM, in_height=8, in_width=7).out_height == 4
    assert replace(STEM, stride=1).out_height == 9


def test_blocks_that_fit_are_a_network():
    assert NetworkSpec(9, 3, 10, ("stem", "head"), (STEM, HEAD)).blocks == (STEM, HEAD)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ((9, 3, 10, ("stem",), (STEM, HEAD)), "one distinct slot name for each of its blocks"),
        ((9, 3, 10, ("stem", "stem"), (STEM, HEAD)), "one distinct slot name"),
        ((9, 3, 10, (), ()), "one distinct slot name"),
        ((8, 3, 10, ("stem", "head"), (STEM, HEAD)), "stem expects 3 channels of 9 px, gets 3 of 8"),
        ((9, 1, 10, ("stem", "head"), (STEM, HEAD)), "stem expects 3 channels of 9 px, gets 1 of 9"),
        ((9, 3, 10, ("stem", "head"), (STEM, replace(HEAD, in_height=4))), "head expects 8 channels of 4 px, gets 8 of 5"),
        ((9, 3, 7, ("stem", "head"), (STEM, HEAD)), "the last block gives 10 values for 7 classes"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(network, message):
    with pytest.raises(SpaceError, match=message):
        NetworkSpec(*network)
