"""Unit of ShuffleNetV2 (Ma et al. 2018, figure 3 c and d), with kernels 3, 5 or 7 as in Single Path One-Shot.

With stride 1 and equal channels half of the channels pass untouched and half go through pointwise, depthwise,
pointwise; otherwise two branches see the whole input. Both forms end in concatenation and channel shuffle. The unit
has its own ReLU-like activation after the pointwise layers and no SE.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.core.network import BlockSpec
from nas.core.operators import Operator, convolution, depthwise, elementwise
from search_spaces.blocks import Block

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Branch:
    """The right branch, which computes: its operators and its module, given the channels that it takes and gives."""

    operators: Callable[[BlockSpec, int, int], tuple[Operator, ...]]
    build: Callable[[BlockSpec, int, int], "nn.Module"]


def splits(spec: BlockSpec) -> bool:
    """Whether half of the channels pass untouched."""
    return spec.stride == 1 and spec.in_channels == spec.out_channels


def halves(spec: BlockSpec) -> int:
    """Channels that the left branch gives where both are as wide, as in the paper."""
    return spec.out_channels // 2


def as_in_input(spec: BlockSpec) -> int:
    """Channels that the left branch gives where it keeps those of its input, but half of the output at most.

    Source: the authors' code of ShuffleNetV2 and of Single Path One-Shot, whose first units of a stage have uneven branches.
    """
    return min(spec.in_channels, spec.out_channels // 2)


def unit(left: Callable[[BlockSpec], int], right: Branch, hidden_axes: Mapping[str, int], left_kernel: int = 0) -> Block:
    """The block with `right` and, where it does not split, a left branch of `left(spec)` channels.

    `left_kernel` is that of the left branch's depthwise convolution; 0 is the unit's own.
    """

    def widths(spec: BlockSpec) -> tuple[int, int, int]:
        """Channels that the left branch gives, that the right one takes, and that it gives."""
        kept = halves(spec) if splits(spec) else left(spec)
        return kept, halves(spec) if splits(spec) else spec.in_channels, spec.out_channels - kept

    def operators(spec: BlockSpec) -> tuple[Operator, ...]:
        kept, into, out = widths(spec)
        found = [elementwise("split", spec.in_channels, spec.in_height, spec.in_width)]
        if not splits(spec):
            found = [
                depthwise(spec.in_channels, left_kernel or spec.kernel, spec.stride, spec.in_height, spec.in_width),
                convolution(spec.in_channels, kept, 1, 1, spec.out_height, spec.out_width, spec.activation),
            ]
        joined = [elementwise(kind, spec.out_channels, spec.out_height, spec.out_width) for kind in ("concat", "shuffle")]
        return (*found, *right.operators(spec, into, out), *joined)

    def held(spec: BlockSpec) -> tuple[int, ...]:
        kept, into, out = widths(spec)
        waiting = (kept * spec.out_height * spec.out_width,) * len(right.operators(spec, into, out))
        given = () if splits(spec) else (spec.in_channels * spec.in_height * spec.in_width,)
        return (0, *given, *waiting, 0, 0)

    def build(spec: BlockSpec) -> "nn.Module":
        from collections import OrderedDict

        from torch import nn

        from search_spaces.blocks.layers import ConvNorm, SplitBranch, TwoBranches

        kept, into, out = widths(spec)
        computing = right.build(spec, into, out)
        if splits(spec):
            return SplitBranch(kept, computing)
        layers = OrderedDict[str, nn.Module]()
        layers["depthwise"] = ConvNorm(spec.in_channels, spec.in_channels, left_kernel or spec.kernel, spec.stride, spec.in_channels, "")
        layers["project"] = ConvNorm(spec.in_channels, kept, 1, 1, 1, spec.activation)
        return TwoBranches(nn.Sequential(layers), computing)

    return Block(operators, build, hidden_axes, held)


def _operators(spec: BlockSpec, into: int, out: int) -> tuple[Operator, ...]:
    hidden, out_h, out_w = spec.hidden_channels, spec.out_height, spec.out_width
    return (
        convolution(into, hidden, 1, 1, spec.in_height, spec.in_width, spec.activation),
        depthwise(hidden, spec.kernel, spec.stride, spec.in_height, spec.in_width),
        convolution(hidden, out, 1, 1, out_h, out_w, spec.activation),
    )


def _build(spec: BlockSpec, into: int, out: int) -> "nn.Module":
    from collections import OrderedDict

    from torch import nn

    from search_spaces.blocks.layers import ConvNorm

    hidden = spec.hidden_channels
    layers = OrderedDict[str, nn.Module]()
    layers["expand"] = ConvNorm(into, hidden, 1, 1, 1, spec.activation)
    layers["depthwise"] = ConvNorm(hidden, hidden, spec.kernel, spec.stride, hidden, "")
    layers["project"] = ConvNorm(hidden, out, 1, 1, 1, spec.activation)
    return nn.Sequential(layers)


RIGHT = Branch(_operators, _build)
"""Pointwise, depthwise, pointwise."""

HIDDEN_AXES = {
    "right.expand.conv": 0,
    "right.expand.norm": 0,
    "right.depthwise.conv": 0,
    "right.depthwise.norm": 0,
    "right.project.conv": 1,
}
"""Of `RIGHT`."""

PLUGIN = unit(halves, RIGHT, HIDDEN_AXES)
