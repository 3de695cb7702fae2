"""NSGA-III (Deb and Jain 2014): Optuna's, with the population that `nsga2` has; made for more than two objectives."""

import warnings

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import NSGAIIISampler
from optuna.trial import FrozenTrial

from nas.strategies.nsga2 import first_parameters, told_before
from nas.strategies.sampling import stock


class _Nsga3(NSGAIIISampler):
    """Optuna's, for studies in which every trial has the same parameters, as ours have."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters of the first trial, as in `nsga2`."""
        return first_parameters(study)

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The trials of a generation; what was known before the study began belongs to the first."""
        return [*(told_before(study) if generation == 0 else ()), *super().get_population(study, generation)]

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The parents in the order of their trials, in which a resumed study reads them back."""
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)


def _sampler(seed: int) -> NSGAIIISampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # it has been since 2023
        return _Nsga3(population_size=16, dividing_parameter=12, seed=seed)


PLUGIN = stock(_sampler)
