"""Which candidates nobody beats, and how much they dominate."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nas.core.errors import NasError

T = TypeVar("T")


def non_dominated(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Mask of the rows that no other row dominates; every column is to be minimised.

    Args:
        values: (n, m). Of equal rows the first is kept. May be empty.

    Raises:
        NasError: a value is NaN.
    """
    rows = np.asarray(values, dtype=np.float64)
    if np.isnan(rows).any():
        raise NasError("a Pareto front needs numbers, found NaN among the objective values")
    keep = np.zeros(len(rows), dtype=np.bool_)
    left = np.lexsort(rows.T[::-1]) if len(rows) else np.empty(0, dtype=np.intp)  # the first is dominated by none of the others
    while len(left):
        first = left[0]
        keep[first] = True
        left = left[(rows[left] < rows[first]).any(axis=1)]
    return keep


def spread(members: Sequence[T], count: int, position: Callable[[T], float]) -> list[T]:
    """At most `count` members at positions as even as they allow, from 2 on both ends among them; of 1 the last."""
    ordered = sorted(members, key=position)
    if count >= len(ordered):
        return ordered
    if count < 2:
        return ordered[len(ordered) - count :]
    low, high = position(ordered[0]), position(ordered[-1])
    chosen = {0, len(ordered) - 1}
    for step in range(1, count - 1):
        wanted = low + (high - low) * step / (count - 1)
        free = [i for i in range(len(ordered)) if i not in chosen]
        chosen.add(min(free, key=lambda i: abs(position(ordered[i]) - wanted)))
    return [ordered[i] for i in sorted(chosen)]


def hypervolume(values: npt.ArrayLike, reference: Sequence[float]) -> float:
    """Volume that the rows dominate, bounded by `reference`; exact for any number of columns, all to be minimised.

    Rows not strictly below the reference in all columns add nothing; an empty front has volume 0. Two columns take n log n steps;
    every one more takes n times as many.

    Args:
        values: (n, m), m at least 2.
        reference: m values.
    """
    corner = np.asarray(reference, dtype=np.float64)
    rows = np.asarray(values, dtype=np.float64).reshape(-1, len(corner))
    return _volume(rows[(rows < corner).all(axis=1)], corner)


def growth(values: npt.ArrayLike, reference: Sequence[float]) -> npt.NDArray[np.float64]:
    """Volume that the first 1, 2, ... n rows dominate, (n,); `hypervolume` of all is the last.

    Args:
        values: (n, m), m at least 2.
        reference: m values.
    """
    corner = np.asarray(reference, dtype=np.float64)
    rows = np.asarray(values, dtype=np.float64).reshape(-1, len(corner))
    gains, front = np.zeros(len(rows)), np.empty((0, len(corner)))
    for place, row in enumerate(rows):
        if (row < corner).all() and not (front <= row).all(axis=1).any():
            gains[place] = float(np.prod(corner - row)) - hypervolume(np.maximum(front, row), reference)
            front = np.vstack([front[(front < row).any(axis=1)], row])
    return np.cumsum(gains)


def _volume(rows: npt.NDArray[np.float64], corner: npt.NDArray[np.float64]) -> float:
    """Each row adds what it dominates and the rows after it do not, which are no worse in the last column.

    Source: While, Bradstreet and Barone 2012 (WFG), with rows in the order of the last column.
    """
    if len(corner) == 2:
        return _area(rows, corner)
    rows = rows[non_dominated(rows)]
    rows = rows[np.argsort(-rows[:, -1], kind="stable")]
    volume = 0.0
    for place, row in enumerate(rows):
        shared = np.maximum(rows[place + 1 :, :-1], row[:-1])
        alone = float(np.prod(corner[:-1] - row[:-1])) - _volume(shared, corner[:-1])
        volume += float(corner[-1] - row[-1]) * alone
    return volume


def _area(rows: npt.NDArray[np.float64], corner: npt.NDArray[np.float64]) -> float:
    area, ceiling = 0.0, float(corner[1])
    for x, y in sorted(map(tuple, rows)):
        if y < ceiling:
            area += (float(corner[0]) - x) * (ceiling - y)
            ceiling = y
    return area
