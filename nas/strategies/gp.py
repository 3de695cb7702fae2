"""Gaussian processes over accuracy, latency and limits: Optuna's own, for comparison with `predictor_guided`.

It treats genes as numbers, and the latency, which is known, as something to be learnt. A proposal takes the better part of a second
at sixty evaluations, and longer the more there are. Of that, four fifths are the search for the greatest expected hypervolume
improvement (2,048 points at random, then ten local searches that change one gene at a time: some 170 calls of a few milliseconds), and
one fifth is fitting a process to each objective and limit (profile of sixty evaluations of NAS-Bench-Macro). Optuna 5.0 offers no
parameter for any of these numbers, nor proposes several architectures from one fit; and a fit is not handed on, since a sampler is
made anew for each proposal so that a killed search goes on alike.
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
