"""A network that computes as its compressed file does: numbers rounded after each operator, to 8-bit integers or 16-bit floats.

INT8 is rounded as `nas.compressors.int8_static` does with unsigned activations: weights per channel, symmetric; activations per
tensor, from the lowest to the highest value that calibration images gave, zero included; an activation that only cuts off (ReLU)
is part of the convolution before it. Biases have the steps that the products of input and weights have. What differs is the order of
sums, so that a number in a thousand or so is rounded to the other side.

Operators are seen as torch functions while the network runs, so no block needs a case of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

COMPUTING = {
    *("conv2d", "linear", "add", "mul", "cat", "adaptive_avg_pool2d"),
    *("relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "sigmoid"),
}
"""Torch functions whose results are rounded; all others move numbers that are rounded already."""
CUTTING = {"relu", "relu6", "hardtanh"}
"""Those that are part of the convolution before them."""
GATED: dict[str, Callable[[Tensor], Tensor]] = {"hardswish": functional.hardsigmoid, "silu": torch.sigmoid}
"""What the quantizer takes for two: a gate, rounded, and its product with the input."""
WEIGHTED = {"conv2d", "linear"}
"""Those that have weights."""
BATCH = 250
"""Calibration images that are looked at together."""

Rounded = Callable[[nn.Module, Tensor], nn.Module]
"""From a network in evaluation mode, with its batch norms folded, and calibration images to a network that computes rounded.

The weights of the network that is given are rounded in place.
"""


@torch.no_grad()
def int8(network: nn.Module, calibration: Tensor) -> nn.Module:
    """`network` in 8-bit integers, with the ranges that its tensors have on `calibration` (n, c, h, w), normalised."""
    seen = _Ranges()
    for batch in calibration.split(BATCH):
        seen.begin(batch)
        with seen:
            network(batch)
    for layer in _weighted(network):
        largest = layer.weight.flatten(1).abs().amax(dim=1)
        scales = torch.where(largest > 1e-30, largest / 127, 1.0)
        zeros = torch.zeros(len(scales), dtype=torch.int32)
        steps = scales * seen.input_step(layer)
        layer.weight.copy_(torch.fake_quantize_per_channel_affine(layer.weight, scales, zeros, 0, -127, 127))
        if layer.bias is not None:
            layer.bias.copy_((layer.bias / steps).round() * steps)
    return _Rounding(network, seen.grids())


@torch.no_grad()
def fp16(network: nn.Module, calibration: Tensor) -> nn.Module:
    """`network` in half precision; calibration images do not matter."""
    for layer in _weighted(network):
        layer.weight.copy_(_halved(layer.weight))
        if layer.bias is not None:
            layer.bias.copy_(_halved(layer.bias))
    return _Rounding(network, None)


ROUNDED: Mapping[str, Rounded] = {"int8": int8, "fp16": fp16}
"""By precision; fp32 is not rounded."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """256 equally spaced values, zero among them."""

    scale: float
    zero_point: int

    @classmethod
    def over(cls, low: float, high: float) -> "_Grid":
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255
        return cls(scale, round(-low / scale)) if scale > 1e-30 else cls(1.0, 0)

    def __call__(self, numbers: Tensor) -> Tensor:
        """`numbers`, rounded in place: a third of what `torch.fake_quantize_per_tensor_affine` takes on a processor."""
        return numbers.div_(self.scale).round_().clamp_(-self.zero_point, 255 - self.zero_point).mul_(self.scale)


class _Ranges(TorchFunctionMode):
    """Sees what computing functions give, in their order, the images first: lowest and highest values, over all batches.

    Every tensor is given its place in that order (`_place`); what only moves numbers passes it on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bounds: list[tuple[float, float]] = []
        self._cut: set[int] = set()
        self._inputs: dict[int, int] = {}
        self._at = 0

    def begin(self, images: Tensor) -> None:
        """A batch begins."""
        self._at = 0
        self._take(images)

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        name, place = _name(func), getattr(args[0], "_place", None) if args else None
        if name in WEIGHTED and place is not None:
            self._inputs[id(args[1])] = place
        if name in CUTTING and place == self._at - 1:
            self._cut.add(place)
        if name in GATED:
            self._take(GATED[name](args[0]))
        given = func(*args, **(kwargs or {}))
        if name in COMPUTING:
            self._take(given)
        elif place is not None:
            for moved in given if isinstance(given, tuple) else (given,):
                if isinstance(moved, Tensor):
                    moved._place = place  # type: ignore[attr-defined]
        return given

    def input_step(self, layer: nn.Conv2d | nn.Linear) -> float:
        """The step of the numbers that `layer` takes."""
        return _Grid.over(*self._bounds[self._inputs[id(layer.weight)]]).scale

    def grids(self) -> "list[_Grid | None]":
        """How each result is rounded; None where it is cut off first."""
        return [None if place in self._cut else _Grid.over(low, high) for place, (low, high) in enumerate(self._bounds)]

    def _take(self, values: Tensor) -> None:
        low, high = (float(end) for end in torch.aminmax(values))
        if self._at == len(self._bounds):
            self._bounds.append((low, high))
        else:
            before = self._bounds[self._at]
            self._bounds[self._at] = min(low, before[0]), max(high, before[1])
        values._place = self._at  # type: ignore[attr-defined]
        self._at += 1


class _Rounding(nn.Module):
    """A network, every result of which is rounded, the images first: see `_Rounder`."""

    def __init__(self, network: nn.Module, grids: "Sequence[_Grid | None] | None") -> None:
        super().__init__()
        self.network = network
        self._grids = grids

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to logits (n, classes)."""
        rounder = _Rounder(self._grids)
        first = rounder.next(images.clone())  # before the mode sees what rounding itself computes
        with rounder:
            logits: Tensor = self.network(first)
        return logits


class _Rounder(TorchFunctionMode):
    """Rounds what computing functions give, in their order: as the grids say, or to half precision where there are none."""

    def __init__(self, grids: "Sequence[_Grid | None] | None") -> None:
        super().__init__()
        self._grids = grids
        self._at = 0

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        name = _name(func)
        if name in GATED and self._grids is not None:
            return self.next(args[0] * self.next(GATED[name](args[0])))
        given = func(*args, **(kwargs or {}))
        return self.next(given) if name in COMPUTING else given

    def next(self, numbers: Tensor) -> Tensor:
        """The next result, rounded; nothing else may hold it."""
        if self._grids is None:
            return _halved(numbers)
        grid = self._grids[self._at]
        self._at += 1
        return numbers if grid is None else grid(numbers)


def _name(func: Any) -> str:
    return str(getattr(func, "__name__", "")).strip("_")


def _halved(numbers: Tensor) -> Tensor:
    return numbers.half().float()


def _weighted(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
