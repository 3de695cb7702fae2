"""Tree-structured Parzen estimator (Bergstra et al. 2011; of several objectives: Ozaki et al. 2022): Optuna's, all genes together.

Optuna's estimator of each gene by itself costs six times the time, and finds less where genes work together.
"""

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler

from nas.strategies.sampling import stock


def _sampler(seed: int) -> TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # `multivariate` has been experimental since 2020
        return TPESampler(multivariate=True, constant_liar=True, n_startup_trials=16, seed=seed)


PLUGIN = stock(_sampler)
