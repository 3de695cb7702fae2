"""What a launch on a phone's processor is made of: amounts that can be counted by hand, and laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models import kernel_forms
from latency_models.kernel_forms.mobile_cpu import COEFFICIENTS, taps_inside, work
from nas.core.operators import KINDS, Operator, convolution, depthwise

FORM = kernel_forms.load("mobile_cpu")


@given(
    kind=st.sampled_from(KINDS),
    channels=st.integers(1, 64),
    kernel=st.sampled_from((1, 2, 3, 5, 7, 11)),
    stride=st.integers(1, 4),
    size=st.integers(1, 40),
    act=st.sampled_from(("", "relu", "hard_swish", "swish", "hard_sigmoid", "leaky_relu")),
)
def test_every_operator_has_amounts_of_known_coefficients(kind, channels, kernel, stride, size, act):
    operator = Operator(kind, channels, channels, kernel, stride, size, size, act)
    launches = FORM.kernels(operator)
    alone = kind == "activation" or act in ("", "relu")
    assert launches[0] == operator and len(launches) == (1 if alone else 2)
    for launch in launches:
        amounts = FORM.work(launch)
        assert set(amounts) <= set(COEFFICIENTS) and amounts["launch_ms"] == 1
        assert all(amount >= 0 for amount in amounts.values())


@given(st.integers(1, 30), st.sampled_from((1, 3, 5, 7)), st.integers(1, 2))
def test_taps_inside_are_those_of_a_padded_image_that_are_not_padding(size, kernel, stride):
    operator = depthwise(1, kernel, stride, size, size)
    positions = operator.out_height
    before = max(0, (positions - 1) * stride + kernel - size) // 2
    line = sum(1 for p in range(positions) for k in range(kernel) if 0 <= p * stride - before + k < size)
    assert taps_inside(operator) == line * line <= operator.macs


def test_small_products_cost_whole_tiles():
    assert work(convolution(16, 8, 1, 1, 5, 5))["pointwise_ms_per_mmac"] == pytest.approx(16 * 8 * 32 / 1e6)
    assert work(convolution(16, 9, 1, 1, 4, 8))["pointwise_ms_per_mmac"] == pytest.approx(16 * 16 * 32 / 1e6)


def test_layers_on_one_pixel_cost_their_weights():
    for operator in (convolution(64, 16, 1, 1, 1, 1), Operator("linear", 64, 16, 1, 1, 1, 1)):
        assert work(operator) == {"launch_ms": 1.0, "weights_ms_per_mb": pytest.approx(65 * 16 * 4e-6)}


def test_a_depthwise_kernel_of_five_pixels_on_a_small_image():
    amounts = work(depthwise(10, 5, 1, 7, 7))
    assert amounts["depthwise_s1_ms_per_mmac"] == pytest.approx(10 * 29 * 29 / 1e6)
    assert amounts["depthwise_ms_per_mb"] == pytest.approx(10 * 2 * 49 * 4e-6)


def test_activations_are_priced_by_their_functions():
    def name(act):
        return (set(work(Operator("activation", 8, 8, 1, 1, 4, 4, act))) - {"launch_ms"}).pop()

    assert name("hard_swish") == name("hard_sigmoid") == "hard_activation_ms_per_mb"
    assert name("swish") == name("sigmoid") == "exponential_ms_per_mb" and name("leaky_relu") == "elementwise_ms_per_mb"
