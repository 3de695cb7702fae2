"""How much a front is expected to gain from an evaluation of which all but the accuracy is known already.

Only the accuracy is uncertain, so the expected hypervolume improvement is a sum of one-dimensional expected improvements, each over
the costs at which the front has one accuracy. With one cost these are intervals, and the sum is exact and cheap. Source: Emmerich,
Giannakoglou and Naujoks 2006, for the case of known objectives. With several costs their volumes are counted by fixed points.
"""

import numpy as np

from nas.core.landscape import Floats, Mask
from nas.core.pareto import non_dominated
from nas.strategies.history import History

POINTS = 1024
"""Fixed points by which volumes of several costs are counted."""


def leaders(history: History) -> np.ndarray:
    """Indices of the architectures within the budget that nobody beats; of one cost, equals of them too."""
    own = np.flatnonzero(history.within)
    accuracy, costs = history.accuracy[own], history.costs[own]
    if costs.shape[1] > 1:
        return own[non_dominated(np.column_stack([-accuracy, costs]))]
    ahead = best_so_far(accuracy, costs[:, 0])
    return own[np.isin(accuracy, ahead[0]) & np.isin(costs[:, 0], ahead[1])]


def best_so_far(accuracy: Floats, latency_ms: Floats) -> tuple[Floats, Floats]:
    """Accuracies and latencies of the front, both rising, of (n,) of each."""
    order = np.lexsort((-accuracy, latency_ms))
    rising = accuracy[order]
    leads = np.concatenate([[True], rising[1:] > np.maximum.accumulate(rising)[:-1]]) if len(rising) else np.empty(0, dtype=np.bool_)
    return rising[leads], latency_ms[order][leads]


def expected(mean: Floats, std: Floats, latency_ms: Floats, front: tuple[Floats, Floats], floor: float, end_ms: float) -> Floats:
    """Area (n,) that each of n candidates is expected to add to what `front` dominates.

    Args:
        mean: (n,) predicted accuracy.
        std: (n,) its standard deviation, above zero.
        latency_ms: (n,) exact latency.
        front: accuracies and latencies, both rising, as `best_so_far` gives them.
        floor: accuracy below which nothing counts.
        end_ms: latency up to which area counts.
    """
    from scipy.special import ndtr

    levels = np.maximum(np.concatenate([[floor], front[0]]), floor)
    begins = np.concatenate([[-np.inf], front[1]])
    ends = np.concatenate([front[1], [end_ms]])
    width = np.clip(np.minimum(ends, end_ms) - np.maximum(begins, latency_ms[:, None]), 0.0, None)  # (n, steps of the front)
    row, step = np.nonzero(width)
    z = (mean[row] - levels[step]) / std[row]
    gain = std[row] * (z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))
    areas = np.maximum(gain, 0.0) * width[row, step]
    return np.asarray(np.bincount(row, weights=areas, minlength=len(mean)), dtype=np.float64)


class Volumes:
    """Expected improvements where several costs are to be small, for candidates whose costs are known.

    The volume between `low` and `end` (k,) is filled with the points of a lattice that no two dimensions share (Roberts 2018), always
    the same ones. At each point stands the best accuracy that the front has reached there, and a candidate gains at the points
    that are no better than its costs in any of them what its accuracy is above that.
    """

    def __init__(self, low: Floats, end: Floats) -> None:
        dimensions = len(low)
        root = 1.0
        for _ in range(64):  # of x**(k + 1) = x + 1
            root = (1.0 + root) ** (1.0 / (dimensions + 1))
        steps = root ** -np.arange(1.0, dimensions + 1)
        self._points = low + (end - low) * ((0.5 + steps * np.arange(1, POINTS + 1)[:, None]) % 1.0)
        self._volume = float(np.prod(end - low))

    def expected(self, mean: Floats, std: Floats, costs: Floats, front: tuple[Floats, Floats], floor: float) -> Floats:
        """Volume (n,) that each of n candidates is expected to add.

        Args:
            mean: (n,) predicted accuracy.
            std: (n,) its standard deviation, above zero.
            costs: (n, k) exact costs.
            front: accuracies (m,) and costs (m, k) of what was evaluated.
            floor: accuracy below which nothing counts.
        """
        from scipy.special import ndtr

        accuracy, reached = front
        there = self._no_better_than(reached)  # (m, points)
        height = np.maximum(np.where(there, accuracy[:, None], -np.inf).max(axis=0, initial=-np.inf), floor)
        levels, level = np.unique(height, return_inverse=True)
        counts = np.zeros((len(mean), len(levels)))
        at = np.eye(len(levels), dtype=np.float32)[level]
        for begin in range(0, len(mean), 1024):
            counts[begin : begin + 1024] = self._no_better_than(costs[begin : begin + 1024]).astype(np.float32) @ at
        z = (mean[:, None] - levels) / std[:, None]
        gain = std[:, None] * (z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))
        return np.asarray((np.maximum(gain, 0.0) * counts).sum(axis=1) * self._volume / POINTS, dtype=np.float64)

    def _no_better_than(self, costs: Floats) -> Mask:
        """Which points (n, points) are no better than `costs` (n, k) in any of them."""
        found = costs[:, :1] <= self._points[:, 0]
        for place in range(1, costs.shape[1]):
            found &= costs[:, place, None] <= self._points[:, place]
        return found
