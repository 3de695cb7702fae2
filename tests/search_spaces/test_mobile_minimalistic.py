"""The space for integer-only devices: nothing in it that 8-bit integers do badly, and nothing left of ReLU6 in any runtime."""

import random
from collections import Counter

import numpy as np
import onnx
import pytest
import torch

import search_spaces
from latency_models import onnx_graph
from nas import runtimes
from nas.compressors import hidden_channels, int8_static
from nas.network import Network, recalibrate
from search_spaces import blocks

SPACE = search_spaces.load("mobile_minimalistic")


@pytest.fixture(scope="module")
def network():
    """A small one, at the least resolution."""
    chance = random.Random(3)
    genes = [0, *(0 if "depth" in gene.name else chance.randrange(gene.options) for gene in SPACE.genes[1:])]
    torch.manual_seed(0)
    made = Network(SPACE.network(SPACE.architecture(genes), 3, 10))
    recalibrate(made, torch.randn(8, 3, 96, 96))
    return made


def images(count):
    return np.random.default_rng(count).standard_normal((count, 3, 96, 96)).astype(np.float32)


def test_it_is_minimalistic():
    for spec in SPACE.unique_blocks(3, 10):
        assert (spec.se, spec.activation) == (False, "relu6")
        executed = blocks.operators(spec)
        assert {operator.activation for operator in executed} <= {"", "relu6"}
        assert {operator.kernel for operator in executed} <= {1, 3}
        assert {operator.kind for operator in executed} <= {"dense", "pointwise", "depthwise", "add", "pool", "linear"}


def test_relu6_is_part_of_the_operator_before_it(network, tmp_path):
    runtime = runtimes.load("onnxruntime")
    runtime.export(network, tmp_path / "model.onnx", 17)
    runtime.verify(tmp_path / "model.onnx", network, images(3), batch_size=2)
    read = onnx_graph.read(tmp_path / "model.onnx")
    assert read.operators == tuple(operator for block in network.spec.blocks for operator in blocks.operators(block)) and not read.unknown
    assert Counter(operator.activation for operator in read.operators)["relu6"] > len(network.spec.blocks)


@pytest.mark.slow
def test_integers_saturate_instead_of_relu6(network, tmp_path):
    runtimes.load("onnxruntime").export(network, tmp_path / "model.onnx", 17)
    for path in int8_static._quantize(tmp_path / "model.onnx", tmp_path, images(4)).values():
        nodes = Counter(node.op_type for node in onnx.load(path).graph.node)
        assert nodes.keys() <= {"QuantizeLinear", "DequantizeLinear", "Conv", "Add", "GlobalAveragePool", "Flatten", "Gemm", "Clip"}
        assert nodes["Clip"] == 0 or "float_depthwise" in path.name


def test_litert_has_no_activation_of_its_own(network, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="the package ai-edge-litert is not installed (pip install ai-edge-litert)")
    from ai_edge_litert.interpreter import Interpreter

    runtime = runtimes.load("litert")
    runtime.export(network, tmp_path / "model.tflite", 17)
    runtime.verify(tmp_path / "model.tflite", network, images(3), batch_size=3)
    interpreter = Interpreter(model_path=str(tmp_path / "model.tflite"))
    interpreter.allocate_tensors()
    names = {one["op_name"] for one in interpreter._get_ops_details()}
    assert names <= {"CONV_2D", "DEPTHWISE_CONV_2D", "PAD", "ADD", "MEAN", "RESHAPE", "FULLY_CONNECTED", "DELEGATE"}


def test_it_can_be_pruned(network):
    assert hidden_channels.requires(network, 0.5, 8) == ""
    pruned = hidden_channels.prune(network, 0.5, 8)
    assert blocks.weights(pruned.spec) < blocks.weights(network.spec)
    assert pruned(torch.from_numpy(images(2))).shape == (2, 10)
