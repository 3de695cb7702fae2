"""What all blocks share: their names, sums over a network, and the refusals."""

import pytest
import torch

import search_spaces
from nas.core.errors import SpaceError, UnknownNameError
from nas.network import Network
from search_spaces import blocks
from search_spaces.blocks.layers import activation, channel_shuffle
from tests.tiny import SPACE


def test_helpers_are_no_blocks():
    assert {"conv", "head", "mbconv", "shuffle_unit"} <= set(blocks.names())
    assert "layers" not in blocks.names()


def test_an_unknown_space_or_block_names_the_nearest():
    with pytest.raises(UnknownNameError, match="no search space is named 'mobile_shufle_32'; did you mean 'mobile_shuffle_32'"):
        search_spaces.load("mobile_shufle_32")
    with pytest.raises(UnknownNameError, match="no block is named 'mbcnov'; did you mean 'mbconv'"):
        blocks.load("mbcnov")


def test_an_unknown_activation_is_refused():
    with pytest.raises(SpaceError, match=r"no activation is named 'mish' \(there is: relu, relu6, hard_swish, swish\)"):
        activation("mish")


def test_a_networks_weights_are_its_parameters_after_folding():
    spec = SPACE.network(SPACE.largest(), 1, 10)
    layers = [layer for layer in Network(spec).modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
    assert blocks.weights(spec) == sum(layer.weight.numel() + layer.weight.shape[0] for layer in layers)


def test_macs_of_a_network_are_the_sum_over_its_blocks():
    spec = SPACE.network(SPACE.largest(), 1, 10)
    assert blocks.macs(spec) == sum(operator.macs for block in spec.blocks for operator in blocks.operators(block)) > 0


def test_channel_shuffle_interleaves_the_halves():
    channels = torch.arange(6.0).view(1, 6, 1, 1)
    assert channel_shuffle(channels).flatten().tolist() == [0, 3, 1, 4, 2, 5]
