"""ncnn in fp32 on ARM processors: a launch for every layer, its traffic, and multiply-accumulates by algorithm.

ncnn packs four channels to a vector; 3x3 kernels of stride 1 are done by Winograd where both sides have enough channels,
other full convolutions by a matrix product. Relu, relu6, leaky relu and sigmoid are fused into the layer before, swish
and its relatives are layers of their own, as in ncnn's own versions of the published networks.
"""

import math

from latency_models.kernel_forms import Form, with_activation
from nas.core.operators import MOVES, Operator

BYTES = 4
FUSED_ACTIVATIONS = ("", "relu", "relu6", "leaky_relu", "sigmoid")
EXPONENTIAL = ("sigmoid", "swish", "gelu", "tanh", "mish", "elu", "softplus")
"""Activations that need an exponential for each number."""

PACK = 4
WINOGRAD_CHANNELS = 8
"""Fewest channels, on either side, for which Winograd is chosen."""

COEFFICIENTS = (
    "launch_ms",
    "traffic_ms_per_mb",
    "weights_ms_per_mb",
    "linear_ms_per_mb",
    "pointwise_ms_per_mmac",
    "winograd_ms_per_mmul",
    "winograd_ms_per_mb",
    "dense_ms_per_mmac",
    "first_ms_per_mmac",
    "depthwise_k3_ms_per_mmac",
    "depthwise_large_ms_per_mmac",
    "grouped_pointwise_ms_per_mmac",
    "grouped_ms_per_mmac",
    "groups_ms_each",
    "exponential_ms_per_melement",
    "normalise_ms_per_melement",
    "moves_ms_per_mb",
)


def kernels(operator: Operator) -> tuple[Operator, ...]:
    """The layer, and its activation where that is a layer of its own."""
    return with_activation(operator, FUSED_ACTIVATIONS)


def work(kernel: Operator) -> dict[str, float]:
    """Amounts of each of `COEFFICIENTS` that one layer needs; mega = 10^6."""
    traffic_mb = (kernel.in_elements + kernel.out_elements) * BYTES / 1e6
    found = {"launch_ms": 1.0, "traffic_ms_per_mb": traffic_mb}
    if kernel.inputs_of_each_output:
        found["linear_ms_per_mb" if kernel.kind == "linear" else "weights_ms_per_mb"] = kernel.weights * BYTES / 1e6
        if kernel.kind == "grouped":
            found["groups_ms_each"] = kernel.groups
        name = _algorithm(kernel)
        if name == "winograd":
            found["winograd_ms_per_mmul"] = winograd_multiplications(kernel) / 1e6
            found["winograd_ms_per_mb"] = traffic_mb
        elif name:
            found[name] = kernel.macs / 1e6
    elif kernel.kind == "activation" and kernel.activation in EXPONENTIAL:
        found["exponential_ms_per_melement"] = kernel.out_elements / 1e6
    elif kernel.kind in ("softmax", "normalise"):
        found["normalise_ms_per_melement"] = kernel.out_elements / 1e6
    elif kernel.kind in MOVES:
        found["moves_ms_per_mb"] = traffic_mb
    return found


def winograd_multiplications(kernel: Operator) -> float:
    """Multiplications of Winograd with tiles of 4x4 or 6x6 outputs, whichever needs fewer."""
    sizes = kernel.out_height, kernel.out_width
    each = min((tile + 2) ** 2 * math.prod(-(-size // tile) for size in sizes) for tile in (4, 6))
    return kernel.in_channels * kernel.out_channels * each


def _algorithm(kernel: Operator) -> str:
    """The coefficient of the multiply-accumulates; none where reading the weights takes longer."""
    if kernel.kind == "linear" or kernel.out_height * kernel.out_width == 1:
        return ""
    if kernel.kind == "depthwise":
        return "depthwise_k3_ms_per_mmac" if kernel.kernel == 3 else "depthwise_large_ms_per_mmac"
    if kernel.kind == "grouped":
        return "grouped_ms_per_mmac" if kernel.taps > 1 else "grouped_pointwise_ms_per_mmac"
    if kernel.in_channels < PACK:
        return "first_ms_per_mmac"
    if kernel.taps == 1:
        return "pointwise_ms_per_mmac"
    winograd = kernel.taps == 9 and kernel.stride == 1 and min(kernel.in_channels, kernel.out_channels) >= WINOGRAD_CHANNELS
    return "winograd" if winograd else "dense_ms_per_mmac"


PLUGIN = Form(COEFFICIENTS, kernels, work)
