"""Every block kind: what it says it executes is what it computes, it exports, and it is the block of its paper."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas import runtimes
from nas.core.network import BlockSpec, NetworkSpec
from nas.network import Network, recalibrate
from search_spaces import blocks

SIZE = 9
SHAPES = [
    # in, hidden, out, kernel, stride, se, activation
    (16, 24, 16, 3, 1, False, "relu"),
    (16, 40, 24, 5, 2, False, "relu6"),
    (24, 72, 24, 7, 1, True, "hard_swish"),
    (8, 32, 24, 3, 2, True, "hard_swish"),
]
CASES = [
    pytest.param(BlockSpec(kind, *shape, SIZE, SIZE), id=f"{kind}-k{shape[3]}-s{shape[4]}-{shape[6]}")
    for kind in blocks.names()
    for shape in SHAPES
    if kind != "max_pool" or shape[0] == shape[2]  # pooling keeps its channels
]


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """`module` in evaluation mode, with batch norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for norm in (layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)):
            norm.weight.copy_(torch.rand(norm.num_features, generator=generator) + 0.5)
            norm.bias.copy_(torch.randn(norm.num_features, generator=generator) * 0.3)
            norm.running_mean.copy_(torch.randn(norm.num_features, generator=generator) * 0.3)
            norm.running_var.copy_(torch.rand(norm.num_features, generator=generator) + 0.5)
    return module.eval()


def images(channels: int, size: int = SIZE, count: int = 2) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def ends_network(spec: BlockSpec) -> bool:
    return blocks.operators(spec)[-1].kind == "linear"


@pytest.mark.parametrize("spec", CASES)
def test_output_has_the_shape_that_the_spec_says(spec: BlockSpec) -> None:
    found = filled(blocks.load(spec.kind).build(spec))(images(spec.in_channels)).shape
    assert found == ((2, spec.out_channels) if ends_network(spec) else (2, spec.out_channels, spec.out_height, spec.out_width))


@pytest.mark.parametrize("spec", CASES)
def test_macs_of_the_operators_are_what_fvcore_counts(spec: BlockSpec) -> None:
    module = filled(blocks.load(spec.kind).build(spec))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # fvcore 0.1.5 scripts and traces
        from fvcore.nn import FlopCountAnalysis

        counts = FlopCountAnalysis(module, images(spec.in_channels, count=1)).unsupported_ops_warnings(False).by_operator()
    assert sum(operator.macs for operator in blocks.operators(spec)) == counts["conv"] + counts["linear"]


@pytest.mark.parametrize("spec", CASES)
def test_weights_of_the_operators_are_the_parameters_after_folding(spec: BlockSpec) -> None:
    module = blocks.load(spec.kind).build(spec)
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    folded = sum(layer.weight.numel() + layer.weight.shape[0] for layer in layers)
    assert sum(operator.weights for operator in blocks.operators(spec)) == folded


@pytest.mark.parametrize("spec", CASES)
def test_operators_follow_each_other(spec: BlockSpec) -> None:
    found = blocks.operators(spec)
    assert found[0].in_height == spec.in_height
    assert found[-1].out_channels == spec.out_channels
    assert all(operator.in_channels == operator.out_channels for operator in found if operator.kind not in ("dense", "pointwise", "linear"))


@pytest.mark.parametrize("spec", CASES)
def test_hidden_axes_run_over_the_hidden_channels(spec: BlockSpec) -> None:
    block = blocks.load(spec.kind)
    module = block.build(spec)
    for name, axis in block.hidden_axes.items():
        if spec.se or ".se" not in f".{name}":
            assert module.get_submodule(name).weight.shape[axis] == spec.hidden_channels


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("spec", CASES)
def test_the_exported_block_agrees_with_torch(spec: BlockSpec, opset: int, tmp_path) -> None:
    if ends_network(spec):
        network_spec = NetworkSpec(SIZE, spec.in_channels, spec.out_channels, ("head",), (spec,))
    else:
        head = BlockSpec("head", spec.out_channels, 16, 5, 1, 1, False, "relu", spec.out_height, spec.out_width)
        network_spec = NetworkSpec(SIZE, spec.in_channels, 5, ("block", "head"), (spec, head))
    torch.manual_seed(0)
    network = Network(network_spec)
    recalibrate(network, images(spec.in_channels, count=8))
    runtime = runtimes.load("onnxruntime")
    runtime.export(network, tmp_path / "block.onnx", opset)
    runtime.verify(tmp_path / "block.onnx", network, images(spec.in_channels, count=5).numpy(), batch_size=2)


# The blocks of the papers, written once more without any module of ours: weights by name, torch functions only.


def conv_norm(state: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, depthwise: bool = False) -> Tensor:
    weight = state[f"{name}.conv.weight"]
    x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=x.shape[1] if depthwise else 1)
    scale = state[f"{name}.norm.weight"] / torch.sqrt(state[f"{name}.norm.running_var"] + 1e-5)
    return (x - state[f"{name}.norm.running_mean"][:, None, None]) * scale[:, None, None] + state[f"{name}.norm.bias"][:, None, None]


def h_sigmoid(x: Tensor) -> Tensor:
    return functional.relu6(x + 3) / 6


def mobilenet_v2(state: dict[str, Tensor], x: Tensor, stride: int) -> Tensor:
    """Sandler et al. 2018, table 1: 1x1 and ReLU6, depthwise and ReLU6, linear 1x1; shortcut where the shape is kept."""
    y = functional.relu6(conv_norm(state, "expand", x))
    y = functional.relu6(conv_norm(state, "depthwise", y, stride, depthwise=True))
    y = conv_norm(state, "project", y)
    return x + y if x.shape == y.shape else y


def mobilenet_v3(state: dict[str, Tensor], x: Tensor, stride: int) -> Tensor:
    """Howard et al. 2019, figure 4: as V2 with h-swish, and squeeze-and-excite on the expanded layer."""
    y = conv_norm(state, "expand", x)
    y = y * h_sigmoid(y)
    y = conv_norm(state, "depthwise", y, stride, depthwise=True)
    y = y * h_sigmoid(y)
    gate = y.mean(dim=(2, 3))
    gate = torch.relu(gate @ state["se.reduce.weight"].flatten(1).T + state["se.reduce.bias"])
    gate = h_sigmoid(gate @ state["se.expand.weight"].flatten(1).T + state["se.expand.bias"])
    y = conv_norm(state, "project", y * gate[:, :, None, None])
    return x + y if x.shape == y.shape else y


def without_expansion(state: dict[str, Tensor], x: Tensor, stride: int) -> Tensor:
    """Howard et al. 2019, table 2, second row: the first block of MobileNetV3-Small, whose expansion is 1."""
    y = conv_norm(state, "depthwise", x, stride, depthwise=True)
    y = y * h_sigmoid(y)
    gate = torch.relu(y.mean(dim=(2, 3)) @ state["se.reduce.weight"].flatten(1).T + state["se.reduce.bias"])
    gate = h_sigmoid(gate @ state["se.expand.weight"].flatten(1).T + state["se.expand.bias"])
    y = conv_norm(state, "project", y * gate[:, :, None, None])
    return x + y if x.shape == y.shape else y


def shuffle_branch(state: dict[str, Tensor], x: Tensor, stride: int) -> Tensor:
    y = torch.relu(conv_norm(state, "right.expand", x))
    y = conv_norm(state, "right.depthwise", y, stride, depthwise=True)
    return torch.relu(conv_norm(state, "right.project", y))


def shuffled(left: Tensor, right: Tensor) -> Tensor:
    """Channel 2i from the left branch and 2i + 1 from the right."""
    mixed = torch.empty(left.shape[0], 2 * left.shape[1], *left.shape[2:])
    mixed[:, 0::2], mixed[:, 1::2] = left, right
    return mixed


def shufflenet_v2(state: dict[str, Tensor], x: Tensor, stride: int) -> Tensor:
    """Ma et al. 2018, figure 3 (c) for stride 1 and (d) for stride 2."""
    if stride == 1:
        half = x.shape[1] // 2
        return shuffled(x[:, :half], shuffle_branch(state, x[:, half:], 1))
    left = conv_norm(state, "left.depthwise", x, stride, depthwise=True)
    return shuffled(torch.relu(conv_norm(state, "left.project", left)), shuffle_branch(state, x, stride))


def shuffle_uneven(state: dict[str, Tensor], x: Tensor, stride: int) -> Tensor:
    """The authors' code of ShuffleNetV2 and Single Path One-Shot: the branch beside keeps the channels of its input."""
    if stride == 1:
        return shufflenet_v2(state, x, stride)
    left = torch.relu(conv_norm(state, "left.project", conv_norm(state, "left.depthwise", x, stride, depthwise=True)))
    assert left.shape[1] == x.shape[1]
    return two_groups(torch.cat([left, shuffle_branch(state, x, stride)], dim=1))


def shuffle_xception(state: dict[str, Tensor], x: Tensor, stride: int) -> Tensor:
    """Guo et al. 2020 and the authors' code: pairs of depthwise 3x3 and pointwise, which together see `kernel` pixels."""
    y = x[:, x.shape[1] // 2 :] if stride == 1 else x
    for i in range(sum(name.startswith("right.depthwise") and name.endswith("conv.weight") for name in state)):
        assert state[f"right.depthwise{i}.conv.weight"].shape[-1] == 3
        y = conv_norm(state, f"right.depthwise{i}", y, 1 if i else stride, depthwise=True)
        y = torch.relu(conv_norm(state, f"right.pointwise{i}", y))
    if stride == 1:
        return two_groups(torch.cat([x[:, : x.shape[1] // 2], y], dim=1))
    left = conv_norm(state, "left.depthwise", x, stride, depthwise=True)
    return two_groups(torch.cat([torch.relu(conv_norm(state, "left.project", left)), y], dim=1))


def two_groups(x: Tensor) -> Tensor:
    """The channel shuffle of two groups, whatever lies in them."""
    half = x.shape[1] // 2
    return x[:, [i // 2 + half * (i % 2) for i in range(2 * half)]]


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize(
    ("kind", "se", "activation", "paper", "stride", "channels_out"),
    [
        ("mbconv", False, "relu6", mobilenet_v2, 1, 16),
        ("mbconv", False, "relu6", mobilenet_v2, 1, 24),
        ("mbconv", False, "relu6", mobilenet_v2, 2, 24),
        ("mbconv", True, "hard_swish", mobilenet_v3, 1, 16),
        ("mbconv", True, "hard_swish", mobilenet_v3, 1, 24),
        ("mbconv", True, "hard_swish", mobilenet_v3, 2, 24),
        ("separable", True, "hard_swish", without_expansion, 1, 16),
        ("separable", True, "hard_swish", without_expansion, 2, 24),
        ("shuffle_unit", False, "relu", shufflenet_v2, 1, 16),
        ("shuffle_unit", False, "relu", shufflenet_v2, 2, 24),
        ("shuffle_uneven", False, "relu", shuffle_uneven, 1, 16),
        ("shuffle_uneven", False, "relu", shuffle_uneven, 2, 40),
        ("shuffle_xception", False, "relu", shuffle_xception, 1, 16),
        ("shuffle_xception", False, "relu", shuffle_xception, 2, 40),
    ],
)
def test_equals_the_block_of_its_paper(kind, se, activation, paper, stride, channels_out, kernel) -> None:
    hidden = channels_out // 2 if kind.startswith("shuffle") else 48
    spec = BlockSpec(kind, 16, hidden, channels_out, kernel, stride, se, activation, SIZE, SIZE)
    torch.manual_seed(kernel)
    block = filled(blocks.load(kind).build(spec))
    with torch.no_grad():
        x = images(16)
        wanted = paper(block.state_dict(), x.clone(), stride)
        torch.testing.assert_close(block(x), wanted, rtol=1e-4, atol=1e-5)
    assert wanted.std() > 0.01
