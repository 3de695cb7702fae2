"""NVIDIA TensorRT in fp32 on a small GPU: launches, memory traffic and tiled multiply-accumulates, added up.

A GPU computes whole tiles: 64 output channels x 128 pixels, for 3x3 kernels (Winograd) 8 x 16 pixels. Work smaller than
a tile costs a tile, which is why narrow layers are not as fast as their MACs promise. Traffic of convolutions, partly hidden
behind multiplications, has its own coefficient beside that of kernels which only `copy` or compute little.

Fused into the convolution before: relu, relu6, and the addition of a residual, of which the read remains. Pointwise chains
such as swish and h-swish are one kernel of their own. A split copies each half, a shuffle transposes and copies.
"""

import math

from latency_models.kernel_forms import Form, clamp, whole, with_activation
from nas.core.operators import CONVOLUTIONS, Operator

BYTES = 4
"""Of one number."""

TILE_CHANNELS, TILE_PIXELS = 64, 128
WINOGRAD_TILE = (8, 16)
FUSED_ACTIVATIONS = ("", "relu", "relu6")
"""Activations that the runtime computes inside the convolution; others are kernels of their own."""

DENSE_KERNELS, DEPTHWISE_KERNELS = (2, 7), (2, 5)
"""Smallest and largest kernels that have a coefficient; those beyond cost as much per MAC as the nearest."""

FIRST_INPUTS = 800_000
"""Inputs of a linear layer up to which each costs more (`linear_first`); found in the measurements."""

LAUNCHES = {"add": 0, "split": 2, "shuffle": 2}
"""Kernels of an operator where they are not one."""

COEFFICIENTS = (
    "launch_ms",
    "traffic_ms_per_mb",
    "copy_ms_per_mb",
    "weights_ms_per_mb",
    "pointwise_ms_per_mmac",
    *(f"dense_k{kernel}_ms_per_mmac" for kernel in range(DENSE_KERNELS[0], DENSE_KERNELS[1] + 1)),
    *(f"depthwise_k{kernel}_ms_per_mmac" for kernel in range(DEPTHWISE_KERNELS[0], DEPTHWISE_KERNELS[1] + 1)),
    "linear_ms_per_minput",
    "linear_first_ms_per_minput",
)


def kernels(operator: Operator) -> tuple[Operator, ...]:
    """The operator, and its activation where that cannot be fused."""
    return with_activation(operator, FUSED_ACTIVATIONS)


def work(kernel: Operator) -> dict[str, float]:
    """Amounts of each of `COEFFICIENTS` that `kernel` needs; mega = 10^6."""
    if kernel.kind not in (*CONVOLUTIONS, "linear"):
        read = kernel.out_elements if kernel.kind == "add" else kernel.in_elements + kernel.out_elements
        return {"launch_ms": LAUNCHES.get(kernel.kind, 1), "copy_ms_per_mb": read * BYTES / 1e6}
    if kernel.kind == "linear" or (kernel.taps == 1 and kernel.out_height * kernel.out_width == 1):
        tiles = math.ceil(kernel.out_channels / TILE_CHANNELS)
        first = min(kernel.in_channels, FIRST_INPUTS)
        return {"launch_ms": 1, "linear_ms_per_minput": tiles * kernel.in_channels / 1e6, "linear_first_ms_per_minput": tiles * first / 1e6}
    traffic_mb = (kernel.in_elements + kernel.out_elements) * BYTES / 1e6
    found = {"launch_ms": 1.0, "traffic_ms_per_mb": traffic_mb, "weights_ms_per_mb": kernel.weights * BYTES / 1e6}
    if kernel.kind == "depthwise":
        found[f"depthwise_k{clamp(kernel.kernel, DEPTHWISE_KERNELS)}_ms_per_mmac"] = kernel.macs / 1e6
        return found
    winograd = kernel.kind == "dense" and kernel.taps == 9 and kernel.stride == 1
    if winograd:
        pixels = whole(kernel.out_height, WINOGRAD_TILE[0]) * whole(kernel.out_width, WINOGRAD_TILE[1])
    else:
        pixels = whole(kernel.out_height * kernel.out_width, TILE_PIXELS)
    channels = kernel.groups * whole(-(-kernel.out_channels // kernel.groups), TILE_CHANNELS)
    mmacs = kernel.taps * kernel.inputs_of_each_output * channels * pixels / 1e6
    # a strided 3x3 cannot use Winograd: it costs per MAC what the next odd kernel does
    size = 5 if kernel.kernel == 3 and not winograd else clamp(kernel.kernel, DENSE_KERNELS)
    found["pointwise_ms_per_mmac" if kernel.taps == 1 else f"dense_k{size}_ms_per_mmac"] = mmacs
    return found


PLUGIN = Form(COEFFICIENTS, kernels, work)
