"""The end of MobileNetV3 (Howard et al. 2019, section 5.1): global average pooling, then two layers on one pixel.

The first of the two has no batch norm and, as in Once-for-All's networks, no bias. The convolution that widens the
features before the pooling is a block of its own.
"""

from typing import TYPE_CHECKING

from nas.core.network import BlockSpec
from nas.core.operators import Operator, convolution
from search_spaces.blocks import Block

if TYPE_CHECKING:
    from torch import nn


def _operators(spec: BlockSpec) -> tuple[Operator, ...]:
    channels, width = spec.in_channels, spec.hidden_channels
    return (
        Operator("pool", channels, channels, 1, 1, spec.in_height, spec.in_width),
        convolution(channels, width, 1, 1, 1, 1, spec.activation),
        Operator("linear", width, spec.out_channels, 1, 1, 1, 1),
    )


def _build(spec: BlockSpec) -> "nn.Module":
    from search_spaces.blocks.layers import WideHead

    return WideHead(spec.in_channels, spec.hidden_channels, spec.out_channels, spec.activation)


PLUGIN = Block(_operators, _build, hidden_axes={"mix": 0, "classifier": 1})
