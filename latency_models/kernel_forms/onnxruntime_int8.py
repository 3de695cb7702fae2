"""ONNX Runtime on x86 processors, int8: what `mobile_cpu` counts, on blocks of 16 output channels, and what does not fill them.

A matrix product takes 4 input channels and 16 output channels at a time. A depthwise convolution takes 16 channels: 8 cost as much, and
where channels are no multiple of 8 it is several times as slow. A first layer reads floats, turns them into integers, and copies each
pixel once for every tap. Parts of a concatenation have scales of their own, so each number is looked up.
"""

from latency_models.kernel_forms import Form, mobile_cpu, whole
from latency_models.kernel_forms.mobile_cpu import BYTES
from nas.core.operators import Operator

INPUTS, BLOCK, STEP = 4, 16, 8
"""Input channels of a step of the matrix product, output channels of a vector, and a number of which channels had better be a multiple."""

COEFFICIENTS = (
    *mobile_cpu.COEFFICIENTS,
    "first_more_ms_per_mmac",
    "first_ms_per_mb",
    "uneven_more_ms_per_mmac",
    "depthwise_uneven_more_ms_per_mmac",
    "concat_ms_per_mb",
)
"""Those of `mobile_cpu`, which count numbers as if they had four bytes; what is called `more` comes on top of the like of it."""


def work(kernel: Operator) -> dict[str, float]:
    """Amounts of each of `COEFFICIENTS` that one launch of `kernel` needs."""
    found = mobile_cpu.work(kernel)
    if kernel.kind == "concat":
        return {"launch_ms": 1.0, "concat_ms_per_mb": found["move_ms_per_mb"]}
    if kernel.kind == "depthwise":
        mmacs = mobile_cpu.taps_inside(kernel) * whole(kernel.out_channels, BLOCK) / 1e6
        found[f"depthwise_s{min(kernel.stride, 2)}_ms_per_mmac"] = mmacs
        return found | ({"depthwise_uneven_more_ms_per_mmac": mmacs} if kernel.out_channels % STEP else {})
    if f"{kernel.kind}_ms_per_mmac" not in found:
        return found
    filled = whole(kernel.inputs_of_each_output, INPUTS) * whole(kernel.out_channels, BLOCK)
    found[f"{kernel.kind}_ms_per_mmac"] = kernel.taps * filled * kernel.out_height * kernel.out_width / 1e6
    if kernel.in_channels <= INPUTS:
        copied_mb = kernel.taps * kernel.in_channels * kernel.out_height * kernel.out_width * BYTES / 1e6
        return found | {"first_more_ms_per_mmac": kernel.macs / 1e6, "first_ms_per_mb": copied_mb}
    even = kernel.in_channels % STEP == kernel.out_channels % STEP == 0
    return found | ({} if even else {"uneven_more_ms_per_mmac": kernel.macs / 1e6})


PLUGIN = Form(COEFFICIENTS, mobile_cpu.kernels, work)
