"""From the sum of a network's blocks to the network: blocks timed alone include calls and layout changes that a network saves."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.table_file import Calibration, NetworkTiming
from nas.core.device import HeldOutError
from nas.core.errors import MeasurementError

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Nominal level of the interval, where there are enough networks to state it."""

MIN_NETWORKS = 4


def calibrate(networks: Sequence[NetworkTiming]) -> Calibration:
    """Line through the networks that are not held out, and the interval that their leave-one-out ratios give.

    With n networks the extreme ratios bound a further one with confidence (n - 1) / (n + 1); that is what is stated where
    n is too small for `CONFIDENCE`.

    Raises:
        MeasurementError: fewer than four networks.

    Source: jackknife prediction (Barber et al. 2021), on ratios of truth to prediction.
    """
    used = [network for network in networks if not network.held_out]
    if len(used) < MIN_NETWORKS:
        raise MeasurementError(f"a calibration needs {MIN_NETWORKS} measured networks at least, got {len(used)}")
    sums, truth = (np.array([getattr(network, name) for network in used]) for name in ("sum_ms", "measured_ms"))
    factor, offset_ms = line(sums, truth)
    ratios = np.empty(len(used))
    for i in range(len(used)):
        rest = np.arange(len(used)) != i
        a, b = line(sums[rest], truth[rest])
        ratios[i] = truth[i] / (a * sums[i] + b)
    ratios.sort()
    n = len(ratios)
    skip = int(np.floor((n + 1) * (1 - CONFIDENCE) / 2))
    low, high = ratios[max(skip - 1, 0)], ratios[min(n - skip, n - 1)]
    confidence = CONFIDENCE if skip else (n - 1) / (n + 1)
    return Calibration(factor, offset_ms, min(1.0, float(low)), max(1.0, float(high)), confidence)


def line(x: Floats, y: Floats) -> tuple[float, float]:
    """(slope, intercept) of least relative squares, neither below zero: a network costs no less than nothing."""
    rows, ones = np.stack([x, np.ones_like(x)], axis=1) / y[:, None], np.ones_like(y)
    slope, intercept = np.linalg.lstsq(rows, ones, rcond=None)[0]
    if intercept >= 0 and slope > 0:
        return float(slope), float(intercept)
    only = rows[:, :1] if slope > 0 else rows[:, 1:]
    value = float(np.linalg.lstsq(only, ones, rcond=None)[0][0])
    return (value, 0.0) if slope > 0 else (0.0, value)


def held_out_error(networks: Sequence[NetworkTiming], calibration: Calibration) -> HeldOutError:
    """Mean absolute percentage error on the held-out networks, beside that of a line through MACs alone.

    Raises:
        MeasurementError: no network was held out.
    """
    unseen = [network for network in networks if network.held_out]
    if not unseen:
        raise MeasurementError("no measured network was held out, so the error is unknown")
    used = [network for network in networks if not network.held_out]
    a, b = line(np.array([float(network.macs) for network in used]), np.array([network.measured_ms for network in used]))
    errors = [abs((calibration.factor * n.sum_ms + calibration.offset_ms) / n.measured_ms - 1) for n in unseen]
    plain = [abs((a * n.macs + b) / n.measured_ms - 1) for n in unseen]
    return HeldOutError(round(100 * float(np.mean(errors)), 2), len(unseen), round(100 * float(np.mean(plain)), 2))
