"""Searches a model of the accuracy, not the architectures themselves: the default.

A few architectures are evaluated over the whole range of latencies. A predictor with uncertainty (`nas.accuracy.predictor`) is
fitted to them; an evolutionary search over architectures that are priced by the latency table (of a table all rows that resemble
the front, and others) looks for those that are expected to add most to the front (expected hypervolume improvement, exact since
the latency is known; with more than one cost its volumes are counted by points), and the best batch of them is proposed, each
chosen as if those before it had turned out as predicted. Then all over again; `plan.py` says when.

Sources: Jones et al. 1998 (expected improvement), Emmerich et al. 2006 (hypervolume), Ginsbourger et al. 2010 (batches).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nas.core.landscape import Floats, Genes, Landscape
from nas.core.pareto import non_dominated
from nas.strategies.history import History, key
from nas.strategies.improvement import Volumes, best_so_far, expected, leaders
from nas.strategies.moves import crossed, distinct, feasible, lawful, mutated, unseen
from nas.strategies.plan import Planner
from nas.strategies.sampling import Propose, proposing

ENUMERATED = 20_000
"""Architectures up to which all are predicted. Of larger tables so many rows are, anew at each look; where there is no list of
all, an evolution looks at `GENERATIONS` times `CHILDREN`."""
GENERATIONS, CHILDREN, PARENTS = 4, 1024, 192
LEADING = 24
"""Architectures of the front whose neighbourhood is looked for in a larger table, at most."""
SHORTLIST = 512
"""Candidates among which proposals are chosen one by one."""
OPTIONS = 32
"""Options of a gene that the predictor tells apart; of more, neighbours are taken together."""
BEYOND = 0.1
"""How far the area that counts goes beyond the slowest architecture, as a share of the range of latencies, and so for every cost."""

Front = tuple[Floats, Floats]
"""Accuracies (m,) and costs (m, k) of what nobody beats."""


@dataclass(frozen=True, slots=True, eq=False)
class _Goal:
    """What is expected of candidates, given the evaluations so far."""

    predict: "_Predict"
    front: Front
    floor: float
    low: Floats
    end: Floats

    def gain(self, genes: Genes, costs: Floats) -> Floats:
        """Expected gain (n,) of `genes` (n, genes)."""
        mean, std = self.predict(genes)
        return self.expected(mean, std, costs, self.front)

    def expected(self, mean: Floats, std: Floats, costs: Floats, front: Front) -> Floats:
        """Expected gain (n,) of candidates of which accuracies are predicted and costs (n, k) known."""
        if len(self.end) == 1:
            return expected(mean, std, costs[:, 0], (front[0], front[1][:, 0]), self.floor, float(self.end[0]))
        return Volumes(self.low, self.end).expected(mean, std, costs, front, self.floor)


class _Predict:
    """Accuracy and its deviation from genes, of which those with very many options are coarsened."""

    def __init__(self, history: History, options: tuple[int, ...], seed: int) -> None:
        from nas.accuracy.predictor import fit

        self._options = np.array(options)
        kept = np.minimum(self._options, OPTIONS)
        self._kept = kept
        self._predictor = fit(self._coarse(history.genes), tuple(int(count) for count in kept), history.accuracy, seed)

    def _coarse(self, genes: Genes) -> Genes:
        return genes * self._kept // self._options

    def __call__(self, genes: Genes) -> tuple[Floats, Floats]:
        mean, std = self._predictor.predict(self._coarse(genes))
        return np.asarray(mean, dtype=np.float64), np.maximum(np.asarray(std, dtype=np.float64), 1e-12)


class _PredictorGuided:
    """Makes the plans."""

    def __init__(self, landscape: Landscape, seed: int) -> None:
        self._landscape, self._seed = landscape, seed

    def __call__(self, history: History, rng: np.random.Generator) -> Iterator[Genes]:
        """The plan for what was evaluated."""
        known = {key(genes) for genes in history.genes}
        pool, costs = self._candidates(history, rng)
        own = history.costs[history.within]
        everything = np.concatenate([costs, own])
        low, high = everything.min(axis=0), everything.max(axis=0)
        predict = _Predict(history, self._landscape.options, self._seed)
        front = ahead(history.accuracy[history.within], own)
        goal = _Goal(predict, front, float(history.accuracy.min()), low, high + BEYOND * (high - low) + 1e-9)
        if self._landscape.everything is None:
            pool, costs = evolved(self._landscape, pool, costs, goal, rng)
        fresh = unseen(pool, known)
        yield from best_first(pool[fresh], costs[fresh], goal)

    def _candidates(self, history: History, rng: np.random.Generator) -> tuple[Genes, Floats]:
        """Architectures within the budget to begin with, and their costs."""
        whole = self._landscape.everything
        if whole is not None:
            pool = whole if len(whole) <= ENUMERATED else near(whole, history.genes[leaders(history)], ENUMERATED, rng)
        else:
            drawn = feasible(self._landscape, CHILDREN, rng)
            pool = lawful(self._landscape, np.concatenate([history.genes[-4 * PARENTS :], history.genes[leaders(history)], drawn]))
        prices = self._landscape.price(pool)
        fits = prices.feasible if prices.feasible.any() else np.ones(len(pool), dtype=np.bool_)
        return pool[fits], prices.costs[fits]


def near(whole: Genes, leading: Genes, count: int, rng: np.random.Generator) -> Genes:
    """About `count` of `whole` (n, genes): half differ in the fewest genes from one of `leading` (m, genes), the others are any."""
    alike, columns = np.zeros(len(whole), dtype=np.uint16), np.ascontiguousarray(whole.T)
    for one in leading[rng.permutation(len(leading))[:LEADING]]:
        np.maximum(alike, sum((column == option).astype(np.uint16) for column, option in zip(columns, one, strict=True)), out=alike)
    rank = alike + rng.random(len(whole))
    closest = np.argpartition(rank, len(whole) - count // 2)[len(whole) - count // 2 :]
    return whole[np.union1d(closest, rng.integers(len(whole), size=count // 2))]


def ahead(accuracy: Floats, costs: Floats) -> Front:
    """What is known (n,) and (n, k) as a front."""
    if costs.shape[1] > 1:
        kept = non_dominated(np.column_stack([-accuracy, costs]))
        return accuracy[kept], costs[kept]
    rising, first = best_so_far(accuracy, costs[:, 0])
    return rising, first[:, None]


def evolved(landscape: Landscape, pool: Genes, costs: Floats, goal: _Goal, rng: np.random.Generator) -> tuple[Genes, Floats]:
    """The candidates of most expected gain that an evolution from `pool` finds, and their costs."""
    gain = goal.gain(pool, costs)
    for _ in range(GENERATIONS):
        parents = pool[_best_of_all_costs(gain, costs, PARENTS)]
        first, second = (parents[rng.integers(len(parents), size=CHILDREN)] for _ in range(2))
        mixed = np.where(rng.random(CHILDREN)[:, None] < 0.5, crossed(first, second, rng), first)
        changes = rng.integers(1, 4, size=CHILDREN)
        children = lawful(landscape, np.concatenate([mutated(mixed, landscape.options, changes, rng), landscape.draw(CHILDREN // 8, rng)]))
        prices = landscape.price(children)
        fits = prices.feasible
        if not fits.any():
            continue
        children, found = children[fits], prices.costs[fits]
        pool, costs = np.concatenate([pool, children]), np.concatenate([costs, found])
        gain = np.concatenate([gain, goal.gain(children, found)])
        once = distinct(pool)
        kept = once[_best_of_all_costs(gain[once], costs[once], 4 * PARENTS)]
        pool, costs, gain = pool[kept], costs[kept], gain[kept]
    return pool, costs


def _best_of_all_costs(gain: Floats, costs: Floats, count: int) -> np.ndarray:
    """Indices of `count` candidates: half of them the best of all, the others the best of each eighth by latency, or by each cost."""
    order = np.argsort(-gain, kind="stable")
    octiles = [part for cost in costs.T for part in np.array_split(np.argsort(cost, kind="stable"), 8)]
    spread = [part[np.argsort(-gain[part], kind="stable")[: count // (16 * costs.shape[1])]] for part in octiles]
    return np.unique(np.concatenate([order[: count // 2], *spread]))


def best_first(pool: Genes, costs: Floats, goal: _Goal) -> Iterator[Genes]:
    """The candidates, the best first, each chosen as if those before it had turned out as predicted."""
    gain = goal.gain(pool, costs)
    short = np.argsort(-gain, kind="stable")[:SHORTLIST]
    pool, costs = pool[short], costs[short]
    mean, std = goal.predict(pool)
    accuracy, reached = goal.front
    gain, left = gain[short], np.ones(len(pool), dtype=np.bool_)
    while left.any():
        best = int(np.where(left, gain, -1.0).argmax())
        left[best] = False
        yield pool[best]
        accuracy, reached = ahead(np.append(accuracy, mean[best]), np.concatenate([reached, costs[best : best + 1]]))
        gain = goal.expected(mean, std, costs, (accuracy, reached))


def _propose(landscape: Landscape, seed: int) -> Propose:
    return Planner(landscape, seed, _PredictorGuided(landscape, seed))


PLUGIN = proposing(_propose)
