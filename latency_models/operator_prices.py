"""Single operators from a table of measured blocks: a kernel model of its rows, corrected by its whole networks.

What a block costs beside its arithmetic (the call, threads that wait for each other) shows in the rows as an intercept a block,
and a network of other blocks has none of these. So the table's own networks are priced operator by operator, and what
they took says by which factor operators are off, what each launch costs beyond the model, and what every network costs once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardware_profiles.table_file import Calibration, NetworkTiming
from latency_models.calibration import MIN_NETWORKS, factors_of
from latency_models.drawn_networks import specs
from latency_models.fitting import nnls
from latency_models.kernel_model import KernelModel
from nas.core.device import RuntimeTarget
from nas.core.latency import BlockPrice, Interval, Spill
from nas.core.network import BlockSpec, NetworkSpec
from nas.core.operators import Operator
from nas.footprint import bytes_of
from search_spaces import blocks

Floats = NDArray[np.float64]
Largest = Mapping[tuple[str, int], int]
"""Multiply-accumulates of the largest operator by kind and kernel."""

LAUNCH = "launch_ms"
"""The coefficient of one launch, which every form of a processor has."""

FAR_LARGER = 4
"""In multiply-accumulates, than the largest operator of the same kind and kernel."""

_UNLIKE = (0.5, 2.0)
"""What the bounds of an operator are multiplied with that is unlike any in the table: an assumption."""


@dataclass(frozen=True, slots=True)
class OperatorPrices:
    """Prices of operators from `kernels`, the corrected kernel model.

    `low_factor` and `high_factor` are what whole networks leave unexplained. The error of left-out rows comes on top, since whoever asks
    for operators has networks of another kind. Operators unlike any of `largest` have bounds that are wider still, and are not covered.
    """

    kernels: KernelModel
    confidence: float
    overhead: Interval
    spill: Spill
    low_factor: float
    high_factor: float
    largest: Largest

    @property
    def target(self) -> RuntimeTarget:
        """What the prices hold for."""
        return self.kernels.target

    @property
    def origin(self) -> str:
        """Calibrated: fits to measured blocks and networks price operators; estimated without networks."""
        return self.kernels.origin

    def operator(self, operator: Operator) -> BlockPrice:
        """Price of one operator, its activation included."""
        ms = self.kernels.operator(operator).interval.ms
        low, high = self.low_factor * self.kernels.factors.low, self.high_factor * self.kernels.factors.high
        most = self.largest.get((operator.kind, operator.kernel))
        covered = operator.dilation == 1 and most is not None and operator.macs <= FAR_LARGER * most
        if not covered:
            low, high = low * _UNLIKE[0], high * _UNLIKE[1]
        weights_mb = operator.weights * bytes_of(self.target.precision) / 1e6
        return BlockPrice(Interval(ms, ms * low, ms * high), ms if covered else 0.0, weights_mb)


def fitted(model: KernelModel, calibration: Calibration, rows: Collection[BlockSpec], timings: Sequence[NetworkTiming]) -> OperatorPrices:
    """Prices from `model`, which fits `rows`, corrected by those of `timings` that calibrate.

    Without whole networks that could be found again `model` stays as it is, with its intercept once a network, and is an estimate.
    """
    largest = _largest(operator for row in rows for operator in blocks.operators(row))
    known = specs(timings, rows)
    used = [(timing, spec) for timing, spec in known if not timing.held_out]
    if len(used) < MIN_NETWORKS:
        once, spill = _bounded(model.overhead_ms, calibration), Spill(calibration.cached_mb, _bounded(0.0, calibration))
        alone = replace(model, origin="estimated")
        return OperatorPrices(alone, calibration.confidence, once, spill, calibration.low_factor, calibration.high_factor, largest)
    amounts = np.array([_amounts(model, spec, calibration.cached_mb) for _, spec in used])
    measured = np.array([timing.measured_ms for timing, _ in used])
    everybody = np.arange(len(used))
    left_out = np.array([amounts[i] @ _solved(amounts[everybody != i], measured[everybody != i]) for i in everybody])
    low, high, confidence = factors_of(measured / left_out, calibration.confidence)
    factor, launch_ms, once_ms, cold_ms_per_mb = _solved(amounts, measured).tolist()
    coefficients = {name: factor * value + (launch_ms if name == LAUNCH else 0.0) for name, value in model.coefficients.items()}
    return OperatorPrices(
        KernelModel(model.target, model.origin, confidence, model.form, (), once_ms, coefficients, model.factors),
        confidence,
        Interval(once_ms, once_ms * low, once_ms * high),
        Spill(calibration.cached_mb, Interval(cold_ms_per_mb, cold_ms_per_mb * low, cold_ms_per_mb * high)),
        low,
        high,
        largest,
    )


def _amounts(model: KernelModel, spec: NetworkSpec, cached_mb: float) -> tuple[float, ...]:
    """What each term of the correction counts: the sum of the operators, launches, the network itself, weights beyond the cache."""
    of = _operators(spec)
    launches = sum(model.form.work(kernel)[LAUNCH] for operator in of for kernel in model.form.kernels(operator))
    weights_mb = blocks.weights(spec) * bytes_of(model.target.precision) / 1e6
    beyond_mb = max(0.0, weights_mb - cached_mb) if cached_mb else 0.0
    return sum(model.operator(operator).interval.ms for operator in of), launches, 1.0, beyond_mb


def _solved(amounts: Floats, measured: Floats) -> Floats:
    """(terms,) of least relative squares, none below zero."""
    return nnls(amounts / measured[:, None], np.ones_like(measured))


def _operators(spec: NetworkSpec) -> list[Operator]:
    return [operator for block in spec.blocks for operator in blocks.operators(block)]


def _largest(of: Iterable[Operator]) -> Largest:
    found: dict[tuple[str, int], int] = {}
    for operator in of:
        found[operator.kind, operator.kernel] = max(operator.macs, found.get((operator.kind, operator.kernel), 0))
    return found


def _bounded(ms: float, calibration: Calibration) -> Interval:
    return Interval(ms, ms * calibration.low_factor, ms * calibration.high_factor)
