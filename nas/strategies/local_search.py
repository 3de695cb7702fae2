"""Local search on a front (Paquete et al. 2004): one gene of a network that nobody beats yet is changed.

White et al. 2021 find that local search alone is a strong baseline where evaluations are not noisy. Members of the front whose
neighbours were looked at least go first, so every one of them is searched around in the end; then it goes on two genes away.
"""

from collections import Counter

import numpy as np

from nas.core.landscape import Genes, Landscape
from nas.strategies.history import History
from nas.strategies.improvement import leaders
from nas.strategies.moves import anything, lawful, mutated, unseen
from nas.strategies.sampling import Propose, proposing

FIRST = 8
"""Proposals to begin with: the starts, then at random."""
TRIED = 64
"""Neighbours of one architecture that are looked at."""


def _local_search(landscape: Landscape, seed: int) -> Propose:
    def propose(history: History, rng: np.random.Generator) -> Genes:
        if len(history.genes) < FIRST:
            new = landscape.starts[unseen(landscape.starts, history.seen)]
            return new[0] if len(new) else anything(landscape, rng)
        looked_at = Counter({int(one): int(((history.genes != history.genes[one]).sum(axis=1) == 1).sum()) for one in leaders(history)})
        for changes in (1, 2):
            for one, _ in reversed(looked_at.most_common()):
                around = mutated(np.repeat(history.genes[one : one + 1], TRIED, axis=0), landscape.options, np.full(TRIED, changes), rng)
                around = lawful(landscape, around)
                around = around[unseen(around, history.seen)]
                around = around[landscape.price(around).feasible] if len(around) else around
                if len(around):
                    return around[rng.integers(len(around))]
        return anything(landscape, rng)

    return propose


PLUGIN = proposing(_local_search)
