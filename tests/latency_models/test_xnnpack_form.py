"""XNNPACK's own: depthwise kernels beyond 25 taps."""

import numpy as np
import pytest

from latency_models import fitting, kernel_forms
from latency_models.fitting import Row
from latency_models.kernel_forms import mobile_cpu
from nas.core.operators import convolution, depthwise

FORM = kernel_forms.load("xnnpack")
EXTRA = "depthwise_many_taps_more_ms_per_mmac"


@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
def test_only_depthwise_kernels_of_many_taps_cost_more(kernel):
    one = depthwise(64, kernel, 1, 14, 14, "relu")
    found = FORM.work(one)
    plain = mobile_cpu.work(one)
    assert found == plain if kernel <= 5 else found == plain | {EXTRA: plain["depthwise_s1_ms_per_mmac"]}
    dense = convolution(16, 16, kernel, 1, 14, 14)
    assert FORM.work(dense) == mobile_cpu.work(dense) and FORM.kernels(dense) == mobile_cpu.kernels(dense)


def test_a_table_in_which_they_are_slow_is_fitted_far_better():
    """Eight times the time for each multiplication of a 7x7, as measured."""
    sizes = [(c, k, n) for c in (32, 64, 96, 160) for k in (3, 5, 7) for n in (7, 14, 28)]
    rows = []
    for i, (channels, kernel, size) in enumerate(sizes):
        one = depthwise(channels, kernel, 1, size, size)
        mmacs = mobile_cpu.taps_inside(one) * channels / 1e6
        rows.append(Row(str(i), str(i % 5), (one,), 0.005 + mmacs * (0.4 if kernel == 7 else 0.05)))
    plain, own = (fitting.fit(kernel_forms.load(name), rows) for name in ("mobile_cpu", "xnnpack"))
    assert own.mape_percent < 1 < 20 < plain.mape_percent and np.isclose(own.coefficients[EXTRA], 0.35, rtol=0.05)
