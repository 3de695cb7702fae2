"""One file a form: which kernels a runtime launches for an operator, and what each of them needs of the hardware.

A form knows the runtime (what it fuses, which algorithms it has, how it tiles), a device's coefficients know the hardware.
`PLUGIN` is a `Form`. Forms are linear in their coefficients, so that fitting (`latency_models.fitting`) and pricing
(`latency_models.kernel_model`) share one function, `work`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from nas.core import plugins
from nas.core.operators import Operator


@dataclass(frozen=True, slots=True)
class Form:
    """How a runtime executes operators.

    `coefficients` are names that end in their unit ("launch_ms", "traffic_ms_per_mb"): milliseconds that one unit of the
    amounts in `work` takes. `kernels` gives the launches of an operator: itself, and its activation where that cannot be
    fused. `work` gives what one launch needs: amounts by coefficient, none below zero; those left out are zero.
    """

    coefficients: tuple[str, ...]
    kernels: Callable[[Operator], tuple[Operator, ...]]
    work: Callable[[Operator], Mapping[str, float]]


def names() -> tuple[str, ...]:
    """Names of all forms, sorted."""
    return plugins.names(__name__)


@cache
def load(name: str) -> Form:
    """The form of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    form: Form = plugins.load(__name__, name, "kernel form")
    return form


def activation_after(operator: Operator) -> Operator:
    """The activation of `operator` as a kernel of its own."""
    channels, height, width = operator.out_channels, operator.out_height, operator.out_width
    return Operator("activation", channels, channels, 1, 1, height, width, operator.activation, nodes=operator.nodes)


def with_activation(operator: Operator, fused: tuple[str, ...]) -> tuple[Operator, ...]:
    """The operator, and its activation as a kernel of its own where that is not among the `fused`."""
    return (operator,) if operator.kind == "activation" or operator.activation in fused else (operator, activation_after(operator))


def whole(amount: int, tile: int) -> int:
    """`amount` rounded up to whole tiles."""
    return -(-amount // tile) * tile


def clamp(value: int, bounds: tuple[int, int]) -> int:
    """`value`, or the nearer of `bounds` where it lies outside."""
    return min(max(value, bounds[0]), bounds[1])
