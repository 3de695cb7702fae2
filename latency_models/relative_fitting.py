"""Fits a form to rows of which some groups lack a constant: latencies relative to something whose time is unknown.

Coefficients and constants are found in turn: given coefficients, a group's constant is the one that brings its rows nearest
to their predictions; given constants, every row is absolute and `fitting.solve` applies. Constants are not negative. The
held-out error is that of absolute groups alone: a left-out group with an unknown constant cannot say how wrong it is.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from latency_models import fitting
from latency_models.fitting import CONFIDENCE, OVERHEAD, Fit, Floats, Row, Settings
from latency_models.kernel_forms import Form
from nas.core.errors import DataError

ROUNDS, TOLERANCE_MS = 500, 1e-6


@dataclass(frozen=True, slots=True)
class RelativeFit:
    """`fit` as of absolute rows (held-out figures are of those), and the constant in ms that each relative group lacked."""

    fit: Fit
    constants_ms: dict[str, float]


def fit(form: Form, rows: Sequence[Row], relative: Collection[str], settings: Settings) -> RelativeFit:
    """Fits `form` to `rows`; those of the groups `relative` lack one constant a group.

    Raises:
        DataError: fewer than two absolute groups.
    """
    measured, groups = fitting.latencies(rows), np.array([row.group for row in rows])
    absolute = np.array([row.group not in relative for row in rows])
    if len(set(groups[absolute])) < 2:
        raise DataError(f"a fit of relative latencies needs two groups of absolute ones at least, got {len(set(groups[absolute]))}")
    matrix, plain = fitting.amounts(form, rows), fitting.baseline_amounts(rows)
    names = (OVERHEAD, *form.coefficients)
    predicted, baseline = np.empty(len(rows)), np.empty(len(rows))
    for group in sorted(set(groups[absolute])):
        out, rest = groups == group, groups != group
        found, _ = _solve(names, matrix[rest], measured[rest], groups[rest], relative, _part(settings, rest))
        predicted[out] = matrix[out] @ found
        known = rest & absolute
        baseline[out] = plain[out] @ fitting.solve((OVERHEAD, "macs"), plain[known], measured[known], Settings())
    found, constants = _solve(names, matrix, measured, groups, relative, settings)
    ratios = measured[absolute] / predicted[absolute]
    low, high = fitting.conformal_factors(ratios)
    coefficients = dict(zip(names, found.tolist(), strict=True))
    held_out = (predicted[absolute], baseline[absolute], measured[absolute])
    return RelativeFit(Fit(coefficients, *held_out, low, high, CONFIDENCE), constants)


def _solve(
    names: Sequence[str], matrix: Floats, measured: Floats, groups: Floats, relative: Collection[str], settings: Settings
) -> tuple[Floats, dict[str, float]]:
    constants = {str(group): 0.0 for group in sorted(set(groups)) if group in relative}
    for _ in range(ROUNDS):
        whole = measured + np.array([constants.get(group, 0.0) for group in groups])
        found = fitting.solve(names, matrix, whole, settings)
        gap, before = matrix @ found - measured, constants
        # rows count by their relative residual, as in the fit
        constants = {g: max(0.0, float(np.average(gap[groups == g], weights=whole[groups == g] ** -2.0))) for g in before}
        if all(abs(constants[group] - before[group]) < TOLERANCE_MS for group in constants):
            break
    return found, constants


def _part(settings: Settings, rows: Floats) -> Settings:
    return replace(settings, weights=None if settings.weights is None else settings.weights[rows])
