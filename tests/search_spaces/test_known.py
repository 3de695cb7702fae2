"""Published networks: as large as published, equal to another implementation's, and points of the spaces that they name."""

import importlib
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import search_spaces
from latency_models.importers import public_networks
from nas.accuracy.supernet import count_macs
from nas.core.errors import SpaceError, UnknownNameError
from nas.network import Network
from search_spaces import blocks, known
from search_spaces.blocks import shuffle_unit

every_network = pytest.mark.parametrize("name", known.names())
PEERS = {
    "mobilenet_v2": ("mobilenetv2", "mobilenetv2b_w1"),
    "mobilenet_v3_large": ("mobilenetv3", "mobilenetv3_large_w1"),
    "mobilenet_v3_small_preprint": ("mobilenetv3", "mobilenetv3_small_w1"),
    "shufflenet_v2": ("shufflenetv2b", "shufflenetv2b_w1"),
}
"""Modules and functions of pytorchcv, another implementation of the same papers."""


def millions(published: str) -> float:
    number, unit = published.split()
    assert unit == "M"
    return float(number)


def test_each_is_as_large_as_published():
    """To the last digit that was published, rounded or cut; the preprint's table does not add up to its own figure."""
    for name in known.names():
        found, spec = known.find(name), known.load(name)
        assert 0 <= abs(blocks.weights(spec) / 1e6 - millions(found.params)) < 0.1, name
        if name != "mobilenet_v3_small_preprint":
            assert abs(blocks.macs(spec) / 1e6 - millions(found.macs)) < 1, name
    assert blocks.macs(known.load("mobilenet_v3_small_preprint")) == 56_913_856 and "57 M" in known.find("mobilenet_v3_small_preprint").note


@pytest.mark.parametrize("name", sorted(set(known.names()) - set(PEERS)))
def test_fvcore_and_torch_count_the_same(name):
    spec = known.load(name)
    network = Network(spec).eval()
    assert count_macs(network)[0] == blocks.macs(spec)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert blocks.weights(spec) == sum(layer.weight.numel() + layer.weight.shape[0] for layer in layers)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"])
def test_the_operators_are_those_that_published_latencies_are_fitted_to(name):
    """Written twice from the same papers: here as blocks, there as operators. The pooled layers there count as pointwise too."""
    here = Counter(operator for block in known.load(name).blocks for operator in blocks.operators(block))
    assert here == Counter(public_networks.operators(name))


def test_shufflenet_has_the_operators_of_its_figure_with_even_branches():
    spec = known.load("shufflenet_v2")
    paper = shuffle_unit.PLUGIN
    even = Counter(
        operator
        for block in spec.blocks
        for operator in (paper.operators(block) if block.kind == "shuffle_uneven" else blocks.operators(block))
    )
    assert even == Counter(public_networks.operators("shufflenet_v2"))
    assert sum(operator.macs * count for operator, count in even.items()) == pytest.approx(144.9e6, abs=0.05e6)


@every_network
def test_a_point_of_a_space_is_the_same_network_and_the_others_say_why_they_are_none(name):
    found = known.find(name)
    if found.space:
        space = search_spaces.load(found.space)
        assert space.network(known.architecture(name), 3, 1000) == known.load(name)
    else:
        with pytest.raises(SpaceError, match=r"is a network of no space here: \w"):
            known.architecture(name)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="no known network is named 'mobilenet_v4'; did you mean 'mobilenet_v"):
        known.load("mobilenet_v4")


@every_network
@pytest.mark.parametrize("resolution", [224, 65, 64, 28])
def test_small_pictures_are_halved_two_times_less(name, resolution):
    spec = known.load(name, 10, resolution, 1)
    assert spec.blocks[-1].in_height == -(-resolution // (32 if resolution > known.SMALL_IMAGES else 8))
    assert spec.in_channels == 1 and spec.classes == 10


@every_network
@settings(max_examples=5)
@given(macs=st.integers(3, 60), resolution=st.sampled_from((28, 32)))
def test_a_scaled_network_has_about_the_macs_that_were_asked_for(name, macs, resolution):
    spec = known.scaled(name, macs * 1e6, resolution, 1, 10)
    assert abs(blocks.macs(spec) / 1e6 - macs) <= known.ALLOWED * macs
    assert (spec.resolution, spec.in_channels, spec.classes) == (resolution, 1, 10)
    assert [block.kind for block in spec.blocks] == [block.kind for block in known.load(name, 10, resolution, 1).blocks]


@every_network
@given(step=st.sampled_from(known.STEPS), narrow=st.sampled_from(known.WIDTHS), wide=st.sampled_from(known.WIDTHS))
@settings(max_examples=10)
def test_a_wider_network_never_has_fewer_macs(name, step, narrow, wide):
    """What the search for a width rests on."""
    less, more = (blocks.macs(known.find(name).build(width, step, 28, 1, 10)) for width in sorted((narrow, wide)))
    assert less <= more


def test_scaling_to_its_own_size_gives_the_network_itself_and_the_impossible_is_refused():
    whole = known.load("mobilenet_v2")
    assert known.scaled("mobilenet_v2", blocks.macs(whole), 224, 3, 1000) == whole
    with pytest.raises(SpaceError, match=r"no width of mobilenet_v2 at 28 px has about 0.5 M MACs: they go from 1.\d* to \d+ M"):
        known.scaled("mobilenet_v2", 0.5e6, 28, 1, 10)


def in_order(network, images):
    """Layers with weights, as they run."""
    found = []
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    hooks = [layer.register_forward_hook(lambda layer, *_: found.append(layer)) for layer in network.modules() if isinstance(layer, kinds)]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", [name if "v3" not in name else pytest.param(name, marks=pytest.mark.slow) for name in PEERS])
@torch.no_grad()
def test_equals_another_implementation_with_the_same_weights(name):
    """Parameters, multiply-accumulates, and the output of random weights and statistics, copied layer by layer as they run."""
    pytest.importorskip("pytorchcv", reason="pytorchcv, which has networks to compare with, is not installed")
    module, function = PEERS[name]
    torch.manual_seed(0)
    theirs = getattr(importlib.import_module(f"pytorchcv.models.{module}"), function)().eval()
    ours = Network(known.load(name)).eval()
    images = torch.randn(2, 3, 224, 224)
    for norm in (layer for layer in theirs.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.weight.uniform_(0.8, 1.2)
        norm.bias.normal_(0, 0.2)
        norm.running_mean.normal_(0, 0.2)
        norm.running_var.uniform_(0.8, 1.2)
    copied = 0
    pairs = zip(in_order(theirs, images), in_order(ours, images), strict=True)
    for their, our in pairs:
        their_state, our_state = their.state_dict(), our.state_dict()
        for key, tensor in our_state.items():
            if key in their_state:
                tensor.copy_(their_state[key].reshape(tensor.shape))
            else:
                assert isinstance(our, nn.Linear) and key == "bias"  # pytorchcv classifies without one
                tensor.zero_()
                copied += tensor.numel()
    wanted = theirs(images).flatten(1)
    assert wanted.std() > 0
    torch.testing.assert_close(ours(images), wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
    assert sum(p.numel() for p in ours.parameters()) - copied == sum(p.numel() for p in theirs.parameters())
    assert count_macs(ours)[0] == blocks.macs(ours.spec)
