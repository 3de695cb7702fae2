"""ONNX Runtime in int8: channels that do not fill a vector, first layers, concatenations."""

import numpy as np
import pytest

from latency_models import fitting, kernel_forms
from latency_models.fitting import Row
from latency_models.kernel_forms import mobile_cpu
from nas.core.operators import convolution, depthwise, elementwise

FORM = kernel_forms.load("onnxruntime_int8")
UNEVEN = "depthwise_uneven_more_ms_per_mmac"


def test_depthwise_channels_come_in_sixteens_and_uneven_ones_cost_more():
    eight, twelve, sixteen = (FORM.work(depthwise(channels, 3, 1, 14, 14)) for channels in (8, 12, 16))
    assert eight["depthwise_s1_ms_per_mmac"] == twelve["depthwise_s1_ms_per_mmac"] == sixteen["depthwise_s1_ms_per_mmac"]
    assert UNEVEN in twelve and UNEVEN not in eight and UNEVEN not in sixteen


@pytest.mark.parametrize(("out", "filled"), [(8, 16), (16, 16), (24, 32)])
def test_a_matrix_product_fills_its_blocks(out, filled):
    found = FORM.work(convolution(30, out, 1, 1, 14, 14))
    assert found["pointwise_ms_per_mmac"] == pytest.approx(32 * filled * 196 / 1e6)
    assert found["uneven_more_ms_per_mmac"] == pytest.approx(30 * out * 196 / 1e6)
    assert "uneven_more_ms_per_mmac" not in FORM.work(convolution(32, out, 1, 1, 14, 14))


def test_a_first_layer_copies_its_pixels_for_every_tap():
    first, later = FORM.work(convolution(3, 16, 3, 2, 32, 32)), FORM.work(convolution(16, 16, 3, 2, 32, 32))
    assert first["first_ms_per_mb"] == pytest.approx(9 * 3 * 16 * 16 * 4 / 1e6) and first["first_more_ms_per_mmac"] > 0
    assert "first_ms_per_mb" not in later and later.keys() <= mobile_cpu.work(convolution(16, 16, 3, 2, 32, 32)).keys()


def test_a_concatenation_is_priced_by_itself_and_other_moves_as_before():
    assert FORM.work(elementwise("concat", 16, 8, 8)).keys() == {"launch_ms", "concat_ms_per_mb"}
    assert FORM.work(elementwise("split", 16, 8, 8)) == mobile_cpu.work(elementwise("split", 16, 8, 8))


def test_a_table_in_which_uneven_channels_are_slow_is_fitted_far_better():
    rows = []
    for i, (channels, size) in enumerate((c, n) for c in (12, 16, 24, 30, 48, 54, 64, 110) for n in (7, 14, 28)):
        one = depthwise(channels, 3, 1, size, size)
        mmacs = mobile_cpu.taps_inside(one) * kernel_forms.whole(channels, 16) / 1e6
        rows.append(Row(str(i), str(i % 5), (one,), 0.005 + mmacs * (0.3 if channels % 8 else 0.05)))
    plain, own = (fitting.fit(kernel_forms.load(name), rows) for name in ("mobile_cpu", "onnxruntime_int8"))
    assert own.mape_percent < 1 < 20 < plain.mape_percent and np.isclose(own.coefficients[UNEVEN], 0.25, rtol=0.05)
