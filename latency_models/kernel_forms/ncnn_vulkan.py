"""ncnn on a GPU by Vulkan: a dispatch for every layer, its traffic, and multiply-accumulates by algorithm.

3x3 kernels of stride 1 are done by Winograd, other full convolutions by a matrix product; a group of a grouped convolution
costs no dispatch of its own. Channels that do not pack by four are computed one by one.
"""

from latency_models.kernel_forms import Form, with_activation
from latency_models.kernel_forms.ncnn_cpu import BYTES, FUSED_ACTIVATIONS, PACK, winograd_multiplications
from nas.core.operators import Operator

WINOGRAD_CHANNELS = 16
"""Fewest channels, on either side, for which Winograd is chosen."""

COEFFICIENTS = (
    "launch_ms",
    "traffic_ms_per_mb",
    "weights_ms_per_mb",
    "linear_ms_per_mb",
    "pointwise_ms_per_mmac",
    "unpacked_ms_per_mmac",
    "winograd_ms_per_mmul",
    "dense_ms_per_mmac",
    "depthwise_ms_per_mmac",
    "grouped_ms_per_mmac",
    "normalise_ms_per_melement",
)


def kernels(operator: Operator) -> tuple[Operator, ...]:
    """The layer, and its activation where that is a layer of its own."""
    return with_activation(operator, FUSED_ACTIVATIONS)


def work(kernel: Operator) -> dict[str, float]:
    """Amounts of each of `COEFFICIENTS` that one layer needs; mega = 10^6."""
    found = {"launch_ms": 1.0, "traffic_ms_per_mb": (kernel.in_elements + kernel.out_elements) * BYTES / 1e6}
    if kernel.kind == "linear" or (kernel.inputs_of_each_output and kernel.out_height * kernel.out_width == 1):
        found["linear_ms_per_mb"] = kernel.weights * BYTES / 1e6
    elif kernel.inputs_of_each_output:
        found["weights_ms_per_mb"] = kernel.weights * BYTES / 1e6
        packs = kernel.in_channels < PACK or not (kernel.in_channels % PACK or kernel.out_channels % PACK)
        if kernel.kind in ("depthwise", "grouped"):
            found[f"{kernel.kind}_ms_per_mmac"] = kernel.macs / 1e6
        elif not packs:
            found["unpacked_ms_per_mmac"] = kernel.macs / 1e6
        elif kernel.taps == 1:
            found["pointwise_ms_per_mmac"] = kernel.macs / 1e6
        elif kernel.taps == 9 and kernel.stride == 1 and min(kernel.in_channels, kernel.out_channels) >= WINOGRAD_CHANNELS:
            found["winograd_ms_per_mmul"] = winograd_multiplications(kernel) / 1e6
        else:
            found["dense_ms_per_mmac"] = kernel.macs / 1e6
    elif kernel.kind in ("softmax", "normalise"):
        found["normalise_ms_per_melement"] = kernel.out_elements / 1e6
    return found


PLUGIN = Form(COEFFICIENTS, kernels, work)
