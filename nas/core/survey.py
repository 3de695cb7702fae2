"""What the architectures of a space cost, and how many of them a budget leaves: known before anything is evaluated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.core.budget import Budget
from nas.core.units import format_energy, format_latency, format_macs, format_size


@dataclass(frozen=True, slots=True)
class Range:
    """Smallest, median and largest value of a metric over a space; the median, and of a survey all, of architectures drawn at random."""

    least: float
    median: float
    most: float


@dataclass(frozen=True, slots=True)
class Survey:
    """What a space costs, in the units of limits, before anything is evaluated.

    `share` of the architectures that were looked at are within the budget, `shares` within each of its limits; `binding` is
    the limit that the fewest are within. Looked at were `draws` drawn at random, or, where `whole`, all that there are.
    """

    ranges: Mapping[str, Range]
    share: float
    shares: Mapping[str, float]
    binding: str
    draws: int
    whole: bool = False


def of(costs: Mapping[str, NDArray[np.float64]], budget: Budget, whole: bool) -> Survey:
    """The survey of architectures that cost (n,) of each metric, as limits on it are compared with; `whole` if these are all.

    Args:
        costs: by metric; those of a limit that is not among them are left out. The latency is among them.
        budget: the limits.
        whole: what `Survey.whole` says.
    """
    ranges = {metric: Range(float(found.min()), float(np.median(found)), float(found.max())) for metric, found in costs.items()}
    within = {metric: costs[metric] <= limit for metric, limit in budget.limits.items() if metric in costs}
    shares = {metric: float(mask.mean()) for metric, mask in within.items()}
    share = float(np.logical_and.reduce(list(within.values())).mean())
    return Survey(ranges, share, shares, min(shares, key=lambda metric: shares[metric]), len(costs["latency"]), whole)


WORDS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "latency": ("latency", format_latency),
    "size": ("model file", format_size),
    "memory": ("memory", format_size),
    "energy": ("energy", format_energy),
    "macs": ("operations", format_macs),
}
"""What each metric is called, and how its values are written."""

BOUNDED = ("latency", "energy")
"""Metrics that are predicted with bounds, of which limits are compared with the upper one."""


def lines(title: str, found: Survey, budget: Budget) -> tuple[str, ...]:
    """The survey in lines for a terminal, under `title`, which says what it is about."""
    said = [f"{title}, from the least to the median to the most:"]
    for metric, ends in found.ranges.items():
        name, text = WORDS[metric]
        bound = " (upper bound)" if metric in BOUNDED and not found.whole else ""
        said.append(f"  {name}{bound}: {text(ends.least)}, {text(ends.median)}, {text(ends.most)}")
    several = len(found.shares) > 1 and found.shares[found.binding] < 1.0
    binds = f"; what binds most is the limit of {budget.say(found.binding)} ({percentage(found.shares[found.binding])})" if several else ""
    among = f"all {found.draws:,}" if found.whole else f"{found.draws:,} networks drawn at random"
    said.append(f"  within {budget}: {percentage(found.share)} of {among}{binds}")
    return tuple(said)


def percentage(share: float) -> str:
    """A share of architectures, of which a small one is not none: "12.5%", "less than 0.1%"."""
    return f"{share:.1%}" if share >= 0.001 or share == 0.0 else "less than 0.1%"
