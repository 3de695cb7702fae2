"""Rows that lack a constant: the fit finds it, and what it was given."""

import numpy as np
import pytest

from latency_models import relative_fitting
from latency_models.fitting import Row, Settings
from latency_models.kernel_forms import Form
from nas.core.errors import DataError
from nas.core.operators import Operator, convolution

FORM = Form(("launch_ms", "work_ms_per_mmac"), lambda op: (op,), lambda op: {"launch_ms": 1.0, "work_ms_per_mmac": op.macs / 1e6})
CONSTANTS = {"c": 0.3, "d": 0.05}


def rows(noise=0.0):
    random = np.random.default_rng(1)
    found = []
    for group in "abcdef":
        for _ in range(8):
            operators: tuple[Operator, ...] = tuple(convolution(16, int(random.integers(16, 200)), 1, 1, 14, 14) for _ in range(3))
            ms = 0.3 + 0.5 * sum(operator.macs for operator in operators) / 1e6
            found.append(Row(group, group, operators, ms * float(random.lognormal(0, noise)) - CONSTANTS.get(group, 0.0), 0.0))
    return found


@pytest.mark.parametrize(("noise", "tolerance"), [(0.0, 0.002), (0.02, 0.2)])
def test_coefficients_and_constants_are_found(noise, tolerance):
    found = relative_fitting.fit(FORM, rows(noise), CONSTANTS, Settings(fixed={"overhead_ms": 0.0}, robust=False))
    assert found.fit.coefficients["launch_ms"] == pytest.approx(0.1, rel=tolerance)
    assert found.fit.coefficients["work_ms_per_mmac"] == pytest.approx(0.5, rel=tolerance)
    assert found.constants_ms == pytest.approx(CONSTANTS, abs=0.02 if noise else 0.001)
    assert len(found.fit.measured_ms) == 32 and found.fit.mape_percent <= 3 * noise * 100 + 0.1


def test_two_absolute_groups_are_needed():
    with pytest.raises(DataError, match="two groups of absolute ones at least, got 1"):
        relative_fitting.fit(FORM, rows(), set("bcdef"), Settings())
