"""A plain convolution with batch normalisation: the stem."""

from typing import TYPE_CHECKING

from nas.core.network import BlockSpec
from nas.core.operators import Operator, convolution
from search_spaces.blocks import Block

if TYPE_CHECKING:
    from torch import nn


def _operators(spec: BlockSpec) -> tuple[Operator, ...]:
    return (convolution(spec.in_channels, spec.out_channels, spec.kernel, spec.stride, spec.in_height, spec.in_width, spec.activation),)


def _build(spec: BlockSpec) -> "nn.Module":
    from search_spaces.blocks.layers import ConvNorm

    return ConvNorm(spec.in_channels, spec.out_channels, spec.kernel, spec.stride, 1, spec.activation)


PLUGIN = Block(_operators, _build, hidden_axes={})
