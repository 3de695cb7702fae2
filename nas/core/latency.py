"""A latency always says where it comes from, and between which bounds the truth is expected."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.core.device import RuntimeTarget
from nas.core.errors import DeviceError
from nas.core.network import BlockSpec, NetworkSpec

ORIGINS = ("measured", "calibrated", "estimated")
"""From best to worst: timed on the device; a model fitted to published timings of it; a model's extrapolation."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A latency with its bounds, in milliseconds."""

    ms: float
    low_ms: float
    high_ms: float

    def __post_init__(self) -> None:
        if not 0 <= self.low_ms <= self.ms <= self.high_ms < float("inf"):
            raise DeviceError(f"not an interval: {self.low_ms} <= {self.ms} <= {self.high_ms} ms")

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.ms + other.ms, self.low_ms + other.low_ms, self.high_ms + other.high_ms)


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """Latency of a whole network: `total`, its `parts` by slot ("overhead" first), and its pedigree.

    `coverage` is the share of `total.ms`, from 0 to 1, that rests on entries or operator kinds that were measured
    or fitted; the rest is extrapolated and has widened the interval. `confidence` is the interval's nominal level.
    """

    total: Interval
    parts: tuple[tuple[str, Interval], ...]
    origin: str
    coverage: float
    confidence: float
    target: RuntimeTarget

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise DeviceError(f"origin is one of {', '.join(ORIGINS)}, not {self.origin!r}")


@dataclass(frozen=True, slots=True)
class BlockPrice:
    """One block: its interval, and the milliseconds of it that rest on measured or fitted entries."""

    interval: Interval
    covered_ms: float


class LatencyModel(Protocol):
    """Prices blocks for one target. Prices add up: a network costs `overhead` and the sum of its blocks."""

    @property
    def target(self) -> RuntimeTarget:
        """What the prices hold for."""

    @property
    def origin(self) -> str:
        """One of `ORIGINS`."""

    @property
    def confidence(self) -> float:
        """Nominal level of the intervals, such as 0.95."""

    @property
    def overhead(self) -> Interval:
        """What every network costs whatever its blocks are."""

    def block(self, spec: BlockSpec) -> BlockPrice:
        """Price of one block in the middle of a network."""


def estimate(model: LatencyModel, network: NetworkSpec) -> LatencyEstimate:
    """Latency of `network`: the overhead and the sum of its blocks."""
    return combine(model, network.slots, [model.block(block) for block in network.blocks])


def combine(model: LatencyModel, slots: Sequence[str], prices: Sequence[BlockPrice]) -> LatencyEstimate:
    """The estimate for blocks priced as `prices`, which stand at `slots`."""
    total = model.overhead
    covered = model.overhead.ms
    for price in prices:
        total = total + price.interval
        covered += price.covered_ms
    parts = (("overhead", model.overhead), *((slot, price.interval) for slot, price in zip(slots, prices, strict=True)))
    return LatencyEstimate(total, parts, model.origin, min(1.0, covered / total.ms), model.confidence, model.target)
