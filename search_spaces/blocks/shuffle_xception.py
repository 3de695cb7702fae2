"""Xception unit of Single Path One-Shot (Guo et al. 2020, section 4): a shuffle unit that sees far by several 3x3 kernels.

Its right branch is depthwise 3x3 and pointwise, (kernel - 1) / 2 times: `kernel` is what the branch sees, so that the
paper's three pairs are kernel 7. The branches are uneven as in `shuffle_uneven`, the left one with its 3x3 kernel. Hidden
channels are read by one pair and written by another, which pruning does not know; it leaves the unit whole.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nas.core.errors import SpaceError
from nas.core.network import BlockSpec
from nas.core.operators import Operator, convolution, depthwise
from search_spaces.blocks.shuffle_unit import Branch, as_in_input, unit

if TYPE_CHECKING:
    from torch import nn


def _pairs(spec: BlockSpec, into: int, out: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Of each depthwise and pointwise pair: channels in and out, stride, rows and columns before it."""
    count = spec.kernel // 2
    if not count:
        raise SpaceError(f"an Xception unit sees 3 pixels or more, not {spec.kernel}: {spec}")
    for i in range(count):
        first, last = i == 0, i == count - 1
        height, width = (spec.in_height, spec.in_width) if first else (spec.out_height, spec.out_width)
        yield into if first else spec.hidden_channels, out if last else spec.hidden_channels, spec.stride if first else 1, height, width


def _operators(spec: BlockSpec, into: int, out: int) -> tuple[Operator, ...]:
    found = []
    for c_in, c_out, stride, height, width in _pairs(spec, into, out):
        deep = depthwise(c_in, 3, stride, height, width)
        found += [deep, convolution(c_in, c_out, 1, 1, deep.out_height, deep.out_width, spec.activation)]
    return tuple(found)


def _build(spec: BlockSpec, into: int, out: int) -> "nn.Module":
    from collections import OrderedDict

    from torch import nn

    from search_spaces.blocks.layers import ConvNorm

    layers = OrderedDict[str, nn.Module]()
    for i, (c_in, c_out, stride, _, _) in enumerate(_pairs(spec, into, out)):
        layers[f"depthwise{i}"] = ConvNorm(c_in, c_in, 3, stride, c_in, "")
        layers[f"pointwise{i}"] = ConvNorm(c_in, c_out, 1, 1, 1, spec.activation)
    return nn.Sequential(layers)


PLUGIN = unit(as_in_input, Branch(_operators, _build), hidden_axes={}, left_kernel=3)
