"""A latency always says where it comes from, and between which bounds the truth is expected."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.core.device import RuntimeTarget
from nas.core.errors import DeviceError
from nas.core.network import BlockSpec, NetworkSpec
from nas.core.operators import Operator

ORIGINS = ("measured", "calibrated", "estimated")
"""From best to worst: timed on the device; a model fitted to timings of it; a model's extrapolation."""


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
    """One block or operator: its interval, and the milliseconds of it that rest on measured or fitted entries.

    `weights_mb` (10^6 bytes) are what it takes of the cache, for models in which that matters (`Spill`); 0 for others.
    """

    interval: Interval
    covered_ms: float
    weights_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Spill:
    """What weights cost that do not stay in the processor's cache between runs: `per_mb` milliseconds beyond `cached_mb`."""

    cached_mb: float
    per_mb: Interval

    def of(self, weights_mb: float) -> Interval:
        """Milliseconds for a network whose weights take `weights_mb`."""
        beyond = max(0.0, weights_mb - self.cached_mb)
        return Interval(self.per_mb.ms * beyond, self.per_mb.low_ms * beyond, self.per_mb.high_ms * beyond)


NO_SPILL = Spill(0.0, Interval(0.0, 0.0, 0.0))
"""For models that say nothing of caches."""


class Priced(Protocol):
    """What prices hold for, and what comes to the sum of the parts: a network costs `overhead`, its parts, and the `spill` of weights."""

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
        """What every network costs whatever its parts are."""

    @property
    def spill(self) -> Spill:
        """What weights beyond the cache cost; `NO_SPILL` for most models."""


class OperatorModel(Priced, Protocol):
    """Prices operators for one target: for networks that are not made of our blocks."""

    def operator(self, operator: Operator) -> BlockPrice:
        """Price of one operator, its activation included."""


class LatencyModel(Priced, Protocol):
    """Prices blocks for one target."""

    def block(self, spec: BlockSpec) -> BlockPrice:
        """Price of one block in the middle of a network."""


class DeviceModel(LatencyModel, Protocol):
    """What is known of one target of a device: prices of blocks, and of single operators."""

    def by_operator(self) -> OperatorModel:
        """The prices of single operators.

        Raises:
            DeviceError: the device's figures cannot price them; the message says what to do.
        """


def estimate(model: LatencyModel, network: NetworkSpec) -> LatencyEstimate:
    """Latency of `network`: the overhead, its blocks, and its weights beyond the cache."""
    return combine(model, network.slots, [model.block(block) for block in network.blocks])


def combine(model: Priced, names: Sequence[str], prices: Sequence[BlockPrice]) -> LatencyEstimate:
    """The estimate of a network of blocks or operators that are called `names` and priced as `prices`."""
    spilled = model.spill.of(sum(price.weights_mb for price in prices))
    total = model.overhead + spilled
    covered = total.ms
    for price in prices:
        total = total + price.interval
        covered += price.covered_ms
    parts = [("overhead", model.overhead), *((name, price.interval) for name, price in zip(names, prices, strict=True))]
    if spilled.ms:
        parts.append(("weights beyond the cache", spilled))
    coverage = min(1.0, covered / total.ms) if total.ms > 0 else 0.0
    return LatencyEstimate(total, tuple(parts), origin_of(model, coverage), coverage, model.confidence, model.target)


def origin_of(model: Priced, coverage: float) -> str:
    """Where a price of `model` comes from: its own origin, or "estimated" if most of the price is extrapolated."""
    return model.origin if coverage >= 0.5 else "estimated"
