"""What is known of every architecture without evaluating it: which are legal, what they cost, how to draw one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.core.architecture import Architecture
from nas.core.objectives import Objectives
from nas.core.space import Gene

Genes = NDArray[np.int32]
"""Architectures in canonical form, (n, genes), or one of them, (genes,)."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What n architectures cost: the objectives that are to be small, (n, k), and the overrun of the budget, (n,).

    Columns are those of `Objectives.costs`: expected latency in milliseconds, and so on. The overrun is the largest of all limits,
    relative to the limit: above zero is beyond the budget.
    """

    costs: Floats
    overrun: Floats

    @property
    def feasible(self) -> Mask:
        """Which of them are within every limit."""
        return self.overrun <= 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Landscape:
    """A problem as a strategy sees it. All its functions are deterministic and work on many architectures at once.

    `names` and `options` are those of the genes; `size` is the number of legal architectures, and `everything` all of them
    where they are few. `legal` says which of some genes (n, genes) stand for an architecture, `nearest` gives for each the
    architecture that it stands for, or the one that differs in the fewest genes. `draw(n, rng)` gives legal ones at random,
    and `starts` are some to begin with: the fastest, the largest. `objectives` are what the search is to better.
    """

    names: tuple[str, ...]
    options: tuple[int, ...]
    size: int
    everything: Genes | None
    legal: Callable[[NDArray[np.integer[Any]]], Mask]
    nearest: Callable[[NDArray[np.integer[Any]]], Genes]
    draw: Callable[[int, "np.random.Generator"], Genes]
    price: Callable[[Genes], Prices]
    starts: Genes
    objectives: Objectives


class Space(Protocol):
    """What a study needs of a space: `nas.core.space.SearchSpace` has it, and so has a table."""

    @property
    def genes(self) -> Sequence[Gene]:
        """Every decision, in the order of `Architecture.genes`."""

    @property
    def size(self) -> int:
        """Number of distinct architectures."""

    def architecture(self, genes: Sequence[int]) -> Architecture:
        """The canonical architecture of `genes`."""
