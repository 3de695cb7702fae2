"""What a search is to make as good as it can be: the accuracy, and what the networks cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from nas.core.budget import Costs
from nas.core.errors import ObjectivesError, UnknownNameError
from nas.core.pareto import non_dominated

T = TypeVar("T")

ACCURACY = "accuracy"
KEYS = {
    ACCURACY: "accuracy",
    "latency": "latency_ms",
    "size": "size_mb",
    "memory": "memory_mb",
    "energy": "energy_mj",
    "macs": "macs",
}
"""Every objective there is, and its name with its unit: milliseconds, megabytes (10^6 bytes), millijoules, a plain number."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """The objectives of a search in the order in which they were asked for: "accuracy", which rises, and costs, which fall.

    Costs are compared by what is expected (`Costs.value`); their upper bounds are for budgets.

    Raises:
        UnknownNameError: there is no objective of that name.
        ObjectivesError: the accuracy is not among them, there is nothing beside it, or one is named twice.
    """

    names: tuple[str, ...] = (ACCURACY, "latency")

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in KEYS:
                raise UnknownNameError("objective", name, KEYS)
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise ObjectivesError(f"{', '.join(twice)} is named twice in the objectives {self}: name each once")
        if ACCURACY not in self.names or len(self.names) < 2:
            others = ", ".join(name for name in KEYS if name != ACCURACY)
            raise ObjectivesError(
                f"{str(self) or 'nothing'} is no trade-off to search: give accuracy and at least one of {others}, such as accuracy,latency"
            )

    @classmethod
    def parse(cls, text: str) -> "Objectives":
        """The objectives in `text`, such as "accuracy,latency,size"."""
        return cls(tuple(name.strip() for name in text.split(",") if name.strip()))

    @property
    def costs(self) -> tuple[str, ...]:
        """All but the accuracy, in their order."""
        return tuple(name for name in self.names if name != ACCURACY)

    @property
    def place(self) -> int:
        """Where the accuracy stands among them."""
        return self.names.index(ACCURACY)

    @property
    def keys(self) -> tuple[str, ...]:
        """Names with their units: "accuracy", "latency_ms"."""
        return tuple(KEYS[name] for name in self.names)

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """Of each "maximize" or "minimize"."""
        return tuple("maximize" if name == ACCURACY else "minimize" for name in self.names)

    def of(self, costs: Costs) -> tuple[float, ...]:
        """What is to be made small, in the order of `self.costs`.

        Raises:
            ObjectivesError: one of them is not known.
        """
        found = [(name, costs.value(name)) for name in self.costs]
        unknown = [name for name, value in found if value is None]
        if unknown:
            raise ObjectivesError(f"the objective {', '.join(unknown)} is not known of the networks: leave it out of {self}")
        return tuple(value for _, value in found if value is not None)

    def values(self, accuracy: float, costs: Costs) -> list[float]:
        """The objectives of a network in their order."""
        found = list(self.of(costs))
        found.insert(self.place, accuracy)
        return found

    def front(self, candidates: Sequence[T], accuracy: Callable[[T], float], costs: Callable[[T], Costs]) -> list[T]:
        """The candidates that no other beats in all objectives, by the first cost and then by the accuracy, both rising."""
        if not candidates:
            return []
        minimised = [(-accuracy(one), *self.of(costs(one))) for one in candidates]
        keep = non_dominated(minimised)
        order = sorted(range(len(candidates)), key=lambda place: (minimised[place][1], -minimised[place][0]))
        return [candidates[place] for place in order if keep[place]]

    def __str__(self) -> str:
        return ",".join(self.names)


DEFAULT = Objectives()
"""Accuracy and latency."""
