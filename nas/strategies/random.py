"""Uniform sampling of every gene: the baseline that any other strategy has to beat."""

from optuna.samplers import RandomSampler

from nas.strategies.sampling import stock


def _sampler(seed: int) -> RandomSampler:
    return RandomSampler(seed=seed)


PLUGIN = stock(_sampler)
