"""Gaussian processes over accuracy and costs, Optuna's, that choose among architectures within the budget.

Optuna fits a process to each objective and says what hypervolume an architecture is expected to add. Where that is most is looked
for here, among architectures that are legal, new and within the budget, of which Optuna's own search knows nothing. A fit costs
the third power of what it is fitted to, and takes half a second for a hundred evaluations: so one fit is for a batch of proposals
that differ in what they cost (`plan.py`), and in a long search it is to the front and to others drawn at random.

It still treats genes as numbers, and a known latency as something to be learnt.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import GPSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial
from threadpoolctl import threadpool_limits

from nas.core.landscape import Floats, Genes, Landscape
from nas.strategies.history import History, key
from nas.strategies.improvement import leaders
from nas.strategies.moves import feasible, lawful, mutated, spanned, unseen
from nas.strategies.plan import START, Planner, batch
from nas.strategies.sampling import Propose, distributions, parameters, proposing

FITTED = 256
"""Evaluations that a process is fitted to at most."""
DRAWN, NEAR, PARENTS, ROUNDS = 512, 256, 16, 3
"""Candidates at random; in each round neighbours of the best so far, and of how many of them."""


class _Gp(GPSampler):
    """Optuna's, of which only the fit and the expected gain are wanted."""

    def __init__(self, landscape: Landscape, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(seed=seed, n_startup_trials=1)
        self._landscape = landscape
        self._options = np.array(landscape.options)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The genes that have options, in their order."""
        return {name: one for name, one in distributions(self._landscape).items() if not one.single()}

    def _optimize_acqf(self, acqf: Any, best_params: Any) -> np.ndarray:
        """Here Optuna looks for the best, and lets others look. Whole numbers are the middles of equal parts of 0 to 1."""
        free = self._options > 1
        self.gain: Callable[[Genes], Floats] = lambda genes: acqf.eval_acqf_no_grad((genes[:, free] + 0.5) / self._options[free])
        return np.full(int(free.sum()), 0.5)


def _expected(landscape: Landscape, history: History, rng: np.random.Generator) -> Callable[[Genes], Floats]:
    """The logarithm of the hypervolume that architectures (n, genes) are expected to add, (n,)."""
    chosen = np.flatnonzero(history.within)
    if len(chosen) > FITTED:
        front = leaders(history)
        chosen = np.concatenate([front, rng.permutation(np.setdiff1d(chosen, front))])[:FITTED]
    sampler, space = _Gp(landscape, int(rng.integers(2**31))), distributions(landscape)
    directions = [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * history.costs.shape[1]
    study = optuna.create_study(directions=directions, sampler=sampler)
    for genes, accuracy, costs in zip(history.genes[chosen], history.accuracy[chosen], history.costs[chosen], strict=True):
        study.add_trial(create_trial(params=parameters(landscape, genes), distributions=space, values=[accuracy, *costs]))
    study.ask(space)
    return sampler.gain


def _order(landscape: Landscape, history: History, rng: np.random.Generator) -> Iterator[Genes]:
    """Candidates, the best first; of as many as one plan is for, no two cost about the same."""
    if np.count_nonzero(history.within) < START:
        return
    leading, known = history.genes[leaders(history)], {key(genes) for genes in history.genes}
    with threadpool_limits(limits=1):  # small matrices: on processors that evaluate meanwhile, threads wait for each other
        pool, costs, gain = _best(landscape, leading, known, _expected(landscape, history, rng), rng)
    if not len(pool):
        return
    order = np.argsort(-gain, kind="stable")
    places = np.stack([spanned(np.log(column)) for column in costs[order].T], axis=1)
    first: list[int] = []
    for one in range(len(order)):
        if np.abs(places[first] - places[one]).max(axis=1).min(initial=1.0) > 0.5 / batch(len(history.genes)):
            first.append(one)
    yield from pool[order[first]]
    yield from pool[np.delete(order, first)]


def _best(
    landscape: Landscape, leading: Genes, known: set[bytes], gain_of: Callable[[Genes], Floats], rng: np.random.Generator
) -> tuple[Genes, Floats, Floats]:
    """New architectures within the budget, (n, genes), what they cost, (n, k), and their expected gain: at random, then near the best."""
    pool, costs, gain = np.empty((0, len(landscape.options)), dtype=np.int32), np.empty((0, len(landscape.objectives.costs))), np.empty(0)
    around, others = leading, feasible(landscape, DRAWN, rng)[:DRAWN]
    for _ in range(1 + ROUNDS):
        near = mutated(around[rng.integers(len(around), size=NEAR)], landscape.options, rng.integers(1, 3, size=NEAR), rng)
        found = lawful(landscape, np.concatenate([near, others]))
        found = found[unseen(found, known)]
        prices = landscape.price(found)
        found, found_costs = found[prices.feasible], prices.costs[prices.feasible]
        if len(found):
            known.update(key(genes) for genes in found)
            pool, costs, gain = np.concatenate([pool, found]), np.concatenate([costs, found_costs]), np.concatenate([gain, gain_of(found)])
            around = pool[np.argsort(-gain, kind="stable")[:PARENTS]]
        others = pool[:0]
    return pool, costs, gain


def _processes(landscape: Landscape, seed: int) -> Propose:
    return Planner(landscape, seed, partial(_order, landscape))


PLUGIN = proposing(_processes)
