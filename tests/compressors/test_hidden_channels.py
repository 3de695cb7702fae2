"""Pruning: only hidden channels go, the least important first, and what did nothing is not missed."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from nas import compressors
from nas.compressors import CompressionError
from nas.compressors.hidden_channels import importance, kept_channels
from nas.core.network import BlockSpec, NetworkSpec
from nas.network import Network, recalibrate
from search_spaces import blocks
from tests.compressors.conftest import accuracy, specification

PRUNE = compressors.load("hidden_channels")
SIZE = 5


def one_block(spec: BlockSpec) -> NetworkSpec:
    head = BlockSpec("head", spec.out_channels, 16, 3, 1, 1, False, "relu", spec.out_height, spec.out_width)
    return NetworkSpec(SIZE, spec.in_channels, 3, ("block", "head"), (spec, head))


def random_network(spec: NetworkSpec, seed: int) -> Network:
    torch.manual_seed(seed)
    network = Network(spec)
    with torch.no_grad():
        for norm in (layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.3)
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
    return network.eval()


PRUNABLE = st.sampled_from(
    [
        BlockSpec("mbconv", 8, 48, 8, 3, 1, False, "relu", SIZE, SIZE),
        BlockSpec("mbconv", 8, 64, 16, 5, 2, True, "hard_swish", SIZE, SIZE),
        BlockSpec("mbconv", 8, 72, 8, 3, 1, True, "relu6", SIZE, SIZE),
        BlockSpec("shuffle_unit", 16, 32, 16, 3, 1, False, "relu", SIZE, SIZE),
        BlockSpec("shuffle_unit", 8, 40, 16, 7, 2, False, "hard_swish", SIZE, SIZE),
    ]
)


@settings(max_examples=25, deadline=None)
@given(spec=PRUNABLE, keep=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_channels_without_weights_are_pruned_without_a_trace(spec: BlockSpec, keep: float, seed: int) -> None:
    kept = kept_channels(spec, keep, 8)
    assume(kept < spec.hidden_channels)
    network = random_network(one_block(spec), seed)
    block = network.get_submodule("block")
    dead = torch.randperm(spec.hidden_channels)[: spec.hidden_channels - kept]
    with torch.no_grad():
        for name, axis in blocks.load(spec.kind).hidden_axes.items():
            if name in dict(block.named_modules()) and not name.endswith("norm"):
                block.get_submodule(name).weight.index_fill_(axis, dead, 0.0)
        if spec.se:
            smaller = blocks.load(spec.kind).build(replace(spec, hidden_channels=kept))
            unused = torch.randperm(block.se.reduce.out_channels)[smaller.se.reduce.out_channels :]
            block.se.reduce.weight.index_fill_(0, unused, 0.0)
            block.se.expand.weight.index_fill_(1, unused, 0.0)
    pruned = PRUNE.compress(network, keep)
    images = torch.randn(3, spec.in_channels, SIZE, SIZE)
    with torch.no_grad():
        torch.testing.assert_close(pruned(images), network(images), rtol=1e-4, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(keep=st.floats(0.1, 0.9), multiple=st.sampled_from([8, 16]))
def test_only_hidden_channels_change_and_macs_fall(keep: float, multiple: int) -> None:
    network = random_network(specification(hidden=96), 0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pruned = PRUNE.compress(network, keep, multiple)
    assert replace(pruned.spec, blocks=network.spec.blocks) == network.spec
    for old, new in zip(network.spec.blocks, pruned.spec.blocks, strict=True):
        assert replace(new, hidden_channels=old.hidden_channels) == old
        assert new.hidden_channels == old.hidden_channels or new.hidden_channels % multiple == 0
        assert multiple <= new.hidden_channels <= old.hidden_channels or new.hidden_channels == old.hidden_channels
    assert blocks.macs(pruned.spec) < blocks.macs(network.spec)
    assert not pruned.training
    assert pruned(torch.randn(2, 1, 12, 12)).shape == (2, 4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items()), "the original is left as it is"


def test_head_stem_and_narrow_blocks_stay() -> None:
    assert kept_channels(BlockSpec("head", 16, 256, 10, 1, 1, False, "relu", 4, 4), 0.5, 8) == 256
    assert kept_channels(BlockSpec("conv", 3, 16, 16, 3, 1, False, "relu", 4, 4), 0.5, 8) == 16
    assert kept_channels(BlockSpec("shuffle_unit", 16, 8, 16, 3, 1, False, "relu", 4, 4), 0.5, 8) == 8
    assert kept_channels(BlockSpec("shuffle_unit", 24, 12, 24, 3, 1, False, "relu", 4, 4), 0.5, 8) == 8
    assert kept_channels(BlockSpec("mbconv", 16, 72, 16, 3, 1, False, "relu", 4, 4), 0.5, 8) == 40
    assert kept_channels(BlockSpec("mbconv", 16, 72, 16, 3, 1, False, "relu", 4, 4), 0.5, 16) == 32


def test_importance_is_zero_for_constant_and_for_unread_channels() -> None:
    spec = BlockSpec("mbconv", 8, 24, 8, 3, 1, False, "relu", SIZE, SIZE)
    network = random_network(one_block(spec), 0)
    block = network.get_submodule("block")
    with torch.no_grad():
        block.depthwise.norm.weight[0] = 0.0
        block.depthwise.norm.bias[1] = -50.0
        block.project.conv.weight[:, 2] = 0.0
    scores = importance(block, spec)
    assert scores.shape == (24,)
    assert torch.equal(scores[:3], torch.zeros(3))
    assert (scores[3:] > 0).all()


def test_a_trained_network_keeps_most_of_its_accuracy_and_more_than_by_chance(trained, monkeypatch) -> None:
    def pruned_accuracy() -> float:
        pruned = PRUNE.compress(trained.network, 0.5)
        recalibrate(pruned, trained.train)
        return accuracy(pruned, trained.evidence)

    chosen = pruned_accuracy()
    from nas.compressors import hidden_channels

    monkeypatch.setattr(hidden_channels, "importance", lambda block, spec: -importance(block, spec))
    worst = pruned_accuracy()
    assert chosen > accuracy(trained.network, trained.evidence) - 0.1
    assert chosen > worst


def test_a_pruned_network_exports(trained, tmp_path) -> None:
    from nas import runtimes

    pruned = PRUNE.compress(trained.network, 0.5)
    recalibrate(pruned, trained.train)
    runtime = runtimes.load("onnxruntime")
    runtime.export(pruned, tmp_path / "pruned.onnx", 13)
    runtime.verify(tmp_path / "pruned.onnx", pruned, trained.evidence.images[:50])


@pytest.mark.parametrize("keep", [0.0, 1.0, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(trained, keep) -> None:
    with pytest.raises(CompressionError, match="above 0 and below 1, got"):
        PRUNE.compress(trained.network, keep)


def test_nothing_to_remove_is_refused() -> None:
    spec = one_block(BlockSpec("mbconv", 8, 16, 8, 3, 1, False, "relu", SIZE, SIZE))
    with pytest.raises(CompressionError, match=r"keeping 90% of at most 16 hidden channels, in multiples of 8, removes none; keep less"):
        PRUNE.compress(Network(spec).eval(), 0.9)


def test_only_a_head_is_refused() -> None:
    spec = NetworkSpec(SIZE, 4, 3, ("head",), (BlockSpec("head", 4, 16, 3, 1, 1, False, "relu", SIZE, SIZE),))
    with pytest.raises(CompressionError, match="removes none"):
        PRUNE.compress(Network(spec).eval(), 0.5)
