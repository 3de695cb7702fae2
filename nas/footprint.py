"""What a network needs beside time, from its spec alone: memory for activations, and room on the disk.

Nothing is exported or run, so that every candidate of a search can be asked. `nas.lifetimes` reads the memory off an
exported graph, and the two agree (`tests/conformance/test_footprint.py`). What a runtime takes on top (copies in its own layout,
scratch space) is measured by `experiments/benchmarks/memory_accuracy.py`.
"""

from functools import lru_cache

from nas.core.budget import Costs
from nas.core.errors import DeviceError
from nas.core.latency import Interval
from nas.core.network import BlockSpec, NetworkSpec
from nas.core.operators import ELEMENTWISE, Operator
from search_spaces import blocks

BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
"""Of one activation, and of one number of a kernel."""

CHANNEL_BYTES = {"fp32": 4, "fp16": 2, "int8": 17}
"""Beside the kernel, for every output channel: the bias; in int8 a 32-bit bias, and scales and zero points of kernel and bias."""

OPERATOR_BYTES = {"fp32": (320, 465), "fp16": (320, 465), "int8": (1740, 2690)}
"""What an ONNX file takes for an operator beside its numbers: with weights, and without. In int8 most of it is the pairs of
quantize and dequantize nodes around every tensor.

Source: least squares over ten networks of both spaces, rounded; `experiments/benchmarks/memory_accuracy.py` shows the errors.
"""


def costs(network: NetworkSpec, latency: Interval | None, precision: str, power_w: float | None) -> Costs:
    """What `network` costs at `precision` on a device on which it takes `latency` and which draws `power_w` meanwhile.

    Raises:
        DeviceError: nothing is known of the precision.
    """
    return Costs(latency, size_mb(network, precision), memory_mb(network, precision), power_w, blocks.macs(network))


def memory_mb(network: NetworkSpec, precision: str) -> float:
    """Peak of the activations of one image, in MB (10^6 bytes), when the operators run in order at `precision`.

    A tensor lives from the operator that writes it to the last one that reads it. Normalisation and activation are part
    of the operator before them; additions and gates write over an input; everything else writes a new tensor. Weights
    are not counted. A network is a chain of blocks, so its peak is that of one of its blocks.

    Raises:
        DeviceError: nothing is known of the precision.
    """
    return max(block_elements(block) for block in network.blocks) * bytes_of(precision) / 1e6


def size_mb(network: NetworkSpec, precision: str) -> float:
    """Size of the model file at `precision`, in MB (10^6 bytes): kernels, biases and what the format adds.

    Raises:
        DeviceError: nothing is known of the precision.
    """
    return sum(block_bytes(block, precision) for block in network.blocks) / 1e6


@lru_cache(maxsize=65_536)
def block_elements(spec: BlockSpec) -> int:
    """Largest number of activations that live at the same time while one image passes the block."""
    return max(_elements(operator) + held for operator, held in zip(blocks.operators(spec), blocks.held(spec), strict=True))


@lru_cache(maxsize=65_536)
def block_bytes(spec: BlockSpec, precision: str) -> int:
    """Bytes of a model file at `precision` that are the block's."""
    number = bytes_of(precision)
    operators = blocks.operators(spec)
    weighted = [operator for operator in operators if operator.weights]
    kernels = sum(operator.weights - operator.out_channels for operator in weighted)
    channels = sum(operator.out_channels for operator in weighted)
    with_weights, without = OPERATOR_BYTES[precision]
    numbers = number * kernels + CHANNEL_BYTES[precision] * channels
    return numbers + with_weights * len(weighted) + without * (len(operators) - len(weighted))


def bytes_of(precision: str) -> int:
    """Bytes of one activation.

    Raises:
        DeviceError: nothing is known of the precision.
    """
    if precision not in BYTES:
        raise DeviceError(f"how many bytes a number has is not known for {precision!r}, only for {', '.join(BYTES)}")
    return BYTES[precision]


def _elements(operator: Operator) -> int:
    """Numbers that an operator itself needs at once: what it reads and, unless it writes over that, what it writes."""
    return operator.in_elements + (0 if operator.kind in ELEMENTWISE else operator.out_elements)
