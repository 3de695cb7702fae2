"""Several proposals from one look at what is known: of strategies to which a look is dear.

A plan is made for the first 12, 16, 20, ... evaluations and follows from these and the run's seed, so that a search that goes
on makes the plan that it had. The longer a search, the larger its batches, so that the time for a proposal does not grow.
"""

from collections.abc import Callable, Container, Iterator

import numpy as np

from nas.core.landscape import Genes, Landscape
from nas.strategies.history import History, key
from nas.strategies.moves import anything, feasible, lawful

START = 12
"""Evaluations before the first look."""
BATCH, GROWTH = 4, 16
"""Proposals that one plan is for, at least, and evaluations for each that it is for at most."""

Order = Callable[[History, np.random.Generator], Iterator[Genes]]
"""From what is known to architectures (genes,) in the order in which to evaluate them, each looked for when it is asked for."""


class Planner:
    """Proposes from the plan for as many evaluations as there are."""

    def __init__(self, landscape: Landscape, seed: int, order: Order) -> None:
        self._landscape, self._seed, self._order = landscape, seed, order
        self._plan = _Plan(-1, iter(()))

    def __call__(self, history: History, rng: np.random.Generator) -> Genes:
        """The first of the plan that is new; where the plan is used up, anything within the budget."""
        count = planned(len(history.genes))
        if self._plan.evaluated != count:
            known, seeded = history.first(count), np.random.default_rng((self._seed, count))
            self._plan = _Plan(count, self._order(known, seeded) if count else iter(start(self._landscape, START, seeded)))
        found = self._plan.first_new(history.seen)
        return anything(self._landscape, rng) if found is None else found


class _Plan:
    """Architectures in the order in which to evaluate them."""

    def __init__(self, evaluated: int, order: Iterator[Genes]) -> None:
        self.evaluated = evaluated
        self._found: list[Genes] = []
        self._order = order

    def first_new(self, seen: Container[bytes]) -> Genes | None:
        """The first that is not in `seen`; None where the plan is used up."""
        for genes in self._found:
            if key(genes) not in seen:
                return genes
        for genes in self._order:
            self._found.append(genes)
            if key(genes) not in seen:
                return genes
        return None


def planned(evaluated: int) -> int:
    """The number of evaluations on which the plan for `evaluated` rests."""
    if evaluated < START:
        return 0
    at = START
    while (following := at + batch(at)) <= evaluated:
        at = following
    return at


def batch(evaluated: int) -> int:
    """Proposals that the plan for so many evaluations is for."""
    return max(BATCH, evaluated // GROWTH)


def start(landscape: Landscape, count: int, rng: np.random.Generator) -> Genes:
    """About `count` architectures to begin with: the ends, and others at even steps of the logarithm of each cost, unlike each other."""
    pool = lawful(landscape, np.concatenate([landscape.starts, feasible(landscape, 4096, rng)]))
    prices = landscape.price(pool)
    fits = prices.feasible if prices.feasible.any() else np.ones(len(pool), dtype=np.bool_)
    pool, places = pool[fits], np.log(prices.costs[fits]).T
    chosen = [int(end) for place in places for end in (place.argmin(), place.argmax())]
    near, between = max(8, len(pool) // 64), max(1, count // len(places) - 2)
    for place in places:
        for target in np.linspace(place.min(), place.max(), between + 2)[1:-1][rng.permutation(between)]:
            close = np.argsort(np.abs(place - target), kind="stable")[:near]
            unlike = (pool[close][:, None, :] != pool[chosen][None]).sum(axis=2).min(axis=1) + rng.random(len(close))
            chosen.append(int(close[unlike.argmax()]))
    return pool[list(dict.fromkeys(chosen))]
