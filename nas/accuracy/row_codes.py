"""Rows of a table found by their genes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.core.errors import DataError
from nas.core.landscape import Genes


@dataclass(frozen=True, slots=True, eq=False)
class RowCodes:
    """Finds rows by their genes: a random number for each option, whose sum stands for a row; what it finds is compared."""

    numbers: NDArray[np.uint64]
    starts: NDArray[np.int64]
    codes: NDArray[np.uint64]
    order: NDArray[np.int64]

    @classmethod
    def of(cls, cells: Genes, options: Sequence[int]) -> "RowCodes":
        """Of distinct rows `cells` (n, genes) of genes with so many `options`.

        Raises:
            DataError: no numbers were found that tell the rows apart.
        """
        starts = np.concatenate([[0], np.cumsum(options)[:-1]]).astype(np.int64)
        for seed in range(8):  # a chance of 1 in 10^7 for a million rows that two have the same code
            numbers = np.random.default_rng(seed).integers(0, 2**64, size=int(sum(options)), dtype=np.uint64)
            codes = _sums(numbers, starts, cells)
            order = np.argsort(codes, kind="stable")
            if len(cells) < 2 or not _collide(codes[order], cells[order]):
                return cls(numbers, starts, codes[order], order)
        raise DataError("the rows of the table cannot be told apart")

    def rows(self, genes: NDArray[np.integer[Any]], cells: Genes) -> NDArray[np.int64]:
        """Numbers (n,) of the rows of `cells`, the table, that `genes` (n, genes) are; -1 where it has none."""
        at = np.searchsorted(self.codes, _sums(self.numbers, self.starts, genes))
        rows = self.order[np.minimum(at, len(self.order) - 1)]
        return np.where((cells[rows] == genes).all(axis=1), rows, -1)


def _sums(numbers: NDArray[np.uint64], starts: NDArray[np.int64], genes: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    found = np.zeros(len(genes), dtype=np.uint64)
    for start, column in zip(starts, genes.T, strict=True):
        found += numbers[start + column.astype(np.int64)]
    return found


def _collide(codes: NDArray[np.uint64], cells: Genes) -> bool:
    """Whether rows that differ have the same code."""
    same = codes[1:] == codes[:-1]
    return bool((cells[1:][same] != cells[:-1][same]).any())
