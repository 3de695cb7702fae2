"""Gaussian processes over accuracy, latency and limits: Optuna's own, for comparison with `predictor_guided`.

It treats genes as numbers, and the latency, which is known, as something to be learnt. A proposal takes seconds from a hundred
evaluations on.
"""

import warnings
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import GPSampler
from optuna.trial import FrozenTrial

from nas.strategies.sampling import stock


class _Gp(GPSampler):
    """Optuna's, without its remark on what the budget ruled out: an accuracy of minus infinity becomes the least that was found."""

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Optuna's proposal."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Clip non-finite values")
            return super().sample_relative(study, trial, search_space)


def _sampler(seed: int) -> GPSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _Gp(seed=seed, n_startup_trials=16, deterministic_objective=True)


PLUGIN = stock(_sampler)
