"""NSGA-II (Deb et al. 2002): Optuna's, with a population that a search of a few dozen trials can turn over."""

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial, TrialState


class _Nsga2(NSGAIISampler):
    """Optuna's, for studies in which every trial has the same parameters, as ours have."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters of the first trial. Optuna intersects all trials' anew: 27 of 35 ms a proposal after 700 trials."""
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        first = complete[0].distributions if complete else {}
        return {name: distribution for name, distribution in sorted(first.items()) if not distribution.single()}

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The parents in the order of their trials, in which a resumed study reads them back."""
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)


def _sampler(seed: int) -> NSGAIISampler:
    return _Nsga2(population_size=16, seed=seed)


PLUGIN = _sampler
