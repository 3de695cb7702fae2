"""ONNX Runtime on x86 processors, fp32: convolutions on blocks of channels (NCHWc), each a call, its arithmetic and its memory.

MLAS computes 16 channels at a time, of the input as of the output, and fills up what is missing; a first layer of few channels has
a kernel of its own, and what does not come in fours is computed in the plain layout, depthwise layers a channel at a time.

Relu is part of a convolution's inner loop; relu6, h-swish and the sigmoids are another pass over what it wrote (64 channels to 256
on 28 pixels: 0.28 ms with relu and without, 0.33 with relu6). Scales and moves are calls, many of which leave the blocked layout
and enter it again. What does not fit the cache near the core is slower to read and write.

H-swish is known as HardSwish, or as a HardSigmoid and a product. Written out with an addition, a clip, a product and a division, as
many networks do in their own code, it is that many calls.
"""

from latency_models.kernel_forms import Form, whole, with_activation
from latency_models.kernel_forms.mobile_cpu import EXPONENTIALS, taps_inside
from nas.core.operators import Operator

BYTES = 4
"""Of one number."""

RELAYOUTS = 2
"""Passes over memory that leaving the blocked layout and entering it again take."""

BLOCK, STEP = 16, 4
"""Channels that a vector of AVX-512 holds, and a number of which there must be a multiple for the blocked layout."""

NEAR_MB = 2.0
"""What an operator reads and writes up to this stays in the cache near the core; of 0.5, 1 and 2 the one with the least error."""

AFTERWARDS = ("relu6", "leaky_relu", "sigmoid", "tanh", "hard_sigmoid", "hard_swish")
"""Activations that a convolution computes over what it has written: relu alone is part of its inner loop."""

FUSED_ACTIVATIONS = ("", "relu", *AFTERWARDS)
"""Activations that are no call of their own."""

COEFFICIENTS = (
    "launch_ms",
    "macs_ms_per_mmac",
    "dense_k3_more_ms_per_mmac",
    "dense_large_more_ms_per_mmac",
    "first_more_ms_per_mmac",
    "grouped_more_ms_per_mmac",
    "plain_more_ms_per_mmac",
    "traffic_ms_per_mb",
    "far_ms_per_mb",
    "weights_ms_per_mb",
    "linear_ms_per_mb",
    "depthwise_s1_ms_per_mmac",
    "depthwise_s2_ms_per_mmac",
    "depthwise_plain_more_ms_per_mmac",
    "depthwise_ms_per_mb",
    "pass_ms_per_mb",
    "add_ms_per_mb",
    "scale_ms_per_mb",
    "exponential_more_ms_per_mb",
    "pool_ms_per_mb",
    "window_more_ms_per_mtap",
    "shuffle_more_ms_per_mb",
)
"""Each an amount of `work` and the time of one unit: mega = 10^6, `far` is what is beyond `NEAR_MB`.

What is called `more` comes on top of what the like of it costs, a pointwise convolution or a pass over memory: so that a device where
nobody timed a dense convolution, for one, has a price for it.
"""


def kernels(operator: Operator) -> tuple[Operator, ...]:
    """The operator, and its activation where that cannot be fused."""
    return with_activation(operator, FUSED_ACTIVATIONS if operator.nodes == 1 else ())


def work(kernel: Operator) -> dict[str, float]:
    """Amounts of each of `COEFFICIENTS` that one launch of `kernel` needs."""
    read_mb, written_mb = kernel.in_elements * BYTES / 1e6, kernel.out_elements * BYTES / 1e6
    both_mb = read_mb + written_mb
    found = {"launch_ms": 1.0}
    if kernel.kind == "linear" or (kernel.inputs_of_each_output and kernel.out_height * kernel.out_width == 1):
        return found | {"linear_ms_per_mb": kernel.weights * BYTES / 1e6}
    found["far_ms_per_mb"] = max(0.0, both_mb - NEAR_MB)
    if kernel.inputs_of_each_output:
        found |= _convolution(kernel, both_mb) | {"pass_ms_per_mb": written_mb if kernel.activation in AFTERWARDS else 0.0}
    elif kernel.kind == "pool":
        found["pool_ms_per_mb"] = read_mb
    elif kernel.kind == "add":
        found["add_ms_per_mb"] = both_mb
    elif kernel.kind in ("multiply", "se_scale", "normalise"):
        found["scale_ms_per_mb"] = both_mb
    else:
        found["pass_ms_per_mb"] = written_mb
        if kernel.nodes > 1:
            found |= {"launch_ms": kernel.nodes + RELAYOUTS, "pass_ms_per_mb": (kernel.nodes + RELAYOUTS) * written_mb}
        elif kernel.kind == "window_pool":
            found["window_more_ms_per_mtap"] = kernel.taps * kernel.out_elements / 1e6
        elif kernel.kind == "softmax" or kernel.activation in EXPONENTIALS:
            found["exponential_more_ms_per_mb"] = both_mb
        elif kernel.kind in ("shuffle", "copy"):
            found["shuffle_more_ms_per_mb"] = both_mb
    return found


def _convolution(kernel: Operator, both_mb: float) -> dict[str, float]:
    """Arithmetic and memory of a convolution."""
    if kernel.kind == "depthwise":
        mmacs = taps_inside(kernel) * whole(kernel.out_channels, BLOCK) / 1e6
        found = {f"depthwise_s{min(kernel.stride, 2)}_ms_per_mmac": mmacs, "depthwise_ms_per_mb": both_mb}
        return found | ({"depthwise_plain_more_ms_per_mmac": mmacs} if kernel.out_channels % STEP else {})
    mmacs = _macs(kernel) / 1e6
    more = _more(kernel)
    arithmetic = {"macs_ms_per_mmac": mmacs} | ({more: mmacs} if more else {})
    return arithmetic | {"weights_ms_per_mb": kernel.weights * BYTES / 1e6, "traffic_ms_per_mb": both_mb}


def _more(kernel: Operator) -> str:
    """The coefficient of what a convolution costs beyond a pointwise one of as many multiply-accumulates; "" for a pointwise one."""
    if kernel.kind == "grouped":
        return "grouped_more_ms_per_mmac"
    if kernel.in_channels < BLOCK:
        return "first_more_ms_per_mmac"
    if kernel.in_channels % STEP:
        return "plain_more_ms_per_mmac"
    if kernel.taps == 1:
        return ""
    return "dense_k3_more_ms_per_mmac" if kernel.taps <= 9 else "dense_large_more_ms_per_mmac"


def _macs(kernel: Operator) -> float:
    """Multiply-accumulates with what fills up the blocks."""
    inputs = kernel.inputs_of_each_output
    filled = inputs if kernel.kind == "grouped" or inputs < BLOCK else whole(inputs, BLOCK)
    return kernel.taps * filled * whole(kernel.out_channels, BLOCK) * kernel.out_height * kernel.out_width


PLUGIN = Form(COEFFICIENTS, kernels, work)
