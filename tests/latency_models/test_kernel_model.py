import dataclasses
import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_profiles
import latency_models
import search_spaces
from latency_models import kernel_forms, kernel_model
from latency_models.kernel_model import Cover, parse_cover
from nas.core.errors import DeviceError, UnknownNameError
from nas.core.latency import estimate
from nas.core.operators import KINDS, Operator, convolution, depthwise, elementwise
from nas.core.space import make_divisible

PROFILE = hardware_profiles.load("jetson-nano")
MODELS = {f"{target.target.runtime} {target.target.threads}": kernel_model.PLUGIN(PROFILE, target, "") for target in PROFILE.targets}
NANO = MODELS["tensorrt 0"]
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


def price(model, operators):
    total = model.overhead
    for operator in operators:
        total += model.operator(operator).interval
    return total


@pytest.mark.parametrize(
    ("target", "low", "high"), [("tensorrt 0", 9, 16), ("ncnn-vulkan 0", 10, 17), ("ncnn 1", 75, 115), ("ncnn 4", 26, 45)]
)
def test_mobilenet_v2_costs_what_boards_of_this_class_need(target, low, high):
    operators = mobilenet_v2(224)
    assert sum(operator.macs for operator in operators) == pytest.approx(300.8e6, rel=0.001)
    found = price(MODELS[target], operators)
    assert low < found.ms < high and found.low_ms < found.ms < found.high_ms < 2 * found.ms


@pytest.mark.parametrize("target", MODELS)
def test_smaller_networks_cost_less(target):
    by_size = [price(MODELS[target], mobilenet_v2(resolution)).ms for resolution in (96, 128, 160, 192, 224)]
    by_width = [price(MODELS[target], mobilenet_v2(224, width)).ms for width in (0.35, 0.5, 0.75, 1.0, 1.4)]
    assert by_size == sorted(by_size) and by_width == sorted(by_width) and min(by_size + by_width) > 0.5


@given(
    target=st.sampled_from(sorted(MODELS)),
    kind=st.sampled_from(KINDS),
    channels=st.integers(1, 150),
    more=st.integers(0, 50),
    kernel=st.sampled_from([3, 5, 7]),
    size=st.integers(1, 112),
    larger=st.integers(0, 20),
)
def test_prices_are_positive_and_grow_with_channels_and_pixels(target, kind, channels, more, kernel, size, larger):
    kernel = kernel if kind in ("dense", "depthwise", "grouped", "window_pool") else 1
    size, larger = (1, 0) if kind == "linear" else (size, larger)
    # one pixel is the matrix-vector product of squeeze-and-excitation, and few channels another algorithm than many
    larger = 0 if size == 1 else larger
    channels, more = 16 * channels, 16 * more
    groups = 2 if kind == "grouped" else 1
    small = MODELS[target].operator(Operator(kind, channels, channels, kernel, 1, size, size, groups=groups)).interval
    large = (
        MODELS[target]
        .operator(Operator(kind, channels + more, channels + more, kernel, 1, size + larger, size + larger, groups=groups))
        .interval
    )
    assert 0 < small.ms <= large.ms + 1e-12 and small.low_ms <= large.low_ms + 1e-12 and small.high_ms <= large.high_ms + 1e-12


@pytest.mark.parametrize("form", kernel_forms.names())
@given(data=st.data())
def test_work_of_a_form_is_what_its_coefficients_count(form, data):
    loaded = kernel_forms.load(form)
    kind = data.draw(st.sampled_from(KINDS))
    activation = data.draw(st.sampled_from(["", "relu", "relu6", "hard_swish", "swish", "sigmoid", "gelu"]))
    size, channels = data.draw(st.integers(1, 64)), 4 * data.draw(st.integers(1, 64))
    operator = Operator(kind, channels, channels, 3 if kind in ("dense", "depthwise", "window_pool") else 1, 1, size, size, activation)
    launched = loaded.kernels(operator)
    assert launched[0] == operator and len(launched) <= 2
    assert kind != "activation" or launched == (operator,)
    for kernel in launched:
        work = loaded.work(kernel)
        assert set(work) <= set(loaded.coefficients) and all(amount >= 0 for amount in work.values()) and sum(work.values()) > 0


@pytest.mark.parametrize("kind", ["dense", "depthwise"])
def test_larger_odd_kernels_cost_more(kind):
    found = [NANO.kernel(Operator(kind, 64, 64, kernel, 1, 28, 28)).interval.ms for kernel in (3, 5, 7)]
    assert found == sorted(found) and found[0] < found[-1]


def test_split_shuffle_and_concat_are_priced_and_an_addition_is_fused():
    unit, add = (
        [NANO.operator(elementwise(kind, 116, 28, 28)).interval.ms for kind in ("split", "shuffle", "concat")],
        NANO.operator(elementwise("add", 116, 28, 28)),
    )
    assert min(unit) > 0.05 and add.interval.ms < 0.5 * min(unit)


def test_what_was_not_measured_is_not_covered_and_has_wider_bounds():
    factors = NANO.factors
    assert factors.extrapolated_low < factors.low and factors.extrapolated_high > factors.high
    for operator in (
        depthwise(128, 7, 1, 28, 28),
        depthwise(128, 3, 2, 28, 28),
        convolution(96, 24, 1, 1, 28, 28),
        elementwise("shuffle", 128, 28, 28),
        elementwise("add", 128, 28, 28),
        Operator("pool", 128, 128, 1, 1, 7, 7),
        Operator("resize", 128, 128, 1, 1, 7, 7, out_size=(14, 14)),
    ):
        found = NANO.operator(operator)
        bounds = (factors.extrapolated_low * found.interval.ms, factors.extrapolated_high * found.interval.ms)
        assert found.covered_ms == 0 < found.interval.ms and (found.interval.low_ms, found.interval.high_ms) == pytest.approx(bounds)
    known = NANO.operator(depthwise(128, 5, 1, 28, 28))
    dilated = NANO.operator(dataclasses.replace(depthwise(128, 5, 1, 28, 28), dilation=2))
    assert dilated.interval.ms == known.interval.ms and dilated.interval.high_ms > known.interval.high_ms and dilated.covered_ms == 0
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


@pytest.mark.parametrize(
    ("text", "cover"),
    [
        ("add", Cover("add")),
        ("dense k2-7 s1", Cover("dense", (2, 7), (1, 1))),
        ("pointwise c64-512", Cover("pointwise", channels=(64, 512))),
        ("activation hard_swish", Cover("activation", activation="hard_swish")),
    ],
)
def test_covers_are_read(text, cover):
    assert parse_cover(text) == cover


@pytest.mark.parametrize(
    "text",
    ["", "convolution", "dense k", "dense k3 k5", "dense 3", "dense k3-", "dense relu", "activation hard_swis", "activation relu gelu"],
)
def test_a_cover_that_is_not_one_is_named(text):
    with pytest.raises(DeviceError, match="wanted is a kind and ranges"):
        parse_cover(text)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"form": "tensorflow"}, "no kernel form is named 'tensorflow'; did you mean"),
        ({"covers": ["dens"]}, r"covers says 'dens'"),
        ({"coefficients": {"launch_ms": 1.0}}, "missing or unknown names: copy_ms_per_mb"),
        ({"coefficients": {"launch_ms": -1.0}}, r"coefficients.launch_ms: Input should be greater"),
        ({"more": 1}, "more: Extra inputs"),
    ],
)
def test_damaged_parameters_are_named(change, complaint):
    target = next(target for target in PROFILE.targets if target.target.runtime == "tensorrt")
    damaged = dataclasses.replace(target, parameters={**target.parameters, **change})
    with pytest.raises((DeviceError, UnknownNameError), match=complaint):
        kernel_model.PLUGIN(PROFILE, damaged, "")


def test_results_and_profile_are_of_the_same_fit():
    root = hardware_profiles.FOLDER.parent
    result = json.loads((root / "experiments/results/jetson_nano_fit.json").read_text())
    targets = tomllib.loads((hardware_profiles.FOLDER / "jetson-nano.toml").read_text())["targets"]
    assert [(target["runtime"], target["threads"]) for target in targets] == [("tensorrt", 0), ("ncnn-vulkan", 0), ("ncnn", 1), ("ncnn", 4)]
    assert targets[0]["parameters"]["coefficients"] == result["coefficients"]
    assert targets[0]["error"]["mape_percent"] == result["held_out"]["all"]["mape_percent"] <= 5
    ncnn = json.loads((root / "experiments/results/ncnn_fit.json").read_text())
    for target, name in zip(targets[1:], ("Vulkan", "1 thread(s)", "4 thread(s)"), strict=True):
        found = ncnn[f"NVIDIA Jetson Nano, {name}"]
        assert target["parameters"]["coefficients"] == found["coefficients"]
        assert target["error"]["mape_percent"] == found["leave_one_out_mape_percent"] <= 9


def test_the_default_target_is_tensorrt():
    assert latency_models.load(PROFILE).target.runtime == "tensorrt"
