"""Depthwise-separable convolution (Howard et al. 2017) with a linear end: an inverted residual that does not expand.

Depthwise, squeeze-and-excitation where asked, project (pointwise, linear); the input is added where stride and channels
allow. MobileNetV2 and V3 begin with one. Its inner channels are its input's, so it has no hidden ones of its own.
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
    channels, out_h, out_w = spec.in_channels, spec.out_height, spec.out_width
    found = [depthwise(channels, spec.kernel, spec.stride, spec.in_height, spec.in_width, spec.activation)]
    if spec.se:
        found += squeeze_excite(channels, make_divisible(channels / 4), out_h, out_w)
    found.append(convolution(channels, spec.out_channels, 1, 1, out_h, out_w))
    if _residual(spec):
        found.append(elementwise("add", spec.out_channels, out_h, out_w))
    return tuple(found)


def _held(spec: BlockSpec) -> tuple[int, ...]:
    shortcut = spec.in_channels * spec.in_height * spec.in_width if _residual(spec) else 0
    gated = spec.in_channels * spec.out_height * spec.out_width
    gate = (shortcut, shortcut + gated, shortcut + gated, shortcut) if spec.se else ()
    return (0, *gate, shortcut, *((0,) if _residual(spec) else ()))


def _build(spec: BlockSpec) -> "nn.Module":
    from collections import OrderedDict

    from torch import nn

    from search_spaces.blocks.layers import ConvNorm, Residual, SqueezeExcite

    channels = spec.in_channels
    layers = OrderedDict[str, nn.Module]()
    layers["depthwise"] = ConvNorm(channels, channels, spec.kernel, spec.stride, channels, spec.activation)
    if spec.se:
        layers["se"] = SqueezeExcite(channels)
    layers["project"] = ConvNorm(channels, spec.out_channels, 1, 1, 1, "")
    return Residual(layers) if _residual(spec) else nn.Sequential(layers)


PLUGIN = Block(_operators, _build, hidden_axes={}, held=_held)
