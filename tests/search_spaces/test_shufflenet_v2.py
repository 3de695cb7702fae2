"""The space of Single Path One-Shot: as many networks as the paper says, and what its blocks become in every runtime."""

import random

import numpy as np
import pytest
import torch

import search_spaces
from latency_models import onnx_graph
from nas import runtimes
from nas.compressors import hidden_channels
from nas.core.errors import SpaceError
from nas.core.network import BlockSpec
from nas.network import Network, recalibrate
from search_spaces import blocks, known

SPACE = search_spaces.load("shufflenet_v2")


def drawn(seed):
    chance = random.Random(seed)
    torch.manual_seed(seed)
    spec = SPACE.network(SPACE.architecture([0, *(chance.randrange(gene.options) for gene in SPACE.genes[1:])]), 3, 10)
    network = Network(spec)
    recalibrate(network, torch.randn(4, 3, spec.resolution, spec.resolution))
    return network


def test_there_are_four_choices_for_each_of_twenty_layers():
    assert SPACE.size == len(SPACE.resolutions) * 4**20 and 224 in SPACE.resolutions
    layers = [spec for spec in known.load("single_path_one_shot").blocks if spec.kind.startswith("shuffle")]
    assert len(layers) == 20 and {(spec.kind, spec.kernel) for spec in layers} == {
        ("shuffle_uneven", 3),
        ("shuffle_uneven", 5),
        ("shuffle_uneven", 7),
        ("shuffle_xception", 7),
    }
    deep = [operator.kernel for operator in blocks.operators(layers[-1]) if operator.kind == "depthwise"]
    assert deep == [3, 3, 3]


@pytest.mark.parametrize("opset", [11, pytest.param(17, marks=pytest.mark.slow)])
def test_an_exported_network_agrees_and_is_read_as_what_its_blocks_say(opset, tmp_path):
    network, runtime = drawn(opset), runtimes.load("onnxruntime")
    runtime.export(network, tmp_path / "model.onnx", opset)
    runtime.verify(
        tmp_path / "model.onnx", network, np.random.default_rng(0).standard_normal((3, 3, 128, 128)).astype(np.float32), batch_size=2
    )
    read = onnx_graph.read(tmp_path / "model.onnx")
    assert read.operators == tuple(operator for block in network.spec.blocks for operator in blocks.operators(block)) and not read.unknown


def test_the_pooling_of_shufflenet_v2_is_exported_and_read_too(tmp_path):
    torch.manual_seed(0)
    network = Network(known.load("shufflenet_v2", 10, 72)).eval()
    runtimes.load("onnxruntime").export(network, tmp_path / "model.onnx", 13)
    read = onnx_graph.read(tmp_path / "model.onnx")
    assert read.operators == tuple(operator for block in network.spec.blocks for operator in blocks.operators(block))
    assert [operator.kind for operator in read.operators].count("window_pool") == 1


@pytest.mark.slow
def test_litert_agrees(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="the package ai-edge-litert is not installed (pip install ai-edge-litert)")
    network, runtime = drawn(2), runtimes.load("litert")
    runtime.export(network, tmp_path / "model.tflite", 17)
    runtime.verify(
        tmp_path / "model.tflite", network, np.random.default_rng(0).standard_normal((3, 3, 128, 128)).astype(np.float32), batch_size=3
    )


def test_pruning_leaves_xception_units_whole():
    network = drawn(1)
    pruned = hidden_channels.prune(network, 0.5, 8)
    assert {spec.kind for spec in network.spec.blocks} >= {"shuffle_uneven", "shuffle_xception"}
    for before, after in zip(network.spec.blocks, pruned.spec.blocks, strict=True):
        assert (after.hidden_channels < before.hidden_channels) == (before.kind == "shuffle_uneven")
    with torch.no_grad():
        assert pruned(torch.randn(2, 3, 128, 128)).isfinite().all()


def test_what_cannot_be_built_is_refused():
    with pytest.raises(SpaceError, match="sees 3 pixels or more, not 1"):
        blocks.operators(BlockSpec("shuffle_xception", 8, 4, 8, 1, 1, False, "relu", 9, 9))
    wider = BlockSpec("max_pool", 8, 8, 16, 3, 2, False, "", 9, 9)
    for ask in (blocks.operators, blocks.load("max_pool").build):
        with pytest.raises(SpaceError, match="gives the channels that it takes, 8, not 16"):
            ask(wider)
