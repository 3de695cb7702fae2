"""Networks that compute as their compressed files do."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.overrides import TorchFunctionMode

from nas import runtimes
from nas.accuracy import rounding
from nas.compressors.int8_static import _quantize
from nas.core.network import BlockSpec, NetworkSpec
from nas.footprint import BYTES
from nas.network import Network, fold_batch_norms, recalibrate
from search_spaces import blocks
from search_spaces.blocks.layers import ACTIVATIONS

MOVING = {"split", "view", "transpose", "reshape", "flatten", "max_pool2d", "size", "dim", "contiguous", "__get__"}
"""Torch functions that round numbers leave round."""
RUNTIME = runtimes.load("onnxruntime")


def network(seed=0, activation="hard_swish"):
    """Every kind of computation: dense, residual with gates, both forms of the shuffle unit; batch norms re-calibrated and folded."""
    torch.manual_seed(seed)
    specs = (
        BlockSpec("conv", 1, 16, 16, 3, 1, False, "relu", 12, 12),
        BlockSpec("mbconv", 16, 48, 24, 5, 2, False, "relu6", 12, 12),
        BlockSpec("mbconv", 24, 48, 24, 3, 1, True, activation, 6, 6),
        BlockSpec("shuffle_unit", 24, 16, 32, 3, 2, False, "relu", 6, 6),
        BlockSpec("shuffle_unit", 32, 16, 32, 3, 1, False, "relu", 3, 3),
        BlockSpec("head", 32, 64, 5, 1, 1, False, activation, 3, 3),
    )
    made = Network(NetworkSpec(12, 1, 5, tuple(f"b{i}" for i in range(len(specs))), specs))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
    recalibrate(made, images(200))
    return made


def images(count, seed=0):
    return torch.randn(count, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


def folded(whole):
    ready = copy.deepcopy(whole)
    fold_batch_norms(ready)
    return ready


def test_every_precision_that_sizes_are_known_of_can_be_rounded_to():
    assert {"fp32", *rounding.ROUNDED} == set(BYTES)


@pytest.mark.parametrize("activation", ["hard_swish", "swish"])
@torch.no_grad()
def test_int8_computes_what_the_quantized_file_computes(tmp_path, activation):
    """Against ONNX Runtime, whose file is made by `int8_static` with unsigned activations from the same calibration images."""
    whole, shown = network(0, activation), images(300, 1)
    RUNTIME.export(whole, tmp_path / "fp32.onnx", 17)
    file = _quantize(tmp_path / "fp32.onnx", tmp_path, images(100).numpy())["u8s8"]
    found, plain = rounding.int8(folded(whole), images(100))(shown).numpy(), whole(shown).numpy()
    wanted = RUNTIME.logits(file, shown.numpy())
    cost = np.abs(wanted - plain).mean()
    assert cost > 0.03 * plain.std(), "else there is nothing to tell apart"
    assert np.abs(found - wanted).mean() < 0.05 * cost
    assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.99


@torch.no_grad()
def test_fp16_computes_what_the_halved_file_computes(tmp_path):
    import onnx

    from nas.compressors.fp16 import _halve

    whole, shown = network(), images(100, 1)
    RUNTIME.export(whole, tmp_path / "fp32.onnx", 17)
    model = onnx.load(tmp_path / "fp32.onnx")
    _halve(model, tmp_path / "fp32.onnx")
    (tmp_path / "fp16.onnx").write_bytes(model.SerializeToString())
    found, plain = rounding.fp16(folded(whole), shown)(shown).numpy(), whole(shown).numpy()
    wanted = RUNTIME.logits(tmp_path / "fp16.onnx", shown.numpy())
    assert 0 < np.abs(found - plain).max() < 0.02 and np.abs(found - wanted).max() < 0.02


def test_int8_has_256_values_for_a_tensor_and_255_for_a_channel_of_weights():
    made = rounding.int8(folded(network()), images(60))
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            flat = layer.weight.detach().flatten(1)
            steps = flat / (flat.abs().amax(dim=1, keepdim=True) / 127)
            assert torch.allclose(steps, steps.round(), atol=1e-3) and steps.abs().max() <= 127.01
    with torch.no_grad():
        logits = made(images(500, 3))
    assert 30 < len(logits.unique()) <= 256


def test_channels_without_weights_give_their_bias():
    layer = nn.Conv2d(2, 3, 1)
    with torch.no_grad():
        layer.weight[1].zero_()
        layer.bias.copy_(torch.tensor([0.5, -0.25, 0.0]))
        given = rounding.int8(layer, torch.randn(50, 2, 4, 4))(torch.randn(5, 2, 4, 4))
    assert given.isfinite().all() and torch.allclose(given[:, 1], torch.tensor(-0.25), atol=0.05)


def test_what_is_cut_off_is_rounded_once_and_after_the_cut():
    """A ReLU is part of the convolution before it, so that all 256 values are its own."""
    pair = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True))
    with torch.no_grad():
        pair[0].weight.fill_(1.0)
        pair[0].bias.zero_()
        shown = torch.linspace(-10.0, 1.0, 1001).view(1001, 1, 1, 1)
        given = rounding.int8(pair, shown)(shown)
    assert given.max() == pytest.approx(1.0, abs=0.03) and given.min() == 0.0
    assert len(given.unique()) < 30, "the images have steps of 11 / 255, of which 23 are above zero"


@settings(max_examples=25)
@given(st.floats(-50, 50), st.floats(-50, 50))
def test_a_grid_has_zero_on_it_and_reaches_both_ends(one, other):
    low, high = min(one, other), max(one, other)
    grid = rounding._Grid.over(low, high)
    assert 0 <= grid.zero_point <= 255
    ends = torch.tensor([0.0, low, high])
    found = grid(ends.clone())
    assert found[0] == 0.0 and torch.allclose(found, ends, atol=max(1e-6, 0.51 * grid.scale))


@pytest.mark.parametrize("kind", blocks.names())
@pytest.mark.parametrize("activation", sorted(filter(None, ACTIVATIONS)))
def test_every_function_of_every_block_is_known(kind, activation):
    """What is neither listed as computing nor as moving numbers would go unrounded in silence."""
    for stride, out in ((1, 16), (2, 32)):
        out = 16 if kind == "max_pool" else out
        module = blocks.load(kind).build(BlockSpec(kind, 16, 16, out, 3, stride, kind in ("mbconv", "separable"), activation, 8, 8)).eval()
        fold_batch_norms(module)
        shown = torch.randn(2, 16, 8, 8)
        with torch.no_grad(), _Names() as names:
            module(shown)
        assert names.found <= rounding.COMPUTING | MOVING, names.found - rounding.COMPUTING - MOVING
        assert names.found & rounding.COMPUTING or kind == "max_pool"


class _Names(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.found.add(rounding._name(func) if func.__name__ != "__get__" else "__get__")
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_accuracy_is_that_of_the_quantized_file_within_noise(tmp_path):
    """On networks of the default space, after a pass over the embedded images."""
    import search_spaces
    from nas.accuracy.compressed import CompressedAccuracy
    from nas.accuracy.supernet import SupernetAccuracy, calibration_batch
    from nas.data import load, normalise
    from nas.joint_space import JointSpace
    from nas.supernet import Supernet
    from nas.training import Schedule, make_optimizer, sample, train_supernet

    space, schedule = search_spaces.load("mobile_shuffle_32"), Schedule(1, 32, 0.1, 1e-4)
    data = load("embedded", space.resolutions[-1])
    torch.manual_seed(0)
    supernet = Supernet(space, data.channels, len(data.classes))
    for _ in train_supernet(supernet, make_optimizer(supernet, schedule), data, schedule, 1, seed=0, start=0):
        pass
    joint = JointSpace(space, ("fp32", "int8"), (1.0,))
    evaluate = CompressedAccuracy(joint, SupernetAccuracy.of(supernet, data, 500, 1000))
    kept = evaluate.whole.data
    off = []
    for number, architecture in enumerate(sample(space, 6, "files")):
        spec = space.network(architecture, data.channels, len(data.classes))
        whole = supernet.extract(spec)
        calibration = calibration_batch(kept, spec.resolution)
        recalibrate(whole, calibration)
        folder = tmp_path / str(number)
        folder.mkdir()
        RUNTIME.export(whole, folder / "fp32.onnx", 17)
        file = _quantize(folder / "fp32.onnx", folder, calibration.numpy())["u8s8"]
        shown = normalise(kept.validation.images, kept, spec.resolution).numpy()
        wanted = RUNTIME.accuracy(file, shown, kept.validation.labels)
        off.append(evaluate(joint.architecture([*architecture.genes, 1, 0])).accuracy - wanted)
    assert np.mean(np.abs(off)) <= 0.005 and np.abs(off).max() <= 0.01, off
