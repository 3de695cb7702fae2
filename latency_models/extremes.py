"""The fastest, slowest or smallest network of a space, exactly and without sampling: stages can be solved in turn.

Holds for every cost of blocks that a network adds up (latency, size) or takes the largest of (peak memory). Resolution and
the width after a stage are all that the rest of a network depends on, so the best beginning for each of them is enough.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from latency_models.pricing import BlockValues, Combine, Floats, way
from nas.core.architecture import Architecture
from nas.core.latency import LatencyEstimate, LatencyModel, estimate
from nas.core.network import BlockSpec
from nas.core.space import SearchSpace

Cost = Callable[[BlockSpec], float]


def fastest(space: SearchSpace, model: LatencyModel, in_channels: int, classes: int) -> tuple[Architecture, LatencyEstimate]:
    """The network of `space` with the least upper bound of its latency, and that latency.

    Exact, but for a model with a cache (`Spill`) where the network that is fastest if weights cost nothing exceeds the cache and
    the one that is fastest if all of them cost does not fill it. Then it is the best of the networks that are fastest at some
    cost of weights between those: the least is at most as far below it as their Lagrangian bound.
    """
    price = _Bound(space, model, in_channels, classes)
    per_mb, cached_mb = price.per_mb, model.spill.cached_mb
    free = price.extreme(0.0, np.argmin)
    if not per_mb or price.weights_mb(free) <= cached_mb:
        return free, price.of(free)
    paid = price.extreme(per_mb, np.argmin)
    found = [free, paid]
    while price.weights_mb(paid) < cached_mb:
        # at this cost of weights the network beyond the cache and the one within it are equally fast
        cost = (price.blocks_ms(paid) - price.blocks_ms(free)) / (price.weights_mb(free) - price.weights_mb(paid))
        between = price.extreme(cost, np.argmin)
        if between in found:
            break
        found.append(between)
        free, paid = (between, paid) if price.weights_mb(between) > cached_mb else (free, between)
    best = min(found, key=lambda one: price.of(one).total.high_ms)
    return best, price.of(best)


def slowest(space: SearchSpace, model: LatencyModel, in_channels: int, classes: int) -> tuple[Architecture, LatencyEstimate]:
    """The network of `space` with the greatest upper bound of its latency, and that latency; exact."""
    price = _Bound(space, model, in_channels, classes)
    # the slower of two: weights beyond the cache cost what all weights do, less a constant, or nothing
    found = max((price.extreme(cost, np.argmax) for cost in {0.0, price.per_mb}), key=lambda one: price.of(one).total.high_ms)
    return found, price.of(found)


class _Bound:
    """Upper bounds of the latencies of one space's networks."""

    def __init__(self, space: SearchSpace, model: LatencyModel, in_channels: int, classes: int) -> None:
        self.per_mb = model.spill.per_mb.high_ms
        self._space, self._model, self._size = space, model, (in_channels, classes)
        self._values = BlockValues.of(space, self._block, "sum", in_channels, classes)

    def extreme(self, ms_per_mb: float, pick: Callable[..., Any]) -> Architecture:
        """The network that `pick` picks if every megabyte of weights cost `ms_per_mb`."""
        return _optimum(self._space, self._values.weighted((1.0, ms_per_mb)), "sum", pick)

    def of(self, architecture: Architecture) -> LatencyEstimate:
        return estimate(self._model, self._space.network(architecture, *self._size))

    def blocks_ms(self, architecture: Architecture) -> float:
        return sum(self._block(block)[0] for block in self._space.network(architecture, *self._size).blocks)

    def weights_mb(self, architecture: Architecture) -> float:
        return sum(self._block(block)[1] for block in self._space.network(architecture, *self._size).blocks)

    def _block(self, block: BlockSpec) -> tuple[float, float]:
        price = self._model.block(block)
        return price.interval.high_ms, price.weights_mb


def least(space: SearchSpace, cost: Cost, combine: Combine, in_channels: int, classes: int) -> Architecture:
    """The network of `space` whose blocks' costs have the least sum ("sum") or the least maximum ("max").

    Of several the one with the first options, in this order: resolution, last width, then from the last stage to the first.

    Raises:
        NasError: whatever `cost` raises.
    """
    return _optimum(space, BlockValues.of(space, cost, combine, in_channels, classes), combine, np.argmin)


def greatest(space: SearchSpace, cost: Cost, combine: Combine, in_channels: int, classes: int) -> Architecture:
    """The network of `space` whose blocks' costs have the greatest sum ("sum") or the greatest maximum ("max"), as `least`."""
    return _optimum(space, BlockValues.of(space, cost, combine, in_channels, classes), combine, np.argmax)


def _optimum(space: SearchSpace, costs: BlockValues, combine: Combine, pick: Callable[..., Any]) -> Architecture:
    join, nothing = way(combine)
    best, ways = costs.stem[:, None], []  # of all beginnings: (resolutions, widths they end with)
    for stage, first, inner in zip(space.stages, costs.first, costs.inner, strict=True):
        layer0 = pick(first, axis=3)  # (resolutions, widths before, widths)
        started = join(best[:, :, None], _taken(first, layer0))
        later = pick(inner, axis=2) if inner.shape[2] else np.zeros(inner.shape[:2], dtype=np.intp)
        repeated = np.full((*inner.shape[:2], len(stage.depths)), nothing)  # (resolutions, widths, depths)
        for number, depth in enumerate(stage.depths):
            if depth > 1:
                repeated[:, :, number] = _taken(inner, later) * (depth - 1 if combine == "sum" else 1)
        whole = join(started.swapaxes(1, 2)[..., None], repeated[:, :, None, :])  # (resolutions, widths, widths before, depths)
        shape = whole.shape
        chosen = pick(whole.reshape(*shape[:2], -1), axis=2)
        best = _taken(whole.reshape(*shape[:2], -1), chosen)
        ways.append((chosen, shape[3], layer0, later))
    ends = join(best, costs.head)
    resolution, width = (int(index) for index in np.unravel_index(pick(ends), ends.shape))
    genes: list[int] = []
    for stage, (chosen, depths, layer0, later) in zip(reversed(space.stages), reversed(ways), strict=True):
        before, depth = divmod(int(chosen[resolution, width]), depths)
        inner_genes = [int(later[resolution, width])] * (max(stage.depths) - 1)
        genes = [depth, width, int(layer0[resolution, before, width]), *inner_genes, *genes]
        width = before
    return space.architecture([resolution, *genes])


def _taken(values: Floats, indices: Any) -> Floats:
    """`values[..., i]` with the `i` that `indices` gives for each place of the other axes."""
    return np.take_along_axis(values, indices[..., None], axis=-1)[..., 0]
