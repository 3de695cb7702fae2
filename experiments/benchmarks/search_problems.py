"""Problems whose true front is known, for `search_quality.py`: tables that are evaluated by looking up."""

import itertools
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

import pandas as pd

from experiments.nas_bench_macro import table as macro_table
from nas.accuracy import tabular
from nas.core.budget import Budget
from nas.strategies.improvement import best_so_far

LOOSE = Budget(1e6)
NOISE = 0.7
"""Standard deviation, in points of accuracy, of what shared weights say of a network: what a supernet of this project was off by
after fine-tuning its picks."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A table, and the accuracies that a search is shown (rows,) where these are not the true ones."""

    name: str
    table: tabular.Table
    noise: float = 0.0

    def shown(self, seed: int) -> Floats:
        """What an evaluation of each row says; the same row says the same again, as shared weights do."""
        return _shown(self, seed)

    def share(self, rows: Sequence[int], seed: int) -> float:
        """Hypervolume of what the evaluated `rows` give, as a share of that of the true front.

        What they give is the true accuracy of those that nobody seems to beat: the networks that a user would be handed.
        """
        chosen = np.array(rows)
        if self.noise:
            shown = self.shown(seed)[chosen]
            ahead = best_so_far(shown, self.table.latency_ms[chosen])
            chosen = chosen[np.isin(shown, ahead[0]) & np.isin(self.table.latency_ms[chosen], ahead[1])]
        return self.area(chosen) / _whole(self)

    def best_within(self, rows: Sequence[int], limit_ms: float, seed: int) -> float:
        """True accuracy of the row that seems best within `limit_ms`; minus infinity if none is."""
        chosen = np.array(rows)
        chosen = chosen[self.table.latency_ms[chosen] <= limit_ms]
        return float(self.table.accuracy[chosen[self.shown(seed)[chosen].argmax()]]) if len(chosen) else float("-inf")

    def area(self, rows: NDArray[np.int64]) -> float:
        """Area above the least accuracy of the table and left of its slowest row."""
        floor, end = self.table.accuracy.min(), self.table.latency_ms.max()
        accuracy, ms = best_so_far(self.table.accuracy[rows], self.table.latency_ms[rows])
        return float(((accuracy - floor) * np.diff(np.append(ms, end))).sum())


@lru_cache(maxsize=8)
def _shown(problem: Problem, seed: int) -> Floats:
    off = np.random.default_rng((seed, 77)).standard_normal(problem.table.size)
    return problem.table.accuracy + problem.noise * off


@cache
def _whole(problem: Problem) -> float:
    """Hypervolume of the true front."""
    return problem.area(np.arange(problem.table.size))


def macro(data: Path, device: str) -> Problem:
    """NAS-Bench-Macro with the latencies of `device`: 6,561 trained networks, CIFAR-10."""
    return Problem("nas-bench-macro", _read(macro_table(data, device)))


def deceptive() -> Problem:
    """59,049 rows of five pairs of genes. One by one every gene pays best at its first option; both at their last pay more.

    A pair at (2, 2) is worth 1, at other places 0.6 less 0.15 for each step away from (0, 0): whoever changes one gene at a time is
    led away from it. What takes longer is worth more, pair by pair.
    """
    rng = np.random.default_rng(11)
    worth, price = np.array([5.0, 4.0, 3.0, 2.0, 1.5]), np.array([1.6, 1.1, 0.8, 0.5, 0.3])
    genes = np.array(list(itertools.product(range(3), repeat=10)))
    steps = genes[:, 0::2] + genes[:, 1::2]
    value = np.where(steps == 4, 1.0, 0.6 - 0.15 * steps)
    accuracy = 70.0 + value @ worth + 0.02 * rng.standard_normal(len(genes))
    latency_ms = 1.0 + steps @ (price / 4) + 0.01 * rng.random(len(genes))
    return Problem("deceptive", _read(_frame(genes, accuracy, latency_ms)))


def noisy() -> Problem:
    """59,049 rows, a smooth accuracy with saturation over ten points, shown with the noise of shared weights."""
    rng = np.random.default_rng(12)
    genes = np.array(list(itertools.product(range(3), repeat=10)))
    worth, price = rng.uniform(0.3, 1.0, 10), rng.uniform(0.1, 1.0, 10)
    pairs = sum(0.15 * (genes[:, i] > 0) * (genes[:, i + 1] == 2) for i in range(9))
    raw = np.sqrt(genes) @ worth + pairs
    accuracy = 80.0 + 12.0 * (1.0 - np.exp(-3.0 * raw / raw.max()))
    return Problem("noisy", _read(_frame(genes, accuracy, 1.0 + genes @ price)), NOISE)


def _frame(genes: NDArray[np.int64], accuracy: Floats, latency_ms: Floats) -> pd.DataFrame:
    frame = pd.DataFrame(genes, columns=[f"gene{number}" for number in range(genes.shape[1])])
    return frame.assign(accuracy=accuracy, latency_ms=latency_ms)


def _read(frame: pd.DataFrame) -> tabular.Table:
    with tempfile.TemporaryDirectory() as scratch:
        frame.to_csv(Path(scratch) / "table.csv", index=False)
        return tabular.read(Path(scratch) / "table.csv")
