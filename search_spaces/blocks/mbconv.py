"""Inverted residual of MobileNetV2 (Sandler et al. 2018) and, with SE and h-swish, of MobileNetV3 (Howard et al. 2019).

Expand (pointwise), depthwise, squeeze-and-excitation where asked, project (pointwise, linear); the input is added
where stride and channels allow. SE stands after the depthwise activation, as in the MobileNetV3 paper's figure 4.
"""

from typing import TYPE_CHECKING

from nas.core.network import BlockSpec
from nas.core.operators import Operator, convolution, depthwise, elementwise, squeeze_excite
from nas.core.space import make_divisible
from search_spaces.blocks import Block

if TYPE_CHECKING:
    from torch import nn


def _residual(spec: BlockSpec) -> bool:
    return spec.stride == 1 and spec.in_channels == spec.out_channels


def _operators(spec: BlockSpec) -> tuple[Operator, ...]:
    h, w, hidden = spec.in_height, spec.in_width, spec.hidden_channels
    found = [
        convolution(spec.in_channels, hidden, 1, 1, h, w, spec.activation),
        depthwise(hidden, spec.kernel, spec.stride, h, w, spec.activation),
    ]
    if spec.se:
        found += squeeze_excite(hidden, make_divisible(hidden / 4), spec.out_height, spec.out_width)
    found.append(convolution(hidden, spec.out_channels, 1, 1, spec.out_height, spec.out_width))
    if _residual(spec):
        found.append(elementwise("add", spec.out_channels, spec.out_height, spec.out_width))
    return tuple(found)


def _held(spec: BlockSpec) -> tuple[int, ...]:
    shortcut = spec.in_channels * spec.in_height * spec.in_width if _residual(spec) else 0
    gated = spec.hidden_channels * spec.out_height * spec.out_width
    gate = (shortcut, shortcut + gated, shortcut + gated, shortcut) if spec.se else ()
    return (0, shortcut, *gate, shortcut, *((0,) if _residual(spec) else ()))


def _build(spec: BlockSpec) -> "nn.Module":
    from collections import OrderedDict

    from torch import nn

    from search_spaces.blocks.layers import ConvNorm, Residual, SqueezeExcite

    hidden = spec.hidden_channels
    layers = OrderedDict[str, nn.Module]()
    layers["expand"] = ConvNorm(spec.in_channels, hidden, 1, 1, 1, spec.activation)
    layers["depthwise"] = ConvNorm(hidden, hidden, spec.kernel, spec.stride, hidden, spec.activation)
    if spec.se:
        layers["se"] = SqueezeExcite(hidden)
    layers["project"] = ConvNorm(hidden, spec.out_channels, 1, 1, 1, "")
    return Residual(layers) if _residual(spec) else nn.Sequential(layers)


PLUGIN = Block(
    _operators,
    _build,
    hidden_axes={
        "expand.conv": 0,
        "expand.norm": 0,
        "depthwise.conv": 0,
        "depthwise.norm": 0,
        "se.reduce": 1,
        "se.expand": 0,
        "project.conv": 1,
    },
    held=_held,
)
