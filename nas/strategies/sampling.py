"""How a strategy becomes Optuna samplers: of Optuna's own, or of a function that looks at what was evaluated so far."""

from collections.abc import Callable
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nas.core.landscape import Genes, Landscape
from nas.strategies import Sampling, Strategy
from nas.strategies.history import History, Reader
from nas.strategies.moves import settle

Propose = Callable[[History, np.random.Generator], Genes]
"""From what is known to the genes to try next, (genes,). What it remembers must follow from histories it was given."""


def stock(make: Callable[[int], BaseSampler]) -> Strategy:
    """A strategy of Optuna's samplers, made from a seed; a proposal that is known or no architecture moves to the nearest new one."""

    def strategy(landscape: Landscape, seed: int) -> Sampling:
        reader = Reader(landscape)
        return lambda seed: _Settled(landscape, reader, make(seed), seed)

    return strategy


def proposing(make: Callable[[Landscape, int], Propose]) -> Strategy:
    """A strategy of our own: `make` is given the problem and the run's seed."""

    def strategy(landscape: Landscape, seed: int) -> Sampling:
        reader, propose = Reader(landscape), make(landscape, seed)
        return lambda seed: _Proposer(landscape, reader, propose, seed)

    return strategy


def distributions(landscape: Landscape) -> dict[str, BaseDistribution]:
    """The genes as Optuna's parameters."""
    return {name: IntDistribution(0, count - 1) for name, count in zip(landscape.names, landscape.options, strict=True)}


def parameters(landscape: Landscape, genes: Genes) -> dict[str, Any]:
    """Values of those parameters for one architecture (genes,)."""
    return {name: int(gene) for name, gene in zip(landscape.names, genes, strict=True)}


class _Proposer(BaseSampler):
    """Proposes what a function of the history says."""

    def __init__(self, landscape: Landscape, reader: Reader, propose: Propose, seed: int) -> None:
        self._landscape, self._reader, self._propose, self._seed = landscape, reader, propose, seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All genes."""
        return distributions(self._landscape)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """The proposal, made legal and new."""
        rng = np.random.default_rng(self._seed)
        history = self._reader.read(study, trial.number)
        wanted = np.asarray(self._propose(history, rng), dtype=np.int32)
        return parameters(self._landscape, settle(self._landscape, wanted, history.seen, True, rng))

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """Never needed: every gene is proposed with the others.

        Raises:
            KeyError: always.
        """
        raise KeyError(f"{param_name} is no gene of this problem")


class _Settled(BaseSampler):
    """Another sampler's proposals, moved to architectures that are legal and new."""

    def __init__(self, landscape: Landscape, reader: Reader, inner: BaseSampler, seed: int) -> None:
        self._landscape, self._reader, self._inner, self._seed = landscape, reader, inner, seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All genes."""
        return distributions(self._landscape)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """The inner sampler's proposal, or an architecture near it."""
        joint = self._inner.infer_relative_search_space(study, trial)
        found = self._inner.sample_relative(study, trial, joint)
        for name, distribution in search_space.items():
            if name not in found:
                found[name] = 0 if distribution.single() else self._inner.sample_independent(study, trial, name, distribution)
        wanted = np.array([found[name] for name in self._landscape.names], dtype=np.int32)
        history = self._reader.read(study, trial.number)
        rng = np.random.default_rng(self._seed)
        return parameters(self._landscape, settle(self._landscape, wanted, history.seen, False, rng))

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """Never needed, as every gene is proposed with the others; the inner sampler's."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """The inner sampler's."""
        self._inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """The inner sampler's."""
        self._inner.after_trial(study, trial, state, values)
