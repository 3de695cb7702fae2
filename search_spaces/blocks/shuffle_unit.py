"""Unit of ShuffleNetV2 (Ma et al. 2018, figure 3 c and d), with kernels 3, 5 or 7 as in Single Path One-Shot.

With stride 1 and equal channels half of the channels pass untouched and half go through pointwise, depthwise,
pointwise; otherwise two branches see the whole input. Both forms end in concatenation and channel shuffle. The unit
has its own ReLU-like activation after the pointwise layers and no SE.
"""

from typing import TYPE_CHECKING

from nas.core.network import BlockSpec
from nas.core.operators import Operator, convolution, depthwise, elementwise
from search_spaces.blocks import Block

if TYPE_CHECKING:
    from torch import nn


def _splits(spec: BlockSpec) -> bool:
    return spec.stride == 1 and spec.in_channels == spec.out_channels


def _operators(spec: BlockSpec) -> tuple[Operator, ...]:
    h, w, half, hidden = spec.in_height, spec.in_width, spec.out_channels // 2, spec.hidden_channels
    out_h, out_w = spec.out_height, spec.out_width
    found = []
    if _splits(spec):
        found.append(elementwise("split", spec.in_channels, h, w))
    else:
        found += [
            depthwise(spec.in_channels, spec.kernel, spec.stride, h, w),
            convolution(spec.in_channels, half, 1, 1, out_h, out_w, spec.activation),
        ]
    found += [
        convolution(half if _splits(spec) else spec.in_channels, hidden, 1, 1, h, w, spec.activation),
        depthwise(hidden, spec.kernel, spec.stride, h, w),
        convolution(hidden, half, 1, 1, out_h, out_w, spec.activation),
        elementwise("concat", spec.out_channels, out_h, out_w),
        elementwise("shuffle", spec.out_channels, out_h, out_w),
    ]
    return tuple(found)


def _held(spec: BlockSpec) -> tuple[int, ...]:
    left = spec.out_channels // 2 * spec.out_height * spec.out_width
    if _splits(spec):
        return (0, left, left, left, 0, 0)
    return (0, spec.in_channels * spec.in_height * spec.in_width, left, left, left, 0, 0)


def _build(spec: BlockSpec) -> "nn.Module":
    from collections import OrderedDict

    from torch import nn

    from search_spaces.blocks.layers import ConvNorm, SplitBranch, TwoBranches

    half, hidden, act = spec.out_channels // 2, spec.hidden_channels, spec.activation
    right = OrderedDict[str, nn.Module]()
    right["expand"] = ConvNorm(half if _splits(spec) else spec.in_channels, hidden, 1, 1, 1, act)
    right["depthwise"] = ConvNorm(hidden, hidden, spec.kernel, spec.stride, hidden, "")
    right["project"] = ConvNorm(hidden, half, 1, 1, 1, act)
    if _splits(spec):
        return SplitBranch(half, nn.Sequential(right))
    left = OrderedDict[str, nn.Module]()
    left["depthwise"] = ConvNorm(spec.in_channels, spec.in_channels, spec.kernel, spec.stride, spec.in_channels, "")
    left["project"] = ConvNorm(spec.in_channels, half, 1, 1, 1, act)
    return TwoBranches(nn.Sequential(left), nn.Sequential(right))


PLUGIN = Block(
    _operators,
    _build,
    hidden_axes={
        "right.expand.conv": 0,
        "right.expand.norm": 0,
        "right.depthwise.conv": 0,
        "right.depthwise.norm": 0,
        "right.project.conv": 1,
    },
    held=_held,
)
