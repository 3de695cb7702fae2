"""Where a chain of reshapes and transpositions moves the numbers of a tensor, without a number being moved.

A tensor in some order is a list of (size, stride) pairs, slowest first: the numbers lie `size` times at a distance of `stride` in the
tensor that the chain began with. A reshape leaves the list as it is, up to pairs that split; a transposition permutes it.
"""

import math
from collections.abc import Sequence

from latency_models.plain_graph import Node, Shape

Order = list[tuple[int, int]]
"""Sizes and strides, slowest first; the number next to each other in both orders have stride 1."""


def kind_of(chain: Sequence[Node]) -> str:
    """What `chain` does: nothing (""), "Shuffle" whole channels, change the "Layout" of an image, or "Copy" in some other way."""
    shape = chain[0].in_shapes[0]
    assert shape is not None
    order = _order(chain, shape)
    if order is None:
        return "Copy"
    if len(order) <= 1:
        return ""
    if len(shape) == 4 and _keeps_pixels(order, shape, chain[0].channels_last):
        return "Shuffle"
    return "Layout" if len(order) == 2 and order[0][1] == 1 and order[1][1] == order[0][0] else "Copy"


def _order(chain: Sequence[Node], shape: Shape) -> Order | None:
    """The order after `chain`; None where what a reshape cuts across was moved apart, even if a later one puts it back."""
    order = [(math.prod(shape), 1)]
    for node in chain:
        before = node.in_shapes[0]
        if node.type != "Transpose":
            continue
        assert before is not None
        turned = [axis for axis in node.attributes.get("perm") or reversed(range(len(before))) if before[axis] > 1]
        if turned == sorted(turned):
            continue
        axes = _split(order, before)
        if axes is None:
            return None
        order = _merged([pair for axis in turned for pair in axes[axis]])
    return order


def _split(order: Order, shape: Shape) -> list[Order] | None:
    """`order` cut into the axes of `shape`; None where the cut would go through a pair that does not divide."""
    rest, axes = list(reversed(order)), []
    for size in shape:
        axis: Order = []
        while size > 1:
            inner, stride = rest.pop()
            taken = math.gcd(size, inner)
            if taken < min(size, inner):
                return None
            if taken < inner:
                rest.append((inner // taken, stride))
            axis.append((taken, stride * (inner // taken)))
            size //= taken
        axes.append(axis)
    return axes


def _merged(order: Order) -> Order:
    """`order` with neighbours that lie one after the other as one, and without sizes of 1."""
    found: Order = []
    for size, stride in order:
        if found and found[-1][1] == size * stride:
            found[-1] = (found[-1][0] * size, stride)
        elif size > 1:
            found.append((size, stride))
    return found


def _keeps_pixels(order: Order, shape: Shape, channels_last: bool) -> bool:
    """Whether `order`, of an image of `shape`, moves whole channels and no pixel within them."""
    if not channels_last:
        pixels = shape[2] * shape[3]
        size, stride = order[-1]
        return pixels == 1 or (stride == 1 and size % pixels == 0)
    pixels, channels = math.prod(shape[:3]), shape[3]
    size, stride = order[0]
    return pixels == 1 or (size % pixels == 0 and stride * (size // pixels) == channels)
