import dataclasses
import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_profiles
import latency_models
import search_spaces
from nas.core.latency import estimate
from nas.core.operators import Operator, convolution, depthwise, elementwise
from nas.core.space import make_divisible

NANO = latency_models.load(hardware_profiles.load("jetson-nano"))
SPACE = search_spaces.load("mobile_shuffle_32")


def mobilenet_v2(resolution, width=1.0):
    """Operators of MobileNetV2 (Sandler et al. 2018, table 2)."""
    channels, size = make_divisible(32 * width), -(-resolution // 2)
    found = [convolution(3, channels, 3, 2, resolution, resolution, "relu6")]
    for expand, out, repeats, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        out = make_divisible(out * width)
        for i in range(repeats):
            stride, hidden, after = (first if i == 0 else 1), channels * expand, -(-size // (first if i == 0 else 1))
            found += [convolution(channels, hidden, 1, 1, size, size, "relu6")] if expand > 1 else []
            found += [depthwise(hidden, 3, stride, size, size, "relu6"), convolution(hidden, out, 1, 1, after, after)]
            found += [elementwise("add", out, after, after)] if stride == 1 and channels == out else []
            channels, size = out, after
    found.append(convolution(channels, 1280, 1, 1, size, size, "relu6"))
    return [*found, Operator("pool", 1280, 1280, 1, 1, size, size), Operator("linear", 1280, 1000, 1, 1, 1, 1)]


def price(operators):
    total = NANO.overhead
    for operator in operators:
        total += NANO.kernel(operator).interval
    return total


def test_mobilenet_v2_costs_what_boards_of_this_class_need():
    operators = mobilenet_v2(224)
    assert sum(operator.macs for operator in operators) == pytest.approx(300.8e6, rel=0.001)
    found = price(operators)
    assert 8 < found.ms < 18
    assert found.low_ms < found.ms < found.high_ms < 2 * found.ms


def test_smaller_networks_cost_less():
    by_size = [price(mobilenet_v2(resolution)).ms for resolution in (96, 128, 160, 192, 224)]
    by_width = [price(mobilenet_v2(224, width)).ms for width in (0.35, 0.5, 0.75, 1.0, 1.4)]
    assert by_size == sorted(by_size) and by_width == sorted(by_width) and min(by_size + by_width) > 0.5


@given(
    kind=st.sampled_from(
        ["dense", "pointwise", "depthwise", "linear", "pool", "add", "se_scale", "split", "concat", "shuffle", "activation"]
    ),
    channels=st.integers(1, 600),
    more=st.integers(0, 200),
    kernel=st.sampled_from([3, 5, 7]),
    size=st.integers(1, 112),
    larger=st.integers(0, 20),
)
def test_prices_are_positive_and_grow_with_channels_and_pixels(kind, channels, more, kernel, size, larger):
    kernel = kernel if kind in ("dense", "depthwise") else 1
    size, larger = (1, 0) if kind == "linear" else (size, larger)
    # one pixel is the matrix-vector product of squeeze-and-excitation: another kernel than that of an image
    larger = 0 if size == 1 else larger
    small = NANO.kernel(Operator(kind, channels, channels, kernel, 1, size, size)).interval
    large = NANO.kernel(Operator(kind, channels + more, channels + more, kernel, 1, size + larger, size + larger)).interval
    assert 0 < small.ms <= large.ms and small.low_ms <= large.low_ms and small.high_ms <= large.high_ms


@pytest.mark.parametrize("kind", ["dense", "depthwise"])
def test_larger_odd_kernels_cost_more(kind):
    found = [NANO.kernel(Operator(kind, 64, 64, kernel, 1, 28, 28)).interval.ms for kernel in (3, 5, 7)]
    assert found == sorted(found) and found[0] < found[-1]


def test_what_was_not_measured_is_not_covered_and_has_wider_bounds():
    for operator in (
        depthwise(128, 7, 1, 28, 28),
        depthwise(128, 3, 2, 28, 28),
        elementwise("shuffle", 128, 28, 28),
        elementwise("add", 128, 28, 28),
        Operator("pool", 128, 128, 1, 1, 7, 7),
        Operator("pointwise", 128, 32, 1, 1, 1, 1),
    ):
        found = NANO.kernel(operator)
        assert found.covered_ms == 0
        assert (found.interval.low_ms, found.interval.high_ms) == pytest.approx((0.5 * found.interval.ms, 2 * found.interval.ms))
    known = NANO.kernel(depthwise(128, 5, 1, 28, 28))
    assert known.covered_ms == known.interval.ms > 0 and known.interval.high_ms < 1.3 * known.interval.ms


def test_an_activation_that_cannot_be_fused_is_a_kernel_of_its_own():
    layer = SPACE.layer(2, 1, SPACE.stages[2].choices[4], 64, 64, 4)
    assert layer.activation == "hard_swish"
    plain = dataclasses.replace(layer, activation="relu")
    assert NANO.block(layer).interval.ms > NANO.block(plain).interval.ms
    assert NANO.block(layer).covered_ms == pytest.approx(NANO.block(plain).covered_ms)


def test_a_network_is_the_sum_of_its_parts_and_says_where_it_comes_from():
    found = estimate(NANO, SPACE.network(SPACE.largest(), 1, 10))
    assert found.total.ms == pytest.approx(sum(part.ms for _, part in found.parts)) and found.parts[0][0] == "overhead"
    assert found.origin == "calibrated" and found.confidence == 0.95 and 0 < found.coverage < 1
    assert found.target.runtime == "tensorrt" and found.total.low_ms < found.total.ms < found.total.high_ms


def test_results_and_profile_are_of_the_same_fit():
    root = hardware_profiles.FOLDER.parent
    result = json.loads((root / "experiments/results/jetson_nano_fit.json").read_text())
    (target,) = tomllib.loads((hardware_profiles.FOLDER / "jetson-nano.toml").read_text())["targets"]
    assert target["parameters"]["coefficients"] == result["coefficients"]
    assert target["error"]["mape_percent"] == result["held_out"]["all"]["mape_percent"]
