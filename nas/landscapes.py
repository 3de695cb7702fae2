"""A search space on a device as strategies see it, and what there is to say of its costs before anything is trained.

All costs come from arrays that genes index (`latency_models.pricing`), so a strategy may look at a hundred thousand architectures
for each that it proposes.
"""

import itertools
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_models.extremes import fastest, greatest, least, slowest
from latency_models.pricing import GeneTable, PriceTable, canonical, sample
from latency_models.refitting import TimedPrices
from nas import footprint
from nas.core import objectives as core_objectives
from nas.core import survey as core_survey
from nas.core.budget import METRICS, Budget
from nas.core.errors import ObjectivesError
from nas.core.landscape import Floats, Genes, Landscape, Mask, Prices
from nas.core.latency import Interval, LatencyModel
from nas.core.objectives import Objectives
from nas.core.space import SearchSpace
from nas.core.survey import Range, Survey
from search_spaces.blocks import block_macs

ENUMERATED = 20_000
"""Architectures up to which a space is listed whole."""


@dataclass(frozen=True, slots=True, eq=False)
class CostTable:
    """Costs of any architecture of a space on a device: what `nas.footprint.costs` says of each, for many at once."""

    space: SearchSpace
    latency: PriceTable
    size_mb: GeneTable
    memory_mb: GeneTable
    macs: GeneTable
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
            GeneTable.of(space, block_macs, "sum", in_channels, classes),
            power_w,
        )

    def knowing(self, timed: Mapping[tuple[int, ...], Interval]) -> "CostTable":
        """These costs, but for the latencies of architectures that were timed; by their genes, in canonical form."""
        return replace(self, latency=TimedPrices.over(self.latency, timed)) if timed else self

    def bounds(self, genes: Genes, metrics: Container[str]) -> dict[str, Floats]:
        """What limits on `metrics` are compared with, (n,) of each; energy is left out where no power was measured."""
        return self._bounds(self.latency.price(genes).high_ms, genes, metrics)

    def price(self, genes: Genes, budget: Budget, objectives: Objectives = core_objectives.DEFAULT) -> Prices:
        """What is to be small of `objectives`, and overruns of `budget`.

        Raises:
            ObjectivesError: energy is to be small, and no power was measured.
        """
        limits, latency = budget.limits, self.latency.price(genes)
        bounds = self._bounds(latency.high_ms, genes, {*limits, *objectives.costs})
        overruns = [bounds[metric] / limit - 1.0 for metric, limit in limits.items() if metric in bounds]
        if "energy" in objectives.costs and self.power_w is None:
            raise ObjectivesError("energy is no objective where no power was measured: leave it out of --objectives")
        expected = {**bounds, "latency": latency.ms, "energy": (self.power_w or 0.0) * latency.ms}
        return Prices(np.stack([expected[name] for name in objectives.costs], axis=1), np.max(overruns, axis=0))

    def _bounds(self, high_ms: Floats, genes: Genes, metrics: Container[str]) -> dict[str, Floats]:
        found = {"latency": high_ms}
        for metric, table in (("size", self.size_mb), ("memory", self.memory_mb), ("macs", self.macs)):
            if metric in metrics:
                found[metric] = table.values(genes)
        if "energy" in metrics and self.power_w is not None:
            found["energy"] = self.power_w * high_ms
        return found


def of_space(
    costs: CostTable,
    model: LatencyModel,
    budget: Budget,
    in_channels: int,
    classes: int,
    objectives: Objectives = core_objectives.DEFAULT,
) -> Landscape:
    """The landscape of all architectures of a space under `budget`, for a search that is to better `objectives`."""
    space = costs.space

    def nearest(genes: NDArray[np.integer[Any]]) -> Genes:
        return canonical(space, np.array(genes, dtype=np.int32))

    def legal(genes: NDArray[np.integer[Any]]) -> Mask:
        return np.ones(len(genes), dtype=np.bool_)

    def draw(count: int, rng: np.random.Generator) -> Genes:
        return sample(space, count, rng).astype(np.int32)

    def price(genes: Genes) -> Prices:
        return costs.price(genes, budget, objectives)

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
        objectives,
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


DRAWS = 20_000
"""Architectures at random from which medians and shares are estimated."""


def survey(costs: CostTable, budget: Budget, seed: int = 0) -> Survey:
    """What `DRAWS` architectures drawn at random cost, least and most among these included; see `exact_survey` for those of all."""
    genes = sample(costs.space, DRAWS, np.random.default_rng(seed)).astype(np.int32)
    return core_survey.of(costs.bounds(genes, METRICS), budget, whole=False)


def exact_survey(costs: CostTable, model: LatencyModel, budget: Budget, in_channels: int, classes: int) -> Survey:
    """The same with the least and the most of all architectures (`latency_models.extremes`); medians and shares are of random ones."""
    found, ends = survey(costs, budget), _ends(costs, model, in_channels, classes)
    return replace(found, ranges={metric: Range(ends[metric][0], one.median, ends[metric][1]) for metric, one in found.ranges.items()})


def overview(costs: CostTable, model: LatencyModel, budget: Budget, in_channels: int, classes: int) -> tuple[str, ...]:
    """Lines that say before anything is trained what a space costs on a device and how much of it is within the budget."""
    found = exact_survey(costs, model, budget, in_channels, classes)
    return core_survey.lines(f"{costs.space.name} on {model.target.device}, {costs.space.size:,} networks", found, budget)


def _ends(costs: CostTable, model: LatencyModel, in_channels: int, classes: int) -> dict[str, tuple[float, float]]:
    """The least and the most of every metric that any architecture has, as limits on it are compared with."""
    space = costs.space
    quick, slow = (end(space, model, in_channels, classes)[1].total.high_ms for end in (fastest, slowest))
    found = {"latency": (quick, slow)}
    precision = model.target.precision
    byte = footprint.bytes_of(precision)
    for metric, table, value in (
        ("size", costs.size_mb, lambda block: footprint.block_bytes(block, precision) / 1e6),
        ("memory", costs.memory_mb, lambda block: footprint.block_elements(block) * byte / 1e6),
        ("macs", costs.macs, block_macs),
    ):
        ends = [end(space, value, table.combine, in_channels, classes).genes for end in (least, greatest)]
        low, high = table.values(np.array(ends))
        found[metric] = (float(low), float(high))
    if costs.power_w is not None:
        found["energy"] = (costs.power_w * quick, costs.power_w * slow)
    return found
