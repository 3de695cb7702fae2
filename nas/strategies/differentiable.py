"""Architecture parameters by gradient, with the costs in the loss (Wu et al. 2019, FBNet; Cai et al. 2019, ProxylessNAS).

What is differentiated is no network: FBNet sends gradients of a training loss through shared weights, this one sends those of
a surrogate, fitted to the evaluations so far, through the same relaxation (a softmax over the options of every gene). Accuracy
and logarithm of each cost are taken as sums over genes, those of costs fitted to prices of the latency table, so the gradient of what
is expected under the relaxation is exact. It shows what such a method finds, and where: it cannot see genes work together. Its use
is as a warm start, or beside better ones.

Each proposal minimises -accuracy + weight * cost for another weight (of each cost), by gradient descent with falling entropy, and
draws from the softmax that comes out.
"""

import numpy as np

from nas.core.landscape import Floats, Genes, Landscape
from nas.strategies.history import History
from nas.strategies.moves import anything, feasible, lawful, spanned, unseen
from nas.strategies.policy import Policy
from nas.strategies.sampling import Propose, proposing

FIRST = 12
"""Proposals at random to begin with."""
STEPS, RATE = 60, 1.0
"""Of gradient descent, whose entropy term falls from `WARM` to `COLD`."""
WARM, COLD = 0.3, 0.03
DRAWS = 32
"""Architectures drawn from the softmax, of which the first that is new and within the budget is proposed."""
RIDGE = 1.0
"""Strength of the penalty that keeps the surrogates' coefficients small."""


class _Differentiable:
    """Fits surrogates to what is known; those of costs once."""

    def __init__(self, landscape: Landscape, seed: int) -> None:
        self._landscape = landscape
        self._start = Policy.uniform(landscape.options)
        pool = np.concatenate([landscape.starts, feasible(landscape, 2048, np.random.default_rng(seed))])
        self._costs = [self._fitted(pool, spanned(np.log(column))) for column in landscape.price(pool).costs.T]

    def __call__(self, history: History, rng: np.random.Generator) -> Genes:
        if len(history.genes) < FIRST:
            return anything(self._landscape, rng)
        accuracy = self._fitted(history.genes, spanned(history.accuracy))
        weighted = [2.0 ** rng.uniform(-4.0, 2.0) * cost for cost in self._costs]
        policy = self._descended(np.sum(weighted, axis=0) - accuracy)
        drawn = policy.draw(DRAWS, rng)
        legal = lawful(self._landscape, drawn)
        new = legal[unseen(legal, history.seen)]
        new = new[self._landscape.price(new).feasible] if len(new) else new
        return new[rng.integers(len(new))] if len(new) else self._landscape.nearest(drawn[:1])[0]

    def _fitted(self, genes: Genes, values: Floats) -> Floats:
        """What each option adds to `values`: ridge regression, solved over whichever are fewer, options or architectures."""
        target = values - values.mean()
        if len(self._start.logits) <= len(genes):
            rows = self._start.chosen(genes)
            rows = rows - rows.mean(axis=0)
            return np.asarray(np.linalg.solve(rows.T @ rows + RIDGE * np.eye(rows.shape[1]), rows.T @ target))
        alike = np.sum([column[:, None] == column for column in genes.T], axis=0, dtype=np.float64)
        centred = alike - alike.mean(axis=0) - alike.mean(axis=1)[:, None] + alike.mean()
        shares = np.linalg.solve(centred + RIDGE * np.eye(len(genes)), target)
        places = (genes + self._start.starts).ravel()
        return np.bincount(places, np.repeat(shares, genes.shape[1]), minlength=len(self._start.logits)).astype(np.float64)

    def _descended(self, loss: Floats) -> Policy:
        """The softmax with the least expected `loss` (options of all genes,), of which the entropy keeps it from one architecture."""
        policy = self._start
        owner = np.repeat(np.arange(len(policy.options)), policy.options)
        scale = max(float(np.abs(loss).max()), 1e-9)
        for step in range(STEPS):
            p = policy.probabilities()
            warmth = WARM * (COLD / WARM) ** (step / (STEPS - 1))
            cost = loss / scale + warmth * np.log(np.maximum(p, 1e-12))
            mean = np.add.reduceat(p * cost, policy.starts)[owner]
            policy = Policy(policy.options, policy.logits - RATE * len(policy.options) * p * (cost - mean))
        return policy


def _differentiable(landscape: Landscape, seed: int) -> Propose:
    return _Differentiable(landscape, seed)


PLUGIN = proposing(_differentiable)
