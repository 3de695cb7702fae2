"""XNNPACK, as LiteRT runs it on processors, fp32: as `mobile_cpu`, but depthwise kernels of many taps are far slower.

It has loops for depthwise kernels of up to 25 taps. Beyond, a 7x7 takes eight times as long for each of its multiplications as a 5x5,
measured on an x86 processor with LiteRT 2.3.
"""

from latency_models.kernel_forms import Form, mobile_cpu
from nas.core.operators import Operator

MOST_TAPS = 25
"""Of a depthwise kernel that has a loop of its own."""

COEFFICIENTS = (*mobile_cpu.COEFFICIENTS, "depthwise_many_taps_more_ms_per_mmac")
"""Those of `mobile_cpu`, and what depthwise kernels of more than `MOST_TAPS` cost beyond them."""


def work(kernel: Operator) -> dict[str, float]:
    """Amounts of each of `COEFFICIENTS` that one launch of `kernel` needs."""
    found = mobile_cpu.work(kernel)
    if kernel.kind == "depthwise" and kernel.taps > MOST_TAPS:
        found["depthwise_many_taps_more_ms_per_mmac"] = mobile_cpu.taps_inside(kernel) * kernel.out_channels / 1e6
    return found


PLUGIN = Form(COEFFICIENTS, mobile_cpu.kernels, work)
