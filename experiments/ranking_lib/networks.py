"""Which networks are ranked: spread evenly over the range of MACs, and side by side in one narrow band of it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.core.architecture import Architecture
from nas.core.errors import StudyError
from nas.core.space import SearchSpace

DRAWS = 20_000
"""Random architectures from which the networks are picked."""
BAND = 0.05
"""Half width of the band, as a share of the median MACs of the space."""
TAILS = 0.001
"""Share of the draws beyond either end of the range: hardly any network is that small or that large."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A network of the experiment; `group` is "range" or "band"."""

    group: str
    architecture: Architecture
    macs: int


def choose(space: SearchSpace, in_channels: int, classes: int, count: int, seed: int) -> list[Ranked]:
    """`count` different architectures, decided by `seed`: two thirds over the range of MACs, one third in the band.

    The range is cut into equal bins of MACs, and the first random draw that falls into each is taken: uniform in MACs,
    where random architectures crowd around the median. Every prefix holds both groups and all sizes.

    Raises:
        StudyError: the space has too few networks of some size.
    """
    from nas.training import sample
    from search_spaces import blocks

    drawn = dict.fromkeys(sample(space, DRAWS, f"ranking:{seed}"))
    macs = {one: blocks.macs(space.network(one, in_channels, classes)) for one in drawn}
    spread = _spread(macs, count - count // 3, seed)
    median = statistics.median(macs.values())
    near = [one for one in drawn if abs(macs[one] / median - 1) <= BAND and one not in spread]
    if len(spread) < count - count // 3 or len(near) < count // 3:
        raise StudyError(
            f"{space.name} has networks in {len(spread)} of {count - count // 3} ranges of MACs, and {len(near)} in the band: ask for fewer"
        )
    groups = (("range", spread), ("band", near[: count // 3]))
    places = [((i + 0.5) / len(members), Ranked(group, one, macs[one])) for group, members in groups for i, one in enumerate(members)]
    return [ranked for _, ranked in sorted(places, key=lambda place: place[0])]


def _spread(macs: dict[Architecture, int], count: int, seed: int) -> list[Architecture]:
    """One architecture of each of `count` equal bins of MACs, in random order."""
    low, high = np.quantile(list(macs.values()), (TAILS, 1 - TAILS))
    found: dict[int, Architecture] = {}
    for one, value in macs.items():
        if low <= value < high:
            found.setdefault(int(count * (value - low) / (high - low)), one)
    order: Sequence[int] = np.random.default_rng(seed).permutation(sorted(found)).tolist()
    return [found[place] for place in order]
