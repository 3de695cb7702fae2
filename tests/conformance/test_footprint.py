"""What a spec is said to need is what its exported file needs: every block kind, and random networks of every space."""

import itertools
import random

import pytest
import torch

import search_spaces
from nas import footprint, lifetimes, runtimes
from nas.core.network import BlockSpec, NetworkSpec
from nas.network import Network
from search_spaces import blocks

SHAPES = [
    # in, hidden, out
    (16, 48, 16),
    (16, 8, 16),
    (16, 40, 24),
    (8, 12, 64),
]
CASES = [
    pytest.param(BlockSpec(kind, *shape, 3, stride, se, activation, 9, 9), id=f"{kind}-{shape}-s{stride}-{'se-' * se}{activation}")
    for kind in blocks.names()
    for shape, stride, (se, activation) in itertools.product(SHAPES, (1, 2), ((False, "relu"), (True, "hard_swish")))
    if kind != "max_pool" or shape[0] == shape[2]  # pooling keeps its channels
]
OPSETS = (11, 13, 17)


def exported(spec, path, opset=17):
    """The file of a network of that spec whose biases differ: the exporter stores equal ones once."""
    torch.manual_seed(0)
    network = Network(spec).eval()
    for name, parameter in network.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter)
    runtimes.load("onnxruntime").export(network, path, opset)
    return path


@pytest.mark.parametrize(("block", "opset"), [pytest.param(*one.values, OPSETS[i % 3], id=one.id) for i, one in enumerate(CASES)])
def test_the_peak_of_a_block_is_that_of_its_graph(block, opset, tmp_path):
    if blocks.operators(block)[-1].kind == "linear":
        spec = NetworkSpec(9, block.in_channels, block.out_channels, ("block",), (block,))
    else:
        head = BlockSpec("head", block.out_channels, 8, 4, 1, 1, False, "relu", block.out_height, block.out_width)
        spec = NetworkSpec(9, block.in_channels, 4, ("block", "head"), (block, head))
    path = exported(spec, tmp_path / "block.onnx", opset)
    assert lifetimes.peak_memory_mb(path) == pytest.approx(footprint.memory_mb(spec, "fp32"), abs=1e-12)


@pytest.mark.parametrize("block", CASES)
def test_a_block_says_what_waits_during_each_of_its_operators(block):
    assert len(blocks.held(block)) == len(blocks.operators(block))
    assert min(blocks.held(block)) >= 0 == blocks.held(block)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", search_spaces.names())
def test_whole_networks_need_what_their_files_need(name, tmp_path):
    space, chance = search_spaces.load(name), random.Random(0)
    drawn = [space.architecture([chance.randrange(gene.options) for gene in space.genes]) for _ in range(6)]
    for number, architecture in enumerate([*drawn, space.smallest(), space.largest()]):
        spec = space.network(architecture, 3, 10)
        path = exported(spec, tmp_path / f"{number}.onnx", OPSETS[number % 3])
        assert lifetimes.peak_memory_mb(path) == pytest.approx(footprint.memory_mb(spec, "fp32"), abs=1e-12)
        assert runtimes.size_mb(path) == pytest.approx(footprint.size_mb(spec, "fp32"), rel=0.02)
