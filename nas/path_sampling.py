"""Which networks a training step samples: uniformly over the space's range of multiply-accumulates.

Genes drawn uniformly give networks that crowd around the middle of that range; the small and the large ones, between which a
budget decides, would hardly be trained. Source: Wang et al. 2021, AttentiveNAS, section 3 (sampling by MACs).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency_models import pricing
from nas.core.architecture import Architecture
from nas.core.space import SearchSpace

POOL = 20_000
"""Architectures drawn once, from which steps take theirs."""
BANDS = 32
"""Equal parts of the range of MACs; each is as likely as any other that holds an architecture of the pool."""


@dataclass(frozen=True, slots=True, eq=False)
class MacsSampler:
    """Architectures of a space, uniform over bands of MACs, and within a band over genes. Made by `MacsSampler.of`."""

    space: SearchSpace
    bands: tuple[NDArray[np.int16], ...]

    @classmethod
    def of(cls, space: SearchSpace, in_channels: int, classes: int) -> "MacsSampler":
        """The sampler for networks on images of `in_channels` with `classes` outputs; the same pool every time."""
        genes = pricing.sample(space, POOL, np.random.default_rng(0))
        macs = pricing.macs(space, in_channels, classes).values(genes)
        edges = np.linspace(macs.min(), macs.max(), BANDS + 1)[1:-1]
        band = np.searchsorted(edges, macs)
        return cls(space, tuple(genes[band == number] for number in range(BANDS) if (band == number).any()))

    def __call__(self, count: int, seed: int, step: int) -> list[Architecture]:
        """`count` architectures for `step`; the same for the same arguments."""
        chance = np.random.default_rng((seed, step))
        chosen = []
        for _ in range(count):
            band = self.bands[chance.integers(len(self.bands))]
            chosen.append(self.space.architecture(band[chance.integers(len(band))].tolist()))
        return chosen
