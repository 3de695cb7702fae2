"""Latency from the kernels that a network launches, added up: a *form* knows the runtime, coefficients know the device.

The model is linear in its coefficients, so fitting (`latency_models.fitting`) and pricing share one function, the form's
`work`. Being a sum over operators it allows the exact optimum of a space to be found stage by stage
(`latency_models.extremes`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from latency_models import kernel_forms
from latency_models.kernel_forms import Form
from nas.core.device import DeviceProfile, RuntimeTarget, TargetProfile
from nas.core.errors import DeviceError
from nas.core.latency import NO_SPILL, BlockPrice, Interval, Spill
from nas.core.network import BlockSpec
from nas.core.operators import KINDS, Operator
from search_spaces.blocks import operators

_ANY = (0, 1_000_000_000)
_RANGE = re.compile(r"([ksc])(\d+)(?:-(\d+))?")

ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "hard_swish", "hard_sigmoid", "sigmoid", "swish", "gelu", "tanh", "mish", "elu", "selu"),
    "softplus",
)
"""Functions that a cover may name."""


@dataclass(frozen=True, slots=True)
class Cover:
    """Kernels that rest on measurements: a kind, with the least and the most of kernel, stride and output channels.

    `activation` is the one function that was measured, for the kind "activation"; "" is any.
    """

    kind: str
    kernels: tuple[int, int] = _ANY
    strides: tuple[int, int] = _ANY
    channels: tuple[int, int] = _ANY
    activation: str = ""

    def holds(self, kernel: Operator) -> bool:
        """Whether `kernel` is one of them."""
        if kernel.kind != self.kind or self.activation not in ("", kernel.activation):
            return False
        sides = (kernel.kernel, kernel.kernel_width or kernel.kernel)
        sizes = (
            (self.kernels, min(sides)),
            (self.kernels, max(sides)),
            (self.strides, kernel.stride),
            (self.channels, kernel.out_channels),
        )
        return all(least <= size <= most for (least, most), size in sizes)


def parse_cover(text: str) -> Cover:
    """A cover from its text: a kind, then kernels, strides and output channels if only some were measured: "dense k2-7 s1 c64-512".

    An activation may name its function: "activation hard_swish".

    Raises:
        DeviceError: the text is not of this form, or the kind does not exist.
    """
    kind, *parts = text.split() or [""]
    if kind == "activation" and len(parts) == 1 and parts[0] in ACTIVATIONS:
        return Cover(kind, activation=parts[0])
    ranges = {found[1]: (int(found[2]), int(found[3] or found[2])) for part in parts if (found := _RANGE.fullmatch(part))}
    if kind not in KINDS or len(ranges) != len(parts):
        raise DeviceError(
            f"covers says {text!r}; wanted is a kind and ranges, as in 'dense k2-7 s1 c64-512', or a function, as in "
            f"'activation hard_swish'; kinds: {', '.join(KINDS)}; functions: {', '.join(ACTIVATIONS)}"
        )
    kernels, strides, channels = (ranges.get(name, _ANY) for name in "ksc")
    return Cover(kind, kernels, strides, channels)


@dataclass(frozen=True, slots=True)
class Factors:
    """What a price is multiplied with for its bounds: covered kernels from held-out networks, others by assumption."""

    low: float
    high: float
    extrapolated_low: float
    extrapolated_high: float


@dataclass(frozen=True, slots=True)
class KernelModel:
    """Prices of one target from `coefficients` (milliseconds a unit, names as in `form`) and `overhead_ms`, once a network."""

    target: RuntimeTarget
    origin: str
    confidence: float
    form: Form
    covers: tuple[Cover, ...]
    overhead_ms: float
    coefficients: Mapping[str, float]
    factors: Factors
    _operators: dict[Operator, BlockPrice] = field(default_factory=dict, compare=False, repr=False)
    _blocks: dict[BlockSpec, BlockPrice] = field(default_factory=dict, compare=False, repr=False)

    @property
    def overhead(self) -> Interval:
        """The call itself and copies of image and logits: an intercept, never measured alone, hence the wide bounds."""
        low, high = self.factors.extrapolated_low, self.factors.extrapolated_high
        return Interval(self.overhead_ms, self.overhead_ms * low, self.overhead_ms * high)

    @property
    def spill(self) -> Spill:
        """Nothing: what the weights cost is part of each kernel."""
        return NO_SPILL

    def block(self, spec: BlockSpec) -> BlockPrice:
        """Price of one block: the sum of its operators."""
        if spec not in self._blocks:
            self._blocks[spec] = _sum(self.operator(operator) for operator in operators(spec))
        return self._blocks[spec]

    def by_operator(self) -> "KernelModel":
        """Itself: its blocks are sums of operators."""
        return self

    def operator(self, operator: Operator) -> BlockPrice:
        """Price of one operator: the sum of its kernels."""
        if operator not in self._operators:
            self._operators[operator] = _sum(self.kernel(kernel) for kernel in self.form.kernels(operator))
        return self._operators[operator]

    def kernel(self, kernel: Operator) -> BlockPrice:
        """Price of one launch; `covered_ms` is all of it or nothing."""
        ms = sum(self.coefficients[name] * amount for name, amount in self.form.work(kernel).items())
        known = kernel.dilation == 1 and any(cover.holds(kernel) for cover in self.covers)
        low = self.factors.low if known else self.factors.extrapolated_low
        high = self.factors.high if known else self.factors.extrapolated_high
        return BlockPrice(Interval(ms, ms * low, ms * high), ms if known else 0.0)


def from_profile(profile: DeviceProfile, target: TargetProfile, space: str, confidence: float | None = None) -> KernelModel:
    """The model that `target` describes under `parameters`: form, covers, [coefficients], [interval]; for any `space` the same.

    Bounds are those of `confidence`, or of the level that the interval was made for.

    Raises:
        DeviceError: a coefficient is missing, unknown or negative, or a cover is not one; the message names file and field. Or the
            interval is not known at that level.
        UnknownNameError: there is no such form.
    """
    from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

    from hardware_profiles import first_problem

    class Coverage(BaseModel):
        model_config = ConfigDict(extra="forbid")
        confidence: float = Field(gt=0, lt=1)
        low_factor: float = Field(gt=0, le=1)
        high_factor: float = Field(ge=1)
        extrapolated_low_factor: float = Field(gt=0, le=1)
        extrapolated_high_factor: float = Field(ge=1)
        levels: dict[float, tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(ge=1)]]] = {}

    class Parameters(BaseModel):
        model_config = ConfigDict(extra="forbid")
        form: str
        covers: tuple[str, ...]
        coefficients: dict[str, NonNegativeFloat]
        interval: Coverage

    where = f"{Path(profile.path)}, parameters of {target.target}"
    try:
        found = Parameters.model_validate(dict(target.parameters))
        covers = tuple(parse_cover(text) for text in found.covers)
    except ValidationError as error:
        raise DeviceError(f"{where}: {first_problem(error)}") from error
    except DeviceError as error:
        raise DeviceError(f"{where}: {error}") from error
    form = kernel_forms.load(found.form)
    if odd := {"overhead_ms", *form.coefficients} ^ set(found.coefficients):
        raise DeviceError(f"{where}: coefficients has missing or unknown names: {', '.join(sorted(odd))}")
    rest = {name: value for name, value in found.coefficients.items() if name != "overhead_ms"}
    bounds = found.interval
    known = {bounds.confidence: (bounds.low_factor, bounds.high_factor), **bounds.levels}
    level = bounds.confidence if confidence is None else confidence
    if level not in known:
        have = ", ".join(f"{one:g}" for one in sorted(known))
        raise DeviceError(f"the interval of {target.target} is known with confidence {have}, not {level:g}: ask for one of these")
    low, high = known[level]
    factors = Factors(low, high, min(low, bounds.extrapolated_low_factor), max(high, bounds.extrapolated_high_factor))
    return KernelModel(target.target, target.origin, level, form, covers, found.coefficients["overhead_ms"], rest, factors)


def _sum(prices: Iterable[BlockPrice]) -> BlockPrice:
    total, covered_ms = Interval(0.0, 0.0, 0.0), 0.0
    for price in prices:
        total, covered_ms = total + price.interval, covered_ms + price.covered_ms
    return BlockPrice(total, covered_ms)


PLUGIN = from_profile
