"""What the networks may cost at most. Limits hold on the upper bound of a prediction, never on its middle."""

from collections.abc import Mapping
from dataclasses import dataclass

from nas.core.errors import UnitError
from nas.core.latency import Interval
from nas.core.units import format_energy, format_latency, format_macs, format_size

METRICS = ("latency", "size", "memory", "energy", "macs")
"""What a budget may limit: milliseconds and millijoules at their upper bounds, megabytes, a number of operations."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What one network costs on a device; None is "not known", never "nothing".

    `size_mb` is the model file and `memory_mb` the peak of the activations, both in megabytes (10^6 bytes); see
    `nas.footprint`. `power_w` is what the device was measured to draw while it runs networks; `macs` are multiply-accumulates.
    """

    latency: Interval | None
    size_mb: float | None = None
    memory_mb: float | None = None
    power_w: float | None = None
    macs: float | None = None

    @property
    def energy_mj(self) -> float | None:
        """Energy of one image in millijoules: the measured power for as long as the latency."""
        return None if self.latency is None or self.power_w is None else self.power_w * self.latency.ms

    @property
    def energy_high_mj(self) -> float | None:
        """Upper bound of the energy, from that of the latency."""
        return None if self.latency is None or self.power_w is None else self.power_w * self.latency.high_ms

    def bound(self, metric: str) -> float | None:
        """What a limit on `metric`, one of `METRICS`, is compared with, in the limit's unit."""
        high_ms = self.latency.high_ms if self.latency else None
        bounds = {"latency": high_ms, "size": self.size_mb, "memory": self.memory_mb, "energy": self.energy_high_mj, "macs": self.macs}
        return bounds[metric]

    def value(self, metric: str) -> float | None:
        """What is expected of `metric`, one of `METRICS`; the middle of a prediction where `bound` is its upper end."""
        expected = {"latency": self.latency.ms if self.latency else None, "energy": self.energy_mj}
        return expected[metric] if metric in expected else self.bound(metric)


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a search: milliseconds, megabytes (10^6 bytes), millijoules, and multiply-accumulates. None is no limit."""

    latency_ms: float
    size_mb: float | None = None
    memory_mb: float | None = None
    energy_mj: float | None = None
    macs: float | None = None

    def __post_init__(self) -> None:
        for metric, limit in self.limits.items():
            if not 0 < limit < float("inf"):
                raise UnitError(f"a {metric} limit must be above zero and finite, got {limit:g} {_UNITS[metric][0]}".rstrip())

    @property
    def limits(self) -> Mapping[str, float]:
        """Every limit by its metric, in the order of `METRICS`: "latency" always, the others where they are given."""
        given = (self.latency_ms, self.size_mb, self.memory_mb, self.energy_mj, self.macs)
        return {metric: limit for metric, limit in zip(METRICS, given, strict=True) if limit is not None}

    def violations(self, costs: Costs) -> Mapping[str, float]:
        """Relative overrun by metric: above zero is infeasible. Metrics without a limit, and costs not known, are left out."""
        bounds = {metric: costs.bound(metric) for metric in self.limits}
        return {metric: bound / self.limits[metric] - 1.0 for metric, bound in bounds.items() if bound is not None}

    def verdict(self, costs: Costs) -> bool | None:
        """Whether `costs` are within every limit; None where a limited cost is not known and no other is beyond its limit."""
        overruns = self.violations(costs)
        if any(overrun > 0.0 for overrun in overruns.values()):
            return False
        return True if len(overruns) == len(self.limits) else None

    def holds(self, costs: Costs) -> bool:
        """Whether `costs` are known to be within every limit."""
        return self.verdict(costs) is True

    def say(self, metric: str, exact: bool = False) -> str:
        """One limit in words: "20.00 ms", "4.00 MB on disk"; `exact` with all of its digits: "20.0004 ms"."""
        return _UNITS[metric][1](self.limits[metric], exact) + _UNITS[metric][2]

    def words(self, exact: bool = False) -> str:
        """All limits in words."""
        return ", ".join(self.say(metric, exact) for metric in self.limits)

    def reads_like(self, metric: str, value: float) -> bool:
        """Whether `value` is not told from the limit of `metric` by the digits that are usually written."""
        return _UNITS[metric][1](value, False) == _UNITS[metric][1](self.limits[metric], False)

    def __str__(self) -> str:
        return self.words()


_UNITS = {
    "latency": ("ms", format_latency, ""),
    "size": ("MB", format_size, " on disk"),
    "memory": ("MB", format_size, " of memory"),
    "energy": ("mJ", format_energy, ""),
    "macs": ("", format_macs, ""),
}
