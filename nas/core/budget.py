"""What the networks may cost at most. A budget holds on the upper bound of a prediction, never on its middle."""

from dataclasses import dataclass

from nas.core.errors import UnitError
from nas.core.latency import Interval
from nas.core.units import format_latency


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a search, in milliseconds."""

    latency_ms: float

    def __post_init__(self) -> None:
        if not 0 < self.latency_ms < float("inf"):
            raise UnitError(f"a latency budget must be above zero and finite, got {self.latency_ms} ms")

    def violation(self, latency: Interval) -> float:
        """Relative overrun of the upper bound: above zero is infeasible, zero or below feasible."""
        return latency.high_ms / self.latency_ms - 1.0

    def holds(self, latency: Interval) -> bool:
        """Whether the upper bound is within the budget."""
        return self.violation(latency) <= 0.0

    def __str__(self) -> str:
        return format_latency(self.latency_ms)
