"""From the sum of a network's blocks to the network: what blocks timed alone do not share, and what they have to themselves.

A block in a session of its own pays for a call, and for the layout of its input and output, which blocks in a network do
not: each join of two blocks saves that. Its weights stay in the cache from run to run, those of a whole network only as far
as they fit: the rest is read from memory each time. Both are fitted to whole networks.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.table_file import Calibration, NetworkTiming
from latency_models.fitting import conformal_factors, mape_percent, nnls
from nas.core.device import HeldOutError
from nas.core.errors import MeasurementError

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Nominal level of the interval, where there are enough networks to state it."""

MIN_NETWORKS = 4
"""Networks without which nothing is fitted."""

CACHES_MB = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 16.0, 32.0)
"""Weights that may stay in a cache: sizes that are tried. None of them must help: that is tried first."""

BEST_OF_CACHES = 0.9
"""A cache is believed in where it brings the error of left-out networks below this share of the error without one."""

LEAST = 0.05
"""Share of the sum of its blocks that every network is taken to need: timings so noisy that the joins save all of it give an interval
that is wide, and not one that ends below zero."""


def calibrate(networks: Sequence[NetworkTiming], confidence: float = CONFIDENCE) -> Calibration:
    """The terms that fit the networks which are not held out, and the interval that their leave-one-out ratios give (`factors_of`).

    Raises:
        MeasurementError: fewer than four networks.
    """
    used = [network for network in networks if not network.held_out]
    if len(used) < MIN_NETWORKS:
        raise MeasurementError(f"a calibration needs {MIN_NETWORKS} measured networks at least, got {len(used)}")
    measured = np.array([network.measured_ms for network in used])
    cached_mb = _cached_mb(used)
    ratios = measured / _left_out(used, cached_mb)
    factor, join_ms, cold_ms_per_mb = terms(used, cached_mb)
    low, high, stated = factors_of(ratios, confidence)
    return Calibration(factor, join_ms, cold_ms_per_mb, cached_mb if cold_ms_per_mb else 0.0, low, high, stated)


def factors_of(ratios: Floats, confidence: float) -> tuple[float, float, float]:
    """Factors on a prediction between which the truth lies, and with which confidence; `ratios` are truth over left-out prediction.

    With too few networks for `confidence` their extreme ratios are the bounds: those of n hold a further one with
    confidence (n - 1) / (n + 1), which is what is stated then.

    Source: jackknife prediction (Barber et al. 2021), on ratios of truth to prediction.
    """
    n = len(ratios)
    if n >= 1 / (1 - confidence) - 1:
        return *conformal_factors(ratios, confidence), confidence
    return min(1.0, float(ratios.min())), max(1.0, float(ratios.max())), (n - 1) / (n + 1)


def predicted_ms(networks: Sequence[NetworkTiming], calibration: Calibration) -> Floats:
    """(networks,) what `calibration` makes of the sums of their blocks."""
    terms = np.array([calibration.factor, calibration.join_ms, calibration.cold_ms_per_mb])
    return _amounts(networks, calibration.cached_mb) @ terms


def held_out_error(networks: Sequence[NetworkTiming], calibration: Calibration) -> HeldOutError:
    """Mean absolute percentage error on the held-out networks, beside that of a line through MACs alone.

    Raises:
        MeasurementError: no network was held out.
    """
    unseen = [network for network in networks if network.held_out]
    if not unseen:
        raise MeasurementError("no measured network was held out, so the error is unknown")
    used = [network for network in networks if not network.held_out]
    measured = np.array([network.measured_ms for network in unseen])
    slope, offset_ms = line(np.array([float(network.macs) for network in used]), np.array([network.measured_ms for network in used]))
    plain = slope * np.array([float(network.macs) for network in unseen]) + offset_ms
    error = mape_percent(predicted_ms(unseen, calibration), measured)
    return HeldOutError(round(error, 2), len(unseen), round(mape_percent(plain, measured), 2))


def line(x: Floats, y: Floats) -> tuple[float, float]:
    """(slope, intercept) of least relative squares, neither below zero: a network costs no less than nothing."""
    slope, intercept = nnls(np.stack([x, np.ones_like(x)], axis=1) / y[:, None], np.ones_like(y))
    return float(slope), float(intercept)


def _cached_mb(networks: Sequence[NetworkTiming]) -> float:
    """The size of cache whose fit predicts left-out networks best; 0 where none is clearly better than no cache term."""
    measured = np.array([network.measured_ms for network in networks])
    without = [replace(network, weights_mb=0.0) for network in networks]
    errors = {size: mape_percent(_left_out(networks, size), measured) for size in CACHES_MB}
    best = min(errors, key=lambda size: errors[size])
    return best if errors[best] < BEST_OF_CACHES * mape_percent(_left_out(without, 0.0), measured) else 0.0


def _left_out(networks: Sequence[NetworkTiming], cached_mb: float) -> Floats:
    """(networks,) each predicted from the others; above zero."""
    amounts = _amounts(networks, cached_mb)
    everybody = np.arange(len(networks))
    predicted = np.array([amounts[i] @ _solve(networks, amounts, everybody != i) for i in everybody])
    return np.maximum(predicted, LEAST * np.array([network.sum_ms for network in networks]))


def terms(networks: Sequence[NetworkTiming], cached_mb: float) -> tuple[float, float, float]:
    """(factor, milliseconds a join, milliseconds a MB of weights beyond `cached_mb`) that fit all of `networks` best."""
    amounts = _amounts(networks, cached_mb)
    factor, join_ms, cold = _solve(networks, amounts, np.ones(len(networks), dtype=bool))
    return float(factor), float(join_ms), float(cold)


def _solve(networks: Sequence[NetworkTiming], amounts: Floats, rows: NDArray[np.bool_]) -> Floats:
    measured = np.array([network.measured_ms for network in networks])[rows]
    return nnls(amounts[rows] / measured[:, None], np.ones_like(measured))


def _amounts(networks: Sequence[NetworkTiming], cached_mb: float) -> Floats:
    """(networks, 3) what each term counts: the blocks' sum, joins (which save time), and weights beyond the cache, if there is one."""
    cold = [max(0.0, network.weights_mb - cached_mb) if cached_mb else 0.0 for network in networks]
    return np.array([[network.sum_ms, 1.0 - network.blocks, beyond] for network, beyond in zip(networks, cold, strict=True)])
