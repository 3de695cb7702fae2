"""Reinforcement learning (Williams 1992; Tan et al. 2019, MnasNet; Bender et al. 2020, TuNAS): a policy that rewards teach.

One policy for each of several latencies aimed at, up to the slowest the budget allows; they take turns. The reward is TuNAS's: the
accuracy, in units of its spread, less what the latency is off its aim, relative to the aim. Where several costs are to be small a
policy aims at the same height of the range of each, and what they are off is their mean. After each evaluation every policy takes
a step of REINFORCE, with its mean reward so far as the baseline, weighted by how much likelier it was to propose this than the
policies are on average.
"""

from dataclasses import replace

import numpy as np

from nas.core.landscape import Floats, Genes, Landscape
from nas.strategies.history import History
from nas.strategies.moves import anything, feasible, unseen
from nas.strategies.policy import Policy
from nas.strategies.sampling import Propose, proposing

AIMS = 5
"""Latencies aimed at."""
DRAWS = 16
"""Architectures that a policy draws for a proposal."""
LEARNING_RATE, PULL, CLIP = 0.3, 3.0, 2.0
"""Of the policies; what a cost takes away that is off by all of the aim, in spreads of accuracy; and the largest advantage."""
FIRST = 15
"""Proposals at random to begin with, which tell the spread of accuracies."""


class _Reinforce:
    """Learns from evaluations in their order; what it has learnt follows from them."""

    def __init__(self, landscape: Landscape, seed: int) -> None:
        self._landscape = landscape
        pool = np.concatenate([landscape.starts, feasible(landscape, 2048, np.random.default_rng(seed))])
        costs = landscape.price(pool).costs
        low, high = costs.min(axis=0), costs.max(axis=0)
        self._aims = np.geomspace(low, high, AIMS + 1)[:-1] * (high / low) ** (0.5 / AIMS)  # (aims, costs)
        self._begin()

    def _begin(self) -> None:
        self._policies = [Policy.uniform(self._landscape.options)] * AIMS
        self._learnt = 0

    def __call__(self, history: History, rng: np.random.Generator) -> Genes:
        if len(history.genes) < FIRST:
            return anything(self._landscape, rng)
        if self._learnt > len(history.genes):
            self._begin()
        while self._learnt < len(history.genes):
            self._learn(history, self._learnt)
            self._learnt += 1
        turn = (len(history.genes) + history.waiting) % AIMS
        return self._draw(self._policies[turn], history, rng)

    def _learn(self, history: History, number: int) -> None:
        """One step of every policy, from evaluation `number`."""
        accuracy = history.accuracy[: max(FIRST, number + 1)]
        costs = history.costs[: len(accuracy)]
        spread = max(float(accuracy.std()), 1e-9)
        chosen = self._policies[0].chosen(history.genes[number : number + 1])[0]
        likelihood = np.array([np.log(policy.probabilities()) @ chosen for policy in self._policies])
        raised = np.exp(likelihood - likelihood.max())
        share = raised / raised.mean()  # between 0 and AIMS
        for turn, policy in enumerate(self._policies):
            rewards: Floats = accuracy / spread - PULL * np.abs(costs / self._aims[turn] - 1.0).mean(axis=1)
            advantage = float(np.clip(rewards[number] - rewards.mean(), -CLIP, CLIP))
            slope = chosen - policy.probabilities()
            self._policies[turn] = replace(policy, logits=policy.logits + LEARNING_RATE * share[turn] * advantage * slope)

    def _draw(self, policy: Policy, history: History, rng: np.random.Generator) -> Genes:
        """One draw of the policy, of a few the first that is new and within the budget."""
        drawn = policy.draw(DRAWS, rng)
        drawn = drawn[self._landscape.legal(drawn)]
        drawn = self._landscape.nearest(drawn) if len(drawn) else self._landscape.nearest(policy.draw(1, rng))
        fits = unseen(drawn, history.seen) & self._landscape.price(drawn).feasible
        return drawn[int(fits.argmax())]


def _reinforce(landscape: Landscape, seed: int) -> Propose:
    return _Reinforce(landscape, seed)


PLUGIN = proposing(_reinforce)
