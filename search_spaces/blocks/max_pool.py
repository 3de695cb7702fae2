"""The largest of each window of pixels: halves the picture behind the first convolution of ShuffleNetV2."""

from typing import TYPE_CHECKING

from nas.core.errors import SpaceError
from nas.core.network import BlockSpec
from nas.core.operators import Operator
from search_spaces.blocks import Block

if TYPE_CHECKING:
    from torch import nn


def _channels(spec: BlockSpec) -> int:
    if spec.in_channels != spec.out_channels:
        raise SpaceError(f"pooling gives the channels that it takes, {spec.in_channels}, not {spec.out_channels}")
    return spec.in_channels


def _operators(spec: BlockSpec) -> tuple[Operator, ...]:
    return (Operator("window_pool", _channels(spec), spec.out_channels, spec.kernel, spec.stride, spec.in_height, spec.in_width),)


def _build(spec: BlockSpec) -> "nn.Module":
    from torch import nn

    _channels(spec)
    return nn.MaxPool2d(spec.kernel, spec.stride, spec.kernel // 2)


PLUGIN = Block(_operators, _build, hidden_axes={})
