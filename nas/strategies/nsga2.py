"""NSGA-II (Deb et al. 2002): Optuna's, with a population that a search of a few dozen trials can turn over."""

from optuna.samplers import NSGAIISampler


def _sampler(seed: int) -> NSGAIISampler:
    return NSGAIISampler(population_size=16, seed=seed)


PLUGIN = _sampler
