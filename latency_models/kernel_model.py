"""Latency from the kernels that a network launches: launch, memory traffic and tiled multiply-accumulates, added up.

The model is linear in its coefficients, so fitting (`experiments/fit_jetson_nano.py`) and pricing share one function,
`work`. A GPU computes whole tiles: 64 output channels x 128 pixels, for 3x3 kernels (Winograd) 8 x 16 pixels. Work
smaller than a tile costs a tile, which is why narrow layers are not as fast as their MACs promise. Being a sum over
operators it allows the exact optimum of a space to be found stage by stage (`latency_models.extremes`).
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

from nas.core.device import DeviceProfile, RuntimeTarget, TargetProfile
from nas.core.errors import DeviceError
from nas.core.latency import BlockPrice, Interval
from nas.core.network import BlockSpec
from nas.core.operators import Operator
from search_spaces.blocks import operators

BYTES = 4
"""Of one number in fp32, the only precision that was fitted."""

TILE_CHANNELS, TILE_PIXELS = 64, 128
WINOGRAD_TILE = (8, 16)
FUSED_ACTIVATIONS = ("", "relu", "relu6")
"""Activations that the runtime computes inside the convolution; others are kernels of their own."""

DENSE_KERNELS, DEPTHWISE_KERNELS = (2, 7), (2, 5)
"""Smallest and largest kernels that were measured; those beyond cost as much per MAC as the nearest."""

FIRST_INPUTS = 800_000
"""Inputs of a linear layer up to which each costs more (`linear_first`); found in the measurements."""

COEFFICIENTS = (
    "launch_ms",
    "traffic_ms_per_mb",
    "weights_ms_per_mb",
    "pointwise_ms_per_mmac",
    *(f"dense_k{kernel}_ms_per_mmac" for kernel in range(DENSE_KERNELS[0], DENSE_KERNELS[1] + 1)),
    *(f"depthwise_k{kernel}_ms_per_mmac" for kernel in range(DEPTHWISE_KERNELS[0], DEPTHWISE_KERNELS[1] + 1)),
    "linear_ms_per_minput",
    "linear_first_ms_per_minput",
)
"""Everything that `work` counts, each with the time that one unit of it takes. `overhead_ms` comes on top, once."""


def kernels(operator: Operator) -> tuple[Operator, ...]:
    """What the device launches for `operator`: itself, and its activation where that cannot be fused."""
    alone = Operator("activation", operator.out_channels, operator.out_channels, 1, 1, operator.out_height, operator.out_width)
    return (operator,) if operator.activation in FUSED_ACTIVATIONS else (operator, alone)


def work(kernel: Operator) -> dict[str, float]:
    """Amounts of each of `COEFFICIENTS` that one launch of `kernel` needs; mega = 10^6."""
    traffic_mb = (kernel.in_elements + kernel.out_elements) * BYTES / 1e6
    weights_mb = kernel.weights * BYTES / 1e6
    pixels = kernel.out_height * kernel.out_width
    if kernel.kind == "linear" or (kernel.kind == "pointwise" and pixels == 1):
        tiles = math.ceil(kernel.out_channels / TILE_CHANNELS)
        first = min(kernel.in_channels, FIRST_INPUTS)
        return {"launch_ms": 1, "linear_ms_per_minput": tiles * kernel.in_channels / 1e6, "linear_first_ms_per_minput": tiles * first / 1e6}
    found = {"launch_ms": 1.0, "traffic_ms_per_mb": traffic_mb, "weights_ms_per_mb": weights_mb}
    if kernel.kind == "depthwise":
        found[f"depthwise_k{_clamp(kernel.kernel, DEPTHWISE_KERNELS)}_ms_per_mmac"] = kernel.macs / 1e6
    elif kernel.kind in ("pointwise", "dense"):
        winograd = kernel.kind == "dense" and kernel.kernel == 3 and kernel.stride == 1
        if winograd:
            pixels = _whole(kernel.out_height, WINOGRAD_TILE[0]) * _whole(kernel.out_width, WINOGRAD_TILE[1])
        else:
            pixels = _whole(pixels, TILE_PIXELS)
        macs = kernel.kernel**2 * kernel.in_channels * _whole(kernel.out_channels, TILE_CHANNELS) * pixels
        # a strided 3x3 cannot use Winograd: it costs per MAC what the next odd kernel does
        size = 5 if kernel.kernel == 3 and not winograd else _clamp(kernel.kernel, DENSE_KERNELS)
        found["pointwise_ms_per_mmac" if kernel.kind == "pointwise" else f"dense_k{size}_ms_per_mmac"] = macs / 1e6
    return found


def covered(kernel: Operator) -> bool:
    """Whether kernels of this kind, size and stride were among the measured ones."""
    if kernel.stride != 1:
        return False
    if kernel.kind == "linear":
        return kernel.out_channels <= TILE_CHANNELS
    low, high = DEPTHWISE_KERNELS if kernel.kind == "depthwise" else DENSE_KERNELS
    measured = kernel.kind in ("dense", "depthwise") and low <= kernel.kernel <= high
    return measured or (kernel.kind == "pointwise" and kernel.out_height * kernel.out_width > 1)


def below_a_tile(kernel: Operator) -> bool:
    """Whether `kernel` is smaller than any measured one: its price, a whole tile's, is an upper bound."""
    return kernel.out_channels < TILE_CHANNELS or kernel.out_height * kernel.out_width < TILE_PIXELS


@dataclass(frozen=True, slots=True)
class Factors:
    """What a price is multiplied with for its bounds: covered kernels from held-out networks, others by assumption."""

    low: float
    high: float
    extrapolated_low: float
    extrapolated_high: float


@dataclass(frozen=True, slots=True)
class KernelModel:
    """Prices of one target from `coefficients` (milliseconds a unit, keys `COEFFICIENTS`) and `overhead_ms`."""

    target: RuntimeTarget
    origin: str
    confidence: float
    overhead_ms: float
    coefficients: dict[str, float]
    factors: Factors
    _prices: dict[BlockSpec, BlockPrice] = field(default_factory=dict, compare=False, repr=False)

    @property
    def overhead(self) -> Interval:
        """Copies of the image and the logits, and the call itself: an intercept, never measured alone, hence the wide bounds."""
        low, high = self.factors.extrapolated_low, self.factors.extrapolated_high
        return Interval(self.overhead_ms, self.overhead_ms * low, self.overhead_ms * high)

    def block(self, spec: BlockSpec) -> BlockPrice:
        """Price of one block: the sum of its kernels."""
        if spec not in self._prices:
            total, covered_ms = Interval(0.0, 0.0, 0.0), 0.0
            for operator in operators(spec):
                for kernel in kernels(operator):
                    price = self.kernel(kernel)
                    total = total + price.interval
                    covered_ms += price.covered_ms
            self._prices[spec] = BlockPrice(total, covered_ms)
        return self._prices[spec]

    def kernel(self, kernel: Operator) -> BlockPrice:
        """Price of one launch; `covered_ms` is all of it or nothing."""
        ms = sum(self.coefficients[name] * amount for name, amount in work(kernel).items())
        known = covered(kernel)
        low = self.factors.low if known and not below_a_tile(kernel) else self.factors.extrapolated_low
        high = self.factors.high if known else self.factors.extrapolated_high
        return BlockPrice(Interval(ms, ms * low, ms * high), ms if known else 0.0)


def from_profile(profile: DeviceProfile, target: TargetProfile) -> KernelModel:
    """The model that `target` describes under `parameters`: [coefficients], [interval].

    Raises:
        DeviceError: a coefficient is missing, unknown or negative; the message names the file and the field.
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

    class Parameters(BaseModel):
        model_config = ConfigDict(extra="forbid")
        coefficients: dict[str, NonNegativeFloat]
        interval: Coverage

    where = f"{Path(profile.path)}, parameters of {target.target}"
    try:
        found = Parameters.model_validate(dict(target.parameters))
    except ValidationError as error:
        raise DeviceError(f"{where}: {first_problem(error)}") from error
    expected = {"overhead_ms", *COEFFICIENTS}
    if odd := expected ^ set(found.coefficients):
        raise DeviceError(f"{where}: coefficients has missing or unknown names: {', '.join(sorted(odd))}")
    rest = {name: value for name, value in found.coefficients.items() if name != "overhead_ms"}
    bounds = found.interval
    factors = Factors(bounds.low_factor, bounds.high_factor, bounds.extrapolated_low_factor, bounds.extrapolated_high_factor)
    return KernelModel(target.target, target.origin, bounds.confidence, found.coefficients["overhead_ms"], rest, factors)


def _whole(amount: int, tile: int) -> int:
    """`amount` rounded up to whole tiles."""
    return -(-amount // tile) * tile


def _clamp(value: int, bounds: tuple[int, int]) -> int:
    return min(max(value, bounds[0]), bounds[1])


PLUGIN = from_profile
