"""Regularized evolution (Real et al. 2019): the oldest of the population dies, whoever is fit. Of two objectives here.

The population are the last `POPULATION` evaluated. Each proposal is one mutation of the winner of a tournament, whose judge
weighs accuracy against the other objectives; weights change from proposal to proposal, so that the whole front is approached.
"""

import numpy as np

from nas.core.landscape import Genes, Landscape
from nas.strategies.history import History
from nas.strategies.moves import anything, mutated, spanned
from nas.strategies.sampling import Propose, proposing

POPULATION, TOURNAMENT = 50, 10
"""Real et al. take 100 and 25 for tens of thousands of evaluations."""
FIRST = 16
"""Proposals at random to begin with."""


def _evolution(landscape: Landscape, seed: int) -> Propose:
    def propose(history: History, rng: np.random.Generator) -> Genes:
        population = np.flatnonzero(history.within)[-POPULATION:]
        if len(population) < FIRST:
            return anything(landscape, rng)
        accuracy = spanned(history.accuracy[population])
        costs = np.stack([spanned(np.log(column)) for column in history.costs[population].T], axis=1)
        weight = rng.random()
        weights = weight * rng.dirichlet(np.ones(costs.shape[1])) if costs.shape[1] > 1 else np.array([weight])
        entered = rng.permutation(len(population))[:TOURNAMENT]
        winner = population[entered[int(np.argmax((1 - weight) * accuracy[entered] - costs[entered] @ weights))]]
        return mutated(history.genes[winner : winner + 1], landscape.options, np.ones(1), rng)[0]

    return propose


PLUGIN = proposing(_evolution)
