"""What a launch of ONNX Runtime on an x86 processor is made of: amounts that can be counted by hand, and laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models import kernel_forms
from latency_models.kernel_forms.onnxruntime_cpu import BLOCK, COEFFICIENTS, NEAR_MB, work
from nas.core.operators import KINDS, Operator, convolution, depthwise

FORM = kernel_forms.load("onnxruntime_cpu")


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
    assert launches[0] == operator and len(launches) == (2 if act == "swish" and kind != "activation" else 1)
    for launch in launches:
        amounts = FORM.work(launch)
        assert set(amounts) <= set(COEFFICIENTS) and amounts["launch_ms"] == 1
        assert all(amount >= 0 for amount in amounts.values())


@pytest.mark.parametrize(
    ("operator", "names", "mmacs"),
    [
        (convolution(24, 40, 1, 1, 28, 28), ["macs"], 32 * 48 * 28 * 28),
        (convolution(24, 40, 3, 2, 28, 28), ["macs", "dense_k3_more"], 9 * 32 * 48 * 14 * 14),
        (convolution(32, 32, 5, 1, 28, 28), ["macs", "dense_large_more"], 25 * 32 * 32 * 28 * 28),
        (convolution(3, 16, 3, 2, 224, 224), ["macs", "first_more"], 27 * 16 * 112 * 112),
        (depthwise(24, 3, 1, 8, 8), ["depthwise_s1"], 22 * 22 * 32),
        (depthwise(64, 3, 2, 8, 8), ["depthwise_s2"], 11 * 11 * 64),
        (Operator("grouped", 24, 24, 3, 1, 8, 8, groups=3), ["macs", "grouped_more"], 9 * 8 * 32 * 64),
    ],
)
def test_channels_are_filled_up_to_whole_blocks(operator, names, mmacs):
    found = {name: amount for name, amount in work(operator).items() if name.endswith("_per_mmac")}
    assert found == dict.fromkeys((f"{name}_ms_per_mmac" for name in names), pytest.approx(mmacs / 1e6)) and BLOCK == 16


def test_a_layer_on_one_pixel_reads_its_weights():
    gate, classifier = convolution(64, 16, 1, 1, 1, 1), Operator("linear", 64, 10, 1, 1, 1, 1)
    for one in (gate, classifier):
        assert work(one) == {"launch_ms": 1.0, "linear_ms_per_mb": pytest.approx(one.weights * 4 / 1e6)}


def test_h_swish_that_is_written_out_is_as_many_calls():
    known, written = (FORM.kernels(Operator("pointwise", 16, 16, 1, 1, 8, 8, "hard_swish", nodes=nodes)) for nodes in (1, 4))
    written_mb = 16 * 8 * 8 * 4 / 1e6
    assert len(known) == 1 and work(known[0])["pass_ms_per_mb"] == pytest.approx(written_mb)
    assert work(written[1])["launch_ms"] == 6 and work(written[1])["pass_ms_per_mb"] == pytest.approx(6 * written_mb)


def test_relu_is_free_and_what_comes_after_is_a_pass():
    plain, relu, relu6 = (work(convolution(64, 256, 1, 1, 28, 28, act)) for act in ("", "relu", "relu6"))
    assert plain == relu and relu6 == relu | {"pass_ms_per_mb": 256 * 28 * 28 * 4 / 1e6}


@given(st.integers(1, 40), st.integers(2, 40))
def test_what_the_near_cache_holds_is_not_far(channels, size):
    operator = convolution(16 * channels, 16, 1, 1, size, size)
    both_mb = (16 * channels + 16) * size * size * 4 / 1e6
    assert work(operator)["far_ms_per_mb"] == pytest.approx(max(0.0, both_mb - NEAR_MB))
