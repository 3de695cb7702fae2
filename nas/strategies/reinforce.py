"""Reinforcement learning (Williams 1992; Tan et al. 2019, MnasNet; Bender et al. 2020, TuNAS): a policy that rewards teach.

One policy for each of several latencies aimed at, up to the slowest the budget allows; a proposal aims anywhere between two of
them and mixes their logits. The reward is TuNAS's: the accuracy, in units of its spread, less what the latency is off its aim,
relative to the aim. Where several costs are to be small a policy aims at the same height of the range of each, and what they are
off is their mean. After each evaluation every policy takes a step of REINFORCE. The baseline is the mean reward of the recent
evaluations, each weighted by how much likelier this policy was to propose it than the policies are on average, so it rises with
what the policy has learnt: against the mean of all, whatever a policy draws later is better than it, and is drawn ever after.
"""

from dataclasses import replace

import numpy as np

from nas.core.landscape import Floats, Genes, Landscape
from nas.strategies.history import History
from nas.strategies.moves import anything, feasible, unseen
from nas.strategies.policy import Policy
from nas.strategies.sampling import Propose, proposing

AIMS = 10
"""Latencies aimed at."""
DRAWS = 64
"""Architectures drawn for a proposal, of which the first that is new and within the budget is made."""
LEARNING_RATE, PULL, CLIP = 0.3, 10.0, 2.0
"""Of the policies; what a cost takes away that is off by all of the aim, in spreads of accuracy; and the largest advantage, in
spreads of reward."""
RECENT = 60
"""Evaluations that the baseline is of."""
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
        place = rng.uniform(0.0, AIMS - 1.0)
        below = min(int(place), AIMS - 2)
        low, high = self._policies[below : below + 2]
        mixed = replace(low, logits=low.logits + (place - below) * (high.logits - low.logits))
        return self._draw(mixed, history, rng)

    def _learn(self, history: History, number: int) -> None:
        """One step of every policy, from evaluation `number`."""
        known = max(FIRST, number + 1)
        recent = slice(max(0, known - RECENT), known)
        chosen = self._policies[0].chosen(history.genes[recent])
        probabilities = [policy.probabilities() for policy in self._policies]
        likelihood = np.array([chosen @ np.log(each + 1e-12) for each in probabilities])  # (aims, recent)
        raised = np.exp(likelihood - likelihood.max(axis=0))
        shares = raised / raised.mean(axis=0) + 1e-9  # between 0 and AIMS, never all 0
        accuracy = history.accuracy[recent] / max(float(history.accuracy[:known].std()), 1e-9)
        one = number - recent.start
        for turn, (policy, share) in enumerate(zip(self._policies, shares, strict=True)):
            rewards: Floats = accuracy - PULL * np.abs(history.costs[recent] / self._aims[turn] - 1.0).mean(axis=1)
            baseline = np.average(rewards, weights=share)
            spread = max(float(np.sqrt(np.average((rewards - baseline) ** 2, weights=share))), 1e-9)
            advantage = float(np.clip((rewards[one] - baseline) / spread, -CLIP, CLIP))
            slope = chosen[one] - probabilities[turn]
            self._policies[turn] = replace(policy, logits=policy.logits + LEARNING_RATE * share[one] * advantage * slope)

    def _draw(self, policy: Policy, history: History, rng: np.random.Generator) -> Genes:
        """Of the policy's draws the first that is new and within the budget."""
        drawn = policy.draw(DRAWS, rng)
        drawn = drawn[self._landscape.legal(drawn)]
        drawn = self._landscape.nearest(drawn) if len(drawn) else self._landscape.nearest(policy.draw(1, rng))
        fits = unseen(drawn, history.seen) & self._landscape.price(drawn).feasible
        return drawn[int(fits.argmax())]


def _reinforce(landscape: Landscape, seed: int) -> Propose:
    return _Reinforce(landscape, seed)


PLUGIN = proposing(_reinforce)
