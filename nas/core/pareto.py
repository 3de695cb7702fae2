"""Which candidates nobody beats. Accuracy up, latency down."""

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
    keep = np.ones(len(rows), dtype=np.bool_)
    for i, row in enumerate(rows):
        no_worse = (rows <= row).all(axis=1)
        better = no_worse & (rows < row).any(axis=1)
        same_before = (rows[:i] == row).all(axis=1).any() if i else False
        keep[i] = not better.any() and not same_before
    return keep


def front(candidates: Sequence[T], accuracy: Callable[[T], float], latency_ms: Callable[[T], float]) -> list[T]:
    """The candidates that nobody dominates, from fastest to slowest."""
    if not candidates:
        return []
    keep = non_dominated([(-accuracy(c), latency_ms(c)) for c in candidates])
    return sorted((c for c, kept in zip(candidates, keep, strict=True) if kept), key=latency_ms)


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


def hypervolume(values: npt.ArrayLike, reference: tuple[float, float]) -> float:
    """Area that the rows dominate, bounded by `reference`; two columns, both to be minimised.

    Rows not strictly below the reference in both columns add nothing; an empty front has area 0.
    """
    rows = np.asarray(values, dtype=np.float64).reshape(-1, 2)
    rows = rows[(rows < np.asarray(reference)).all(axis=1)]
    area, ceiling = 0.0, reference[1]
    for x, y in sorted(map(tuple, rows)):
        if y < ceiling:
            area += (reference[0] - x) * (ceiling - y)
            ceiling = y
    return area
