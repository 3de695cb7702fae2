"""What the networks of a joint space cost on a device: each at the prices of its own precision, pruned as its genes say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_models import pricing
from latency_models.extremes import fastest, slowest
from nas import feasibility, footprint, landscapes
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.errors import InfeasibleBudgetError
from nas.core.landscape import Genes, Landscape, Mask, Prices
from nas.core.latency import Interval, LatencyModel, estimate
from nas.core.objectives import Objectives
from nas.core.space import SearchSpace
from nas.core.units import format_latency
from nas.joint_space import JointSpace
from nas.landscapes import CostTable


@dataclass(frozen=True, slots=True)
class _Version:
    """One combination of precision and share of hidden channels, the genes `pair`: `space` is what pruning leaves of all networks."""

    name: str
    pair: tuple[int, int]
    space: SearchSpace
    model: LatencyModel
    power_w: float | None

    def costs(self, channels: int, classes: int) -> CostTable:
        return CostTable.of(self.space, self.model, channels, classes, self.power_w)


@dataclass(frozen=True, slots=True, eq=False)
class JointPrices:
    """Prices of the networks of `space`; `models` and `power_w` (watts that were measured, or None) are of its precisions, in order."""

    space: JointSpace
    models: tuple[LatencyModel, ...]
    power_w: tuple[float | None, ...]

    def price(self, architecture: Architecture, channels: int, classes: int, timed: Interval | None = None) -> Costs:
        """What `architecture` costs, at its precision; `timed` is its latency where that is known."""
        network, model = self.space.network(architecture, channels, classes), self.model(architecture)
        latency = timed or estimate(model, network).total
        return footprint.costs(network, latency, model.target.precision, self.power_w[architecture.genes[-2]])

    def model(self, architecture: Architecture) -> LatencyModel:
        """What prices `architecture`: the model of its precision."""
        return self.models[architecture.genes[-2]]

    def latencies(self, genes: Genes, channels: int, classes: int) -> pricing.Prices:
        """Latencies of the architectures with `genes` (n, genes), in canonical form, as the models predict them."""
        found = np.empty((4, len(genes)))
        for one in self._versions():
            rows = (genes[:, -2:] == one.pair).all(axis=1)
            priced = one.costs(channels, classes).latency.price(genes[rows, :-2])
            found[:, rows] = priced.ms, priced.low_ms, priced.high_ms, priced.coverage
        return pricing.Prices(*found)

    def landscape(
        self, budget: Budget, channels: int, classes: int, objectives: Objectives, timed: Mapping[Architecture, Interval] | None = None
    ) -> Landscape:
        """The landscape of all networks: what `price` says of one, for many at once; those in `timed` take what they took."""
        given, parts = (budget, channels, classes, objectives), []
        for one in self._versions():
            own = {known.genes[:-2]: latency for known, latency in (timed or {}).items() if known.genes[-2:] == one.pair}
            parts.append(landscapes.of_space(one.costs(channels, classes).knowing(own), one.model, *given))
        return _joined(self.space, parts, objectives)

    def check(self, budget: Budget, channels: int, classes: int) -> tuple[str, ...]:
        """Sentences that the user must know about the budget: what limits nothing, whatever precision and pruning.

        Raises:
            InfeasibleBudgetError: no network is within the budget in any precision, however pruned; says what is the fastest of all.
        """
        versions = list(self._versions())
        found: list[tuple[str, ...]] = []
        errors: list[tuple[float, str]] = []
        for one in versions:
            try:
                found.append(feasibility.check(one.space, one.model, budget, channels, classes, one.power_w))
            except InfeasibleBudgetError as error:
                errors.append((fastest(one.space, one.model, channels, classes)[1].total.high_ms, f"{one.name}: {error}"))
        if not found:
            raise InfeasibleBudgetError(f"{min(errors)[1]} (the fastest of the {len(versions)} combinations of precision and pruning)")
        if errors:
            return ()
        slow = [slowest(one.space, one.model, channels, classes)[1].total.high_ms for one in versions]
        limited = [{_about(sentence) for sentence in sentences} for sentences in found]
        return tuple(sentence for sentence in found[int(np.argmax(slow))] if all(_about(sentence) in others for others in limited))

    def overview(self, budget: Budget, channels: int, classes: int) -> tuple[str, ...]:
        """Lines that say what each combination costs and how much of it is within the budget, before anything is trained."""
        versions = list(self._versions())
        device, count = self.models[0].target.device, self.space.size
        said = [f"{self.space.name} on {device}, {count:,} networks in {len(versions)} combinations; latencies at their upper bound:"]
        for one in versions:
            found = landscapes.survey(one.costs(channels, classes), budget)
            times = (fastest(one.space, one.model, channels, classes)[1], slowest(one.space, one.model, channels, classes)[1])
            low, high = (format_latency(end.total.high_ms) for end in times)
            middle = format_latency(found.ranges["latency"].median)
            said.append(f"  {one.name}: {low} to {high}, median {middle}; {found.share:.1%} of those drawn at random within {budget}")
        return tuple(said)

    def _versions(self) -> Iterator[_Version]:
        """Every combination, in the order of the genes: precision, then share."""
        for row, (precision, model, watts) in enumerate(zip(self.space.precisions, self.models, self.power_w, strict=True)):
            for column, (keep, space) in enumerate(zip(self.space.keeps, self.space.spaces, strict=True)):
                name = precision if keep == 1.0 else f"{precision}, {keep:g} of hidden channels"
                yield _Version(name, (row, column), space, model, watts)


def _about(sentence: str) -> str:
    """The limit that a remark of `nas.feasibility` is about."""
    return sentence.partition(" limits nothing")[0]


def _joined(space: JointSpace, parts: list[Landscape], objectives: Objectives) -> Landscape:
    """One landscape of those of all combinations, which stand in the order of the genes."""
    shares = len(space.keeps)
    pairs = np.array([divmod(number, shares) for number in range(len(parts))], dtype=np.int32)

    def legal(genes: NDArray[np.integer[Any]]) -> Mask:
        return np.ones(len(genes), dtype=np.bool_)

    def draw(count: int, rng: np.random.Generator) -> Genes:
        plain = parts[0].draw(count, rng)
        return space.canonical(np.concatenate([plain, pairs[rng.integers(len(pairs), size=len(plain))]], axis=1))

    def price(genes: Genes) -> Prices:
        group = genes[:, -2] * shares + genes[:, -1]
        costs, overrun = np.empty((len(genes), len(objectives.costs))), np.empty(len(genes))
        for number in np.unique(group):
            rows = group == number
            found = parts[number].price(genes[rows, :-2])
            costs[rows], overrun[rows] = found.costs, found.overrun
        return Prices(costs, overrun)

    starts = np.concatenate([_with(part.starts, pair) for part, pair in zip(parts, pairs, strict=True)])
    return Landscape(
        tuple(gene.name for gene in space.genes),
        tuple(gene.options for gene in space.genes),
        space.size,
        _everything(space, parts[0].everything, pairs),
        legal,
        space.canonical,
        draw,
        price,
        np.unique(space.canonical(starts), axis=0),
        objectives,
    )


def _everything(space: JointSpace, plain: Genes | None, pairs: Genes) -> Genes | None:
    """All architectures where they are few; `plain` are those of the space, if these are few."""
    if plain is None or len(plain) * len(pairs) > landscapes.ENUMERATED:
        return None
    return np.unique(space.canonical(np.concatenate([_with(plain, pair) for pair in pairs])), axis=0)


def _with(genes: Genes, pair: Genes) -> Genes:
    """`genes` (n, genes of the space) with the genes of one combination behind them."""
    return np.concatenate([genes, np.broadcast_to(pair, (len(genes), 2))], axis=1).astype(np.int32)
