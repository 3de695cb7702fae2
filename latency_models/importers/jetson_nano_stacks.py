"""Synthetic stacks of convolutions measured on a Jetson Nano (iCAS-Lab/NAS-Performance-Modeling @50e6709).

Each network is a stack of stride-1 layers of equal width on a square RGB image, then one linear layer to 10 classes. The
paddings of the source let the image grow or shrink from layer to layer; they were recovered from its published counts,
which the reader checks row by row. Of the two published times we fit `latency_ms_60s`, a mean over a minute: the other,
a mean of 100 runs after a single warm-up, is up to twice as long for the small networks that a search is about (1.11 times
at 10 px on average, 1.00 at 100 px), and scatters there.
"""

from dataclasses import dataclass
from pathlib import Path

from latency_models.importers import rows
from nas.core.errors import DataError
from nas.core.operators import Operator


@dataclass(frozen=True, slots=True)
class Stack:
    """One measured network. Operators stand at their output's size, whatever the padding: that is what counts."""

    name: str
    operators: tuple[Operator, ...]
    latency_ms: float
    depthwise_separable: bool

    @property
    def macs(self) -> int:
        """Multiply-accumulates, biases not counted."""
        return sum(operator.macs for operator in self.operators)


def read(path: Path) -> tuple[Stack, ...]:
    """Every network of the file, in its order.

    Raises:
        DataError: the file cannot be read, holds no row, lacks a column, a network is there twice or took no time, or a row's count is
            not what its layers amount to.
    """
    found, once = [], rows.Once()
    for where, row in rows.of_csv(path):
        found.append(_stack(row, where))
        once.add(where, found[-1].name, found[-1].name)
    if not found:
        raise DataError(f"{path} holds no measured network: give the CSV with a line for each")
    return tuple(found)


def _stack(row: dict[str, str], where: str) -> Stack:
    try:
        kernels = [int(kernel) for kernel in row["kernels"].split("-")]
        filters, size, published = int(row["filters"]), int(row["input_hw"]), int(row["macs"])
        separable, took, name = row["depthwise_separable"] == "1", row["latency_ms_60s"], row["model"]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: not a row of measured stacks ({error!r})") from error
    found: list[Operator] = []
    channels = 3
    for kernel, padding in zip(kernels, _paddings(kernels), strict=True):
        size += 2 * padding - kernel + 1
        if separable:
            found.append(Operator("depthwise", channels, channels, kernel, 1, size, size))
        plain = 1 if separable else kernel
        found.append(Operator("pointwise" if plain == 1 else "dense", channels, filters, plain, 1, size, size))
        channels = filters
    biases = sum(operator.out_elements for operator in found)
    found.append(Operator("linear", channels * size * size, 10, 1, 1, 1, 1))
    stack = Stack(name, tuple(found), rows.milliseconds(where, name, took), separable)
    if stack.macs + biases + 10 != published:
        raise DataError(f"{where}: the layers of {name} amount to {stack.macs + biases + 10} MACs, the file says {published}")
    return stack


def _paddings(kernels: list[int]) -> list[int]:
    """Padding of each layer: 2, but 1 for uniform stacks of 1x1 or 3x3 and from the first odd kernel of mixed ones."""
    if len(set(kernels)) == 1:
        return [1 if kernels[0] in (1, 3) else 2] * len(kernels)
    first_odd = next((i for i, kernel in enumerate(kernels) if kernel % 2), len(kernels))
    return [2] * first_odd + [1] * (len(kernels) - first_odd)
