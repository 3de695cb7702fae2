"""Inference on the CPU of a phone or a single-board computer, fp32: TensorFlow Lite (with or without XNNPACK) and Paddle Lite.

A convolution costs its multiply-accumulates, the numbers that it packs and writes, and a call. Depthwise kernels skip taps
that fall outside the image, which matters on 7 pixels. Layers on one pixel (linear, squeeze-and-excitation) are bound by
reading their weights. ReLU and ReLU6 are computed inside the convolution, other activations are kernels of their own. The
matrix product's tile was found on a Galaxy Note10: blocks of 25, 36 and 49 pixels take the time of 32, 40 and 56.
"""

from functools import cache

from latency_models.kernel_forms import Form, whole, with_activation
from nas.core.operators import Operator

BYTES = 4
"""Of one number."""

TILE = 8
"""Output channels, and pixels, that the inner loop of a matrix product computes at once: less costs as much."""

FUSED_ACTIVATIONS = ("", "relu", "relu6")
"""Activations that the runtimes compute inside the convolution."""

EXPONENTIALS = ("sigmoid", "swish", "gelu", "tanh", "mish", "elu", "selu", "softplus")
"""Activations that need an exponential function for each number."""

COEFFICIENTS = (
    "launch_ms",
    "pointwise_ms_per_mmac",
    "dense_ms_per_mmac",
    "grouped_ms_per_mmac",
    "traffic_ms_per_mb",
    "weights_ms_per_mb",
    "depthwise_s1_ms_per_mmac",
    "depthwise_s2_ms_per_mmac",
    "depthwise_ms_per_mb",
    "elementwise_ms_per_mb",
    "hard_activation_ms_per_mb",
    "exponential_ms_per_mb",
    "pool_ms_per_mb",
    "move_ms_per_mb",
    "shuffle_ms_per_mb",
)
"""Each an amount of `work` and the time of one unit: mega = 10^6, `traffic` is what a convolution packs and writes."""


def kernels(operator: Operator) -> tuple[Operator, ...]:
    """The operator, and its activation where that cannot be fused."""
    return with_activation(operator, FUSED_ACTIVATIONS)


def work(kernel: Operator) -> dict[str, float]:
    """Amounts of each of `COEFFICIENTS` that one launch of `kernel` needs."""
    read_mb = kernel.in_elements * BYTES / 1e6
    both_mb = read_mb + kernel.out_elements * BYTES / 1e6
    found = {"launch_ms": 1.0}
    if kernel.kind == "depthwise":
        found[f"depthwise_s{min(kernel.stride, 2)}_ms_per_mmac"] = taps_inside(kernel) * kernel.out_channels / 1e6
        found["depthwise_ms_per_mb"] = both_mb
    elif kernel.kind == "linear" or (kernel.kind == "pointwise" and kernel.out_height * kernel.out_width == 1):
        found["weights_ms_per_mb"] = kernel.weights * BYTES / 1e6
    elif kernel.kind in ("pointwise", "dense", "grouped"):
        pixels, channels = whole(kernel.out_height * kernel.out_width, TILE), whole(kernel.out_channels, TILE)
        found[f"{kernel.kind}_ms_per_mmac"] = kernel.taps * kernel.inputs_of_each_output * channels * pixels / 1e6
        found["weights_ms_per_mb"] = kernel.weights * BYTES / 1e6
        found["traffic_ms_per_mb"] = both_mb
    elif kernel.kind in ("pool", "window_pool"):
        found["pool_ms_per_mb"] = read_mb * (1 if kernel.kind == "pool" else kernel.taps / kernel.stride**2)
    elif kernel.kind in ("add", "multiply", "se_scale", "normalise"):
        found["elementwise_ms_per_mb"] = both_mb
    elif kernel.kind in ("activation", "softmax"):
        found[_activation(kernel)] = both_mb
    else:
        found["shuffle_ms_per_mb" if kernel.kind in ("shuffle", "copy") else "move_ms_per_mb"] = both_mb
    return found


def taps_inside(kernel: Operator) -> int:
    """Taps of all positions of a depthwise kernel that fall on the image and not on its padding; a multiply for each channel."""
    rows = _inside(kernel.in_height, kernel.out_height, kernel.kernel, kernel.stride)
    return rows * _inside(kernel.in_width, kernel.out_width, kernel.kernel_width or kernel.kernel, kernel.stride)


@cache
def _inside(size: int, positions: int, taps: int, stride: int) -> int:
    """The same along one axis. The padding is what the output needs, the smaller half of it before the image."""
    before = max(0, (positions - 1) * stride + taps - size) // 2
    starts = (position * stride - before for position in range(positions))
    return sum(min(start + taps, size) - max(start, 0) for start in starts)


def _activation(kernel: Operator) -> str:
    if kernel.kind == "softmax" or kernel.activation in EXPONENTIALS:
        return "exponential_ms_per_mb"
    return "hard_activation_ms_per_mb" if kernel.activation.startswith("hard_") else "elementwise_ms_per_mb"


PLUGIN = Form(COEFFICIENTS, kernels, work)
