"""Every file in `search_spaces/`: the laws that supernets, tables and searches rest on."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

import search_spaces
from nas.accuracy.supernet import count_macs
from nas.core.space import SearchSpace
from nas.network import Network, recalibrate
from nas.supernet import Supernet
from search_spaces import blocks

NAMES = search_spaces.names()
CHANNELS, CLASSES = 3, 7
every_space = pytest.mark.parametrize("name", NAMES)


@cache
def supernet(name: str) -> Supernet:
    torch.manual_seed(0)
    made = Supernet(search_spaces.load(name), CHANNELS, CLASSES)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:  # norms and biases that do something
                parameter.add_(0.3 * torch.randn(parameter.shape))
    return made


def drawn(data: st.DataObject, space: SearchSpace, resolutions: int = 99):
    """One architecture, of the first `resolutions` sizes; the smallest where hypothesis has shrunk it all the way."""
    options = [min(resolutions, space.genes[0].options), *(gene.options for gene in space.genes[1:])]
    return space.architecture([data.draw(st.integers(0, n - 1), gene.name) for n, gene in zip(options, space.genes, strict=True)])


def batch(resolution: int, count: int = 2) -> torch.Tensor:
    images = torch.randn(count, CHANNELS, resolution, resolution, generator=torch.Generator().manual_seed(resolution))
    return images.contiguous(memory_format=torch.channels_last)


def middle(full: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """What a crop should be, written once more: the first channels, the middle of the kernel."""
    channels = tuple(slice(0, size) for size in shape[:2])
    kernel = tuple(slice((size - wanted) // 2, (size + wanted) // 2) for size, wanted in zip(full.shape[2:], shape[2:], strict=True))
    return full[channels + kernel]


def run_crops(shared: Supernet, network: Network, images: torch.Tensor) -> torch.Tensor:
    """`network`'s blocks in evaluation mode, with crops of the shared weights in place of its own."""
    state = dict(shared.named_parameters())
    for slot, spec in zip(network.spec.slots, network.spec.blocks, strict=True):
        own = network.get_submodule(slot)
        crops = {name: middle(state[f"{slot}.{spec.kind}.{name}"], weight.shape) for name, weight in own.named_parameters()}
        block = blocks.load(spec.kind).build(spec).eval()
        images = functional_call(block, {**crops, **dict(own.named_buffers())}, (images,))
    return images


@every_space
def test_the_file_name_is_the_name_of_the_space(name):
    assert search_spaces.load(name).name == name


@every_space
@settings(max_examples=3)
@given(data=st.data())
@torch.no_grad()
def test_a_network_inside_the_supernet_equals_the_one_cut_out_of_it(name, data):
    shared = supernet(name)
    spec = shared.space.network(drawn(data, shared.space, resolutions=2), CHANNELS, CLASSES)  # the largest is run below
    images = batch(spec.resolution)
    cut_out = shared.extract(spec)
    assert not cut_out.training
    assert torch.equal(shared(images, spec), cut_out.train()(images))
    recalibrate(cut_out, batch(spec.resolution, 4))
    assert torch.equal(run_crops(shared, cut_out, images), cut_out(images))


@every_space
@torch.no_grad()
def test_smallest_and_largest_are_cut_out_exactly(name):
    shared = supernet(name)
    for architecture in (shared.space.smallest(), shared.space.largest()):
        spec = shared.space.network(architecture, CHANNELS, CLASSES)
        assert torch.equal(shared(batch(spec.resolution), spec), shared.extract(spec).train()(batch(spec.resolution)))


@every_space
@settings(max_examples=2)
@given(data=st.data())
def test_fvcore_counts_the_macs_of_the_operators(name, data):
    space = search_spaces.load(name)
    spec = space.network(drawn(data, space, resolutions=2), CHANNELS, CLASSES)
    assert count_macs(supernet(name).extract(spec))[0] == blocks.macs(spec)


@every_space
@given(data=st.data())
def test_all_networks_lie_between_the_smallest_and_the_largest(name, data):
    """In parameters; in multiply-accumulates too, unless a block that has more of the ones has fewer of the others."""
    space = search_spaces.load(name)
    small, some, large = (space.network(one, CHANNELS, CLASSES) for one in (space.smallest(), drawn(data, space), space.largest()))
    assert blocks.weights(small) <= blocks.weights(some) <= blocks.weights(large)
    if not any(choice.kind == "shuffle_xception" for stage in space.stages for choice in stage.choices):  # halves the picture first
        assert blocks.macs(small) <= blocks.macs(some) <= blocks.macs(large)


@every_space
@given(data=st.data())
def test_equal_networks_are_equal_architectures(name, data):
    """One gene changed: another architecture if and only if another network."""
    space = search_spaces.load(name)
    one = drawn(data, space)
    genes, at = list(one.genes), data.draw(st.integers(0, len(one.genes) - 1))
    genes[at] = data.draw(st.integers(0, space.genes[at].options - 1))
    other = space.architecture(genes)
    same = space.network(one, CHANNELS, CLASSES) == space.network(other, CHANNELS, CLASSES)
    assert (one == other) == same == (one.id == other.id)
    assert space.architecture(one.genes) == one


@every_space
@given(data=st.data())
def test_tables_and_weights_cover_every_block(name, data):
    space = search_spaces.load(name)
    network = space.network(drawn(data, space), CHANNELS, CLASSES)
    assert set(network.blocks) <= set(space.unique_blocks(CHANNELS, CLASSES))
    shared = space.shared_blocks(CHANNELS, CLASSES)
    for slot, block in zip(network.slots, network.blocks, strict=True):
        full = shared[slot, block.kind]
        assert all(getattr(block, size) <= getattr(full, size) for size in ("in_channels", "hidden_channels", "out_channels", "kernel"))
        assert (block.stride, block.se, block.activation) == (full.stride, full.se, full.activation)


def test_the_space_for_small_images_is_as_large_as_promised():
    space = search_spaces.load("mobile_shuffle_32")
    smallest, largest = (blocks.macs(space.network(one, 1, 10)) for one in (space.smallest(), space.largest()))
    assert space.size >= 10**9
    assert largest >= 10 * smallest
    assert {block.kind for block in space.unique_blocks(1, 10)} == {"conv", "mbconv", "shuffle_unit", "head"}
    for number in range(1, len(space.stages) + 1):
        options = {gene.name: gene.options for gene in space.genes}
        assert options[f"stage{number}_depth"] > 1 and options[f"stage{number}_width"] > 1 and options[f"stage{number}_layer0"] == 9
    assert len(space.resolutions) > 1
