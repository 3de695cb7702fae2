"""A device's prices, fitted once more with networks of a search that were timed on it: what `nas.on_device` learns.

A table is calibrated anew, with these networks among its own. Before that its own are brought to the speed that the device has
today: what the timed networks have in common against the table's prediction; and the timed ones weigh more than one each, as much
as the table's together or ten times that, where left-out ones are predicted better so. A model without a table gets a factor (or, where
that clearly predicts better, a factor and another overhead). Either way bounds hold every network that was timed, as the
fit without it predicts it; with few networks a t-interval keeps them from being narrower than so little data allow.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardware_profiles import table_file
from hardware_profiles.table_file import Calibration, NetworkTiming
from latency_models.calibration import MIN_NETWORKS, calibrate, predicted_ms, terms
from latency_models.fitting import conformal_factors, mape_percent, nnls
from latency_models.lookup_table import LookupTable
from latency_models.pricing import Prices, PriceTable
from nas.core.device import DeviceProfile, RuntimeTarget
from nas.core.latency import BlockPrice, Interval, LatencyModel, Spill, estimate
from nas.core.network import BlockSpec, NetworkSpec
from search_spaces import blocks

Floats = NDArray[np.float64]

MIN_TIMED = 3
"""Networks without which prices stay as they are; bounds are widened to hold those that were timed."""

MIN_AFFINE = 5
"""Networks without which no overhead is fitted."""

BEST_OF_FORMS = 0.9
"""An overhead of its own, or a heavier weight, is believed in where it brings the error of left-out networks below this share."""

HEAVIEST = 10
"""How many times what a table's own networks weigh those of a search may weigh, where that predicts left-out ones better."""

PRIOR_NETWORKS = 3
"""How many timed networks the model's own interval counts for, where it is asked how far networks differ."""

THINNEST = 0.01
"""Share of a latency that half an interval is at least, however well few networks agree: timings do not repeat better than that."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A network of the search and the milliseconds that it takes on the device."""

    network: NetworkSpec
    ms: float


@dataclass(frozen=True, slots=True)
class Refit:
    """What the timed networks made of a model: its prices now, and what they say of each of these without itself, in ms."""

    model: LatencyModel
    left_out_ms: tuple[float, ...]


def refit(model: LatencyModel, timed: Sequence[Timed], known: Sequence[NetworkTiming] = ()) -> Refit:
    """`model` as the timed networks correct it; `known` are the networks that it was calibrated with (`known_networks`).

    With fewer than `MIN_TIMED` networks no price changes.
    """
    if not timed:
        return Refit(model, ())
    own = [network for network in known if not network.held_out]
    if isinstance(model, LookupTable) and len(own) >= MIN_NETWORKS:
        return _recalibrated(model, timed, own)
    return _corrected(model, timed)


def known_networks(device: DeviceProfile, model: LatencyModel, space: str) -> tuple[NetworkTiming, ...]:
    """The networks in the table that `model` reads: those of the space with that key, or all where there are none; () without a table.

    Raises:
        DeviceError: the table is damaged.
    """
    if not isinstance(model, LookupTable):
        return ()
    networks = table_file.read(table_file.path_of(Path(device.path), model.target)).head.networks
    return tuple(network for network in networks if network.space == space) or networks


def bias(logarithms: Floats, spread: float) -> float:
    """What (n,) logarithms of truth over prediction have in common, as far as it stands out from chance.

    `spread` is their standard deviation as the model's own interval tells it. Their mean is shrunk by the share of its square
    that chance alone explains.

    Source: the positive-part estimator of James and Stein 1961, in one dimension.
    """
    n = len(logarithms)
    if not n:
        return 0.0
    mean = float(logarithms.mean())
    variance = (PRIOR_NETWORKS * spread**2 + float(((logarithms - mean) ** 2).sum())) / (PRIOR_NETWORKS + n - 1)
    return mean * (1.0 - variance / n / mean**2) if mean**2 > variance / n else 0.0


def _recalibrated(table: LookupTable, timed: Sequence[Timed], own: Sequence[NetworkTiming]) -> Refit:
    measured = np.array([one.ms for one in timed])
    before = np.array([estimate(table, one.network).total.ms for one in timed])
    if len(timed) < MIN_TIMED:
        return Refit(_bounded(table, table.calibration, measured / before, timed), tuple(before.tolist()))
    rows, old = [_row(table, one) for one in timed], table.calibration
    spread = math.log(old.high_factor / old.low_factor) / (2 * _normal(old.confidence))
    logarithms, everybody = np.log(measured / before), np.arange(len(timed))

    def pooled(with_these: NDArray[np.bool_], weight: int) -> list[NetworkTiming]:
        today = math.exp(bias(logarithms[with_these], spread))
        mine = [row for row, used in zip(rows, with_these, strict=True) if used]
        return [*(replace(network, measured_ms=network.measured_ms * today) for network in own), *mine * weight]

    plain = calibrate(pooled(everybody >= 0, 1), old.confidence)

    def fitted(with_these: NDArray[np.bool_], weight: int) -> Calibration:
        factor, join_ms, cold_ms_per_mb = terms(pooled(with_these, weight), plain.cached_mb)
        return replace(plain, factor=factor, join_ms=join_ms, cold_ms_per_mb=cold_ms_per_mb)

    balanced = max(1, round(len(own) / len(timed)))
    left_out = {
        weight: np.array([predicted_ms([rows[i]], fitted(everybody != i, weight))[0] for i in everybody])
        for weight in sorted({1, balanced, HEAVIEST * balanced})
    }
    errors = {weight: mape_percent(found, measured) for weight, found in left_out.items()}
    best = min(errors, key=lambda weight: errors[weight])
    weight = best if errors[best] < BEST_OF_FORMS * errors[1] else 1
    bounded = _bounded(table, fitted(everybody >= 0, weight), measured / left_out[weight], timed)
    return Refit(bounded, tuple(left_out[weight].tolist()))


def _bounded(table: LookupTable, calibration: Calibration, ratios: Floats, timed: Sequence[Timed]) -> LookupTable:
    """`table` with that calibration, and bounds that hold networks with these ratios of truth to prediction, and the timed ones."""
    plain = _with(table, calibration)
    fitted = np.array([one.ms / estimate(plain, one.network).total.ms for one in timed])
    enough = len(ratios) >= 1 / (1 - calibration.confidence) - 1
    low, high = conformal_factors(ratios, calibration.confidence) if enough else (float(ratios.min()), float(ratios.max()))
    low, high = min(calibration.low_factor, low, float(fitted.min())), max(calibration.high_factor, high, float(fitted.max()))
    return _with(table, replace(calibration, low_factor=low, high_factor=high))


def _with(table: LookupTable, calibration: Calibration) -> LookupTable:
    return LookupTable(table.target, table.origin, calibration, table.rows, table.improve, table.power_w)


def _row(table: LookupTable, timed: Timed) -> NetworkTiming:
    """The timed network as a row of `table`; what its blocks take alone follows from what they cost."""
    prices = [table.block(block) for block in timed.network.blocks]
    alone = sum(price.interval.ms + table.calibration.join_ms for price in prices) / table.calibration.factor
    weights_mb = sum(price.weights_mb for price in prices)
    return NetworkTiming("", len(prices), blocks.macs(timed.network), weights_mb, alone, timed.ms, False)


@dataclass(frozen=True, slots=True)
class Corrected:
    """Prices of `model` times `factor`, bounds `width` times as far from the middle, and an `overhead` of its own."""

    model: LatencyModel
    origin: str
    factor: float
    width: float
    overhead: Interval

    @property
    def target(self) -> RuntimeTarget:
        """What the prices hold for."""
        return self.model.target

    @property
    def confidence(self) -> float:
        """Nominal level of the intervals."""
        return self.model.confidence

    @property
    def spill(self) -> Spill:
        """What weights beyond the cache cost."""
        return Spill(self.model.spill.cached_mb, _scaled(self.model.spill.per_mb, self.factor, self.width))

    def block(self, spec: BlockSpec) -> BlockPrice:
        """Price of one block."""
        return self._of(self.model.block(spec))

    def _of(self, price: BlockPrice) -> BlockPrice:
        return BlockPrice(_scaled(price.interval, self.factor, self.width), self.factor * price.covered_ms, price.weights_mb)


def _scaled(interval: Interval, factor: float, width: float) -> Interval:
    below, above = width * (interval.ms - interval.low_ms), width * (interval.high_ms - interval.ms)
    return Interval(factor * interval.ms, factor * max(0.0, interval.ms - below), factor * (interval.ms + above))


@dataclass(frozen=True, slots=True)
class _Form:
    """How truth follows from predictions: `factor` times what is beyond the model's overhead, and the `overhead_ms`.

    `proportional`: that is the model's, times the same factor.
    """

    factor: float
    overhead_ms: float
    proportional: bool

    def of(self, predicted: Floats, overhead_ms: float) -> Floats:
        return self.factor * (predicted - overhead_ms) + self.overhead_ms


def _corrected(model: LatencyModel, timed: Sequence[Timed]) -> Refit:
    measured = np.array([one.ms for one in timed])
    totals = [estimate(model, one.network).total for one in timed]
    before = np.array([total.ms for total in totals])
    above = np.maximum(THINNEST, np.array([total.high_ms / total.ms - 1.0 for total in totals]))
    below = np.maximum(THINNEST, np.array([1.0 - total.low_ms / total.ms for total in totals]))

    def halves(predicted: Floats) -> Floats:
        """(n,) how far from the truth, in halves of the model's intervals."""
        off = measured / predicted - 1.0
        return np.abs(off) / np.where(off > 0, above, below)

    if len(timed) < MIN_TIMED:
        width = max(1.0, float(halves(before).max()))
        return Refit(
            _holding(Corrected(model, model.origin, 1.0, width, _scaled(model.overhead, 1.0, width)), timed), tuple(before.tolist())
        )
    spread = float(np.mean(np.log1p(above) - np.log(np.maximum(THINNEST, 1.0 - below)))) / (2 * _normal(model.confidence))
    form, left_out = _form(measured, before, model.overhead.ms, spread)
    fitted = form.of(before, model.overhead.ms)
    free = len(timed) - (1 if form.proportional else 2)
    width = max(float(halves(fitted).max()), _t_width(halves(left_out), free, model.confidence), THINNEST / float(min(*above, *below)))
    origin = "calibrated" if model.origin == "estimated" else model.origin
    if form.proportional:
        overhead = _scaled(model.overhead, form.factor, width)
    else:
        typical = Interval(1.0, max(0.0, 1.0 - float(below.mean())), 1.0 + float(above.mean()))
        overhead = _scaled(typical, form.overhead_ms, width)
    return Refit(_holding(Corrected(model, origin, form.factor, width, overhead), timed), tuple(left_out.tolist()))


def _holding(model: Corrected, timed: Sequence[Timed]) -> Corrected:
    """`model`, with intervals wide enough for every timed network: thin ones were counted as wider than they are."""
    short = max(_short(estimate(model, one.network).total, one.ms) for one in timed)
    return replace(model, width=model.width * short, overhead=_scaled(model.overhead, 1.0, short)) if short > 1.0 else model


def _short(interval: Interval, ms: float) -> float:
    """How many times as wide the interval must be to hold `ms`; 1 where it does, or has no width at all."""
    half = interval.high_ms - interval.ms if ms > interval.ms else interval.ms - interval.low_ms
    return max(1.0, abs(ms - interval.ms) / half) if half > 0 else 1.0


def _form(measured: Floats, before: Floats, overhead_ms: float, spread: float) -> tuple[_Form, Floats]:
    """The form that predicts left-out networks best, and what it says of each from the others."""
    logarithms, everybody = np.log(measured / before), np.arange(len(measured))

    def proportional(used: NDArray[np.bool_]) -> _Form:
        factor = math.exp(bias(logarithms[used], spread))
        return _Form(factor, factor * overhead_ms, True)

    def affine(used: NDArray[np.bool_]) -> _Form:
        amounts = np.stack([before - overhead_ms, np.ones_like(before)], axis=1)[used]
        factor, constant = nnls(amounts / measured[used][:, None], np.ones(len(amounts)))
        return _Form(float(factor), float(constant), False)

    forms = [proportional, affine] if len(measured) >= MIN_AFFINE else [proportional]
    left_out = [np.array([fit(everybody != i).of(before[i : i + 1], overhead_ms)[0] for i in everybody]) for fit in forms]
    errors = [float(np.abs(np.log(np.maximum(one, 1e-12) / measured)).mean()) for one in left_out]
    best = 1 if len(forms) > 1 and errors[1] < BEST_OF_FORMS * errors[0] and affine(everybody >= 0).factor > 0 else 0
    return forms[best](everybody >= 0), left_out[best]


def _t_width(halves: Floats, free: int, confidence: float) -> float:
    """The width, in halves of the model's intervals, at which a further network is within it with that confidence.

    `halves` are distances of left-out networks, with `free` degrees of freedom. The greatest of them at least: normal errors are
    an assumption.
    """
    from scipy.stats import t

    return max(float(halves.max()), float(t.ppf((1 + confidence) / 2, free)) * math.sqrt(float((halves**2).mean())))


def _normal(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


@dataclass(frozen=True, slots=True, eq=False)
class TimedPrices(PriceTable):
    """Prices of which some are timings: the architectures with the genes in `timed`, in canonical form, cost what was measured."""

    timed: Mapping[tuple[int, ...], Interval]

    @classmethod
    def over(cls, prices: PriceTable, timed: Mapping[tuple[int, ...], Interval]) -> "TimedPrices":
        """`prices` but for those."""
        return cls(prices.model, prices.table, timed)

    def price(self, genes: ArrayLike) -> Prices:
        """As `PriceTable.price`; `genes` are in canonical form (`latency_models.pricing.canonical`)."""
        found = PriceTable.price(self, genes)
        if not self.timed:
            return found
        ms, low_ms, high_ms, coverage = (column.copy() for column in (found.ms, found.low_ms, found.high_ms, found.coverage))
        rows = np.asarray(genes, dtype=np.int64)
        known = np.array(list(self.timed), dtype=np.int64)
        weights = np.random.default_rng(0).integers(1, 2**40, size=rows.shape[1])  # a sum that equal genes share, and few others
        sums, wanted = rows @ weights, known @ weights
        for at in np.flatnonzero(np.isin(sums, wanted)):
            interval = self.timed.get(tuple(rows[at].tolist()))
            if interval is not None:
                ms[at], low_ms[at], high_ms[at], coverage[at] = interval.ms, interval.low_ms, interval.high_ms, 1.0
        return Prices(ms, low_ms, high_ms, coverage)
