"""The end of a network: pointwise convolution, global average pooling and a linear classifier."""

from typing import TYPE_CHECKING

from nas.core.network import BlockSpec
from nas.core.operators import Operator, convolution
from search_spaces.blocks import Block

if TYPE_CHECKING:
    from torch import nn


def _operators(spec: BlockSpec) -> tuple[Operator, ...]:
    h, w, width = spec.in_height, spec.in_width, spec.hidden_channels
    return (
        convolution(spec.in_channels, width, 1, 1, h, w, spec.activation),
        Operator("pool", width, width, 1, 1, h, w),
        Operator("linear", width, spec.out_channels, 1, 1, 1, 1),
    )


def _build(spec: BlockSpec) -> "nn.Module":
    from search_spaces.blocks.layers import ClassifierHead

    return ClassifierHead(spec.in_channels, spec.hidden_channels, spec.out_channels, spec.activation)


PLUGIN = Block(_operators, _build, hidden_axes={"features.conv": 0, "features.norm": 0, "classifier": 1})
