"""What a search alone found, where nothing is trained or exported (in a table, by a score), as one value for its report."""

from collections.abc import Mapping
from dataclasses import dataclass

from nas.core.budget import Budget, Costs
from nas.core.objectives import Objectives
from nas.core.pareto import growth, hypervolume
from nas.core.survey import Survey

COUNTABLE = 1e7
"""Steps up to which a hypervolume is worth its wait: of n members of a front in m objectives there are n to the power of m - 1."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An architecture that has a figure of merit.

    `name` stands for it in a report: its id, or its line in the table. `genes` are its options in the order of
    `SearchResult.genes`, and `description` says in one line what it is made of. `worth` is the accuracy or score; where that is a
    prediction it is between `bounds` in nine of ten cases. `within` says whether it is within the budget (it may have been judged
    under another one), and `learned` that another run judged it.
    """

    name: str
    genes: tuple[str, ...]
    description: str
    worth: float
    costs: Costs
    within: bool
    learned: bool = False
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a space whose every architecture is known: how many are within the budget, and what nobody beats.

    `front` has (worth, costs among the objectives) of the true front within the budget, from the least first cost to the most, and
    `best` the most worth that is within the budget.
    """

    within: int
    front: tuple[tuple[float, ...], ...]
    best: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A search that judged architectures, and nothing else.

    `title` and `lead` say in words what was searched. `judged` stand in the order in which they became known; `front` are those of
    them within the budget that nobody beats, from the least first cost to the most, and `best` is the most worth of them, None if
    nothing is within the budget. `quantity` is what `worth` is called; only where `share` may it be shown as a percentage.
    `origin` is where latencies come from, one of `nas.core.latency.ORIGINS` or "given" where somebody else's table has them.
    `genes` are names of the genes where each is a column of its own, else (). `corner` bounds hypervolumes: the worth and the costs
    that are worst. `truth` is None where not every architecture is known. `remarks` are sentences that a reader must know, `trust`
    such on what the figures mean. `seconds` is wall time by phase.
    """

    name: str
    title: str
    lead: str
    space: str
    quantity: str
    share: bool
    origin: str
    budget: Budget
    objectives: Objectives
    strategy: str
    trials: int
    seed: int
    genes: tuple[str, ...]
    judged: tuple[Judged, ...]
    front: tuple[Judged, ...]
    best: Judged | None
    corner: tuple[float, ...]
    truth: Truth | None
    survey: Survey
    remarks: tuple[str, ...]
    trust: tuple[str, ...]
    seconds: Mapping[str, float]
    environment: Mapping[str, str]
    command: str

    @property
    def evaluations(self) -> int:
        """Number of architectures within the budget that were judged for this run."""
        return sum(one.within and not one.learned for one in self.judged)

    def progress(self) -> tuple[tuple[int, float], ...]:
        """How much the front dominated after which number of evaluations: (evaluations, share of the most that is known of).

        That is the hypervolume of the true front, or of the front that was found where the true one is not known. What was learned
        from another run counts before the first evaluation. Only changes are there, and the end; nothing at all where the volume is
        zero, or too large a sum (`COUNTABLE`).
        """
        if not self.countable:
            return ()
        eligible = [one for one in self.judged if one.within]
        rows = [(-one.worth, *self.objectives.of(one.costs)) for one in eligible]
        volumes = growth(rows, self._reference)
        whole = self._whole() if self.truth else (float(volumes[-1]) if len(volumes) else 0.0)
        if not whole:
            return ()
        points: dict[int, float] = {}
        spent, before = 0, -1.0
        for one, volume in zip(eligible, volumes, strict=True):
            spent += not one.learned
            if volume > before:
                before = points[spent] = float(volume)
        points[spent] = before
        return tuple((number, volume / whole) for number, volume in points.items())

    @property
    def countable(self) -> bool:
        """Whether hypervolumes of the front and of the true front are worth their wait (`COUNTABLE`)."""
        members = max(len(self.front), len(self.truth.front) if self.truth else 0)
        return float(members) ** (len(self.objectives.names) - 1) <= COUNTABLE

    def reached(self) -> float | None:
        """Share of the true front's hypervolume that was reached, 0 to 1; None where it is not known."""
        progress = self.progress() if self.truth else ()
        return progress[-1][1] if progress else None

    @property
    def _reference(self) -> tuple[float, ...]:
        return (-self.corner[0], *self.corner[1:])

    def _whole(self) -> float:
        """Hypervolume of the true front."""
        assert self.truth is not None, "only where everything is known"
        return hypervolume([(-worth, *costs) for worth, *costs in self.truth.front], self._reference)
