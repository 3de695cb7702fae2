"""How much a front of accuracy and latency is expected to gain from an evaluation whose latency is known already.

Of two objectives only the accuracy is uncertain, so the expected hypervolume improvement is a sum of one-dimensional
expected improvements, exact and cheap. Source: Emmerich, Giannakoglou and Naujoks 2006, for the case of one known objective.
"""

import numpy as np

from nas.core.landscape import Floats


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
