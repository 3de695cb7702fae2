"""A search space on a device as strategies see it, and what there is to say of its costs before anything is trained.

All costs come from arrays that genes index (`latency_models.pricing`), so a strategy may look at a hundred thousand architectures
for each that it proposes.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_models.extremes import fastest
from latency_models.pricing import GeneTable, PriceTable, canonical, sample
from nas import footprint
from nas.core.budget import Budget
from nas.core.landscape import Floats, Genes, Landscape, Mask, Prices
from nas.core.latency import LatencyModel
from nas.core.space import SearchSpace

ENUMERATED = 20_000
"""Architectures up to which a space is listed whole."""


@dataclass(frozen=True, slots=True, eq=False)
class CostTable:
    """Costs of any architecture of a space on a device: what `nas.footprint.costs` says of each, for many at once."""

    space: SearchSpace
    latency: PriceTable
    size_mb: GeneTable
    memory_mb: GeneTable
    power_w: float | None

    @classmethod
    def of(cls, space: SearchSpace, model: LatencyModel, in_channels: int, classes: int, power_w: float | None) -> "CostTable":
        """The costs of networks of `space` on images of `in_channels` and with `classes` outputs.

        Raises:
            DeviceError: the model has no price for a block of the space.
        """
        precision = model.target.precision
        byte = footprint.bytes_of(precision)
        return cls(
            space,
            PriceTable.of(space, model, in_channels, classes),
            GeneTable.of(space, lambda block: footprint.block_bytes(block, precision) / 1e6, "sum", in_channels, classes),
            GeneTable.of(space, lambda block: footprint.block_elements(block) * byte / 1e6, "max", in_channels, classes),
            power_w,
        )

    def bounds(self, genes: Genes, metrics: Mapping[str, float]) -> dict[str, Floats]:
        """What limits on `metrics` are compared with, (n,) of each; energy is left out where no power was measured."""
        return self._bounds(self.latency.price(genes).high_ms, genes, metrics)

    def price(self, genes: Genes, budget: Budget) -> Prices:
        """Expected latencies and overruns of `budget`."""
        limits, latency = budget.limits, self.latency.price(genes)
        bounds = self._bounds(latency.high_ms, genes, limits)
        overruns = [bounds[metric] / limit - 1.0 for metric, limit in limits.items() if metric in bounds]
        return Prices(latency.ms, np.max(overruns, axis=0))

    def _bounds(self, high_ms: Floats, genes: Genes, metrics: Mapping[str, float]) -> dict[str, Floats]:
        found = {"latency": high_ms}
        if "size" in metrics:
            found["size"] = self.size_mb.values(genes)
        if "memory" in metrics:
            found["memory"] = self.memory_mb.values(genes)
        if "energy" in metrics and self.power_w is not None:
            found["energy"] = self.power_w * high_ms
        return found


def of_space(costs: CostTable, model: LatencyModel, budget: Budget, in_channels: int, classes: int) -> Landscape:
    """The landscape of all architectures of a space under `budget`."""
    space = costs.space

    def nearest(genes: NDArray[np.integer[Any]]) -> Genes:
        return canonical(space, np.array(genes, dtype=np.int32))

    def legal(genes: NDArray[np.integer[Any]]) -> Mask:
        return np.ones(len(genes), dtype=np.bool_)

    def draw(count: int, rng: np.random.Generator) -> Genes:
        return sample(space, count, rng).astype(np.int32)

    def price(genes: Genes) -> Prices:
        return costs.price(genes, budget)

    starts = [fastest(space, model, in_channels, classes)[0], space.smallest(), space.largest()]
    return Landscape(
        tuple(gene.name for gene in space.genes),
        tuple(gene.options for gene in space.genes),
        space.size,
        _everything(space) if space.size <= ENUMERATED else None,
        legal,
        nearest,
        draw,
        price,
        np.unique(np.array([architecture.genes for architecture in starts], dtype=np.int32), axis=0),
    )


def _everything(space: SearchSpace) -> Genes:
    """All architectures of a small space."""
    parts = [np.arange(len(space.resolutions))[:, None]]
    for stage in space.stages:
        rows = []
        for (depth, layers), width in itertools.product(enumerate(stage.depths), range(len(stage.widths))):
            unused = (0,) * (max(stage.depths) - layers)
            rows += [(depth, width, *chosen, *unused) for chosen in itertools.product(range(len(stage.choices)), repeat=layers)]
        parts.append(np.array(rows))
    found = parts[0]
    for part in parts[1:]:
        found = np.concatenate([np.repeat(found, len(part), axis=0), np.tile(part, (len(found), 1))], axis=1)
    return found.astype(np.int32)


METRICS = ("latency", "size", "memory", "energy")
"""What a budget may limit: milliseconds and millijoules at their upper bounds, megabytes."""

DRAWS = 20_000
"""Architectures at random from which medians and shares are estimated."""


@dataclass(frozen=True, slots=True)
class Range:
    """Smallest, median and largest value of a metric over a space; the median is of architectures drawn at random."""

    least: float
    median: float
    most: float


@dataclass(frozen=True, slots=True)
class Survey:
    """What a space costs on a device, in the units of limits, before anything is trained.

    `share` of the architectures drawn at random are within the budget, `shares` within each of its limits; `binding` is
    the limit that the fewest are within.
    """

    ranges: Mapping[str, Range]
    share: float
    shares: Mapping[str, float]
    binding: str
    draws: int


def survey(costs: CostTable, budget: Budget, seed: int = 0) -> Survey:
    """Medians and shares of `DRAWS` architectures drawn at random, and least and most among these; see `nas.feasibility` for exact ones."""
    genes = sample(costs.space, DRAWS, np.random.default_rng(seed)).astype(np.int32)
    bounds = costs.bounds(genes, dict.fromkeys(METRICS, 0.0))
    ranges = {metric: Range(float(found.min()), float(np.median(found)), float(found.max())) for metric, found in bounds.items()}
    within = {metric: bounds[metric] <= limit for metric, limit in budget.limits.items() if metric in bounds}
    shares = {metric: float(mask.mean()) for metric, mask in within.items()}
    share = float(np.logical_and.reduce(list(within.values())).mean())
    return Survey(ranges, share, shares, min(shares, key=lambda metric: shares[metric]), DRAWS)
