"""The few torch modules that blocks are made of. Not a block itself: it defines no `PLUGIN`."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.core.errors import SpaceError
from nas.core.space import make_divisible
from search_spaces.blocks.depthwise import DepthwiseConv
from search_spaces.blocks.pointwise import PointwiseConv

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
    "swish": nn.SiLU,
    "": nn.Identity,
}


def activation(name: str) -> nn.Module:
    """The activation of that name; "" is none.

    Raises:
        SpaceError: the name is unknown.
    """
    if name not in ACTIVATIONS:
        raise SpaceError(f"no activation is named {name!r} (there is: {', '.join(filter(None, ACTIVATIONS))})")
    kind = ACTIVATIONS[name]
    return kind(inplace=True) if name else kind()


def squeezed_channels(hidden_channels: int) -> int:
    """Inner width of squeeze-and-excitation: a quarter, as in MobileNetV3 (Howard et al. 2019, section 5.3)."""
    return make_divisible(hidden_channels / 4)


class ConvNorm(nn.Module):
    """Convolution with "same" padding, batch normalisation and activation ("" for none)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, groups: int, act: str) -> None:
        super().__init__()
        self.conv = _convolution(in_channels, out_channels, kernel, stride, groups)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = activation(act)

    def forward(self, images: Tensor) -> Tensor:
        """(n, in, h, w) to (n, out, ceil(h / stride), ceil(w / stride))."""
        normed: Tensor = self.act(self.norm(self.conv(images)))
        return normed


class SqueezeExcite(nn.Module):
    """Channel gates from the global average (Hu et al. 2018), with MobileNetV3's hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = squeezed_channels(channels)
        self.reduce = PointwiseConv(channels, squeezed)
        self.expand = PointwiseConv(squeezed, channels)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to the same shape, each channel scaled by its gate."""
        gates = functional.adaptive_avg_pool2d(images, 1)
        gates = functional.hardsigmoid(self.expand(functional.relu(self.reduce(gates))))
        return images * gates


def channel_shuffle(images: Tensor) -> Tensor:
    """Channels of the two halves interleaved: a0 b0 a1 b1 ... (Zhang et al. 2018, with two groups)."""
    n, channels, height, width = images.shape
    return images.view(n, 2, channels // 2, height, width).transpose(1, 2).reshape(n, channels, height, width)


def interleave(left: Tensor, right: Tensor) -> Tensor:
    """Concatenation of two branches followed by the channel shuffle."""
    return channel_shuffle(torch.cat((left, right), dim=1))


class Residual(nn.Sequential):
    """Layers in order, and their input added to their output."""

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to the same shape."""
        return images + super().forward(images)


class SplitBranch(nn.Module):
    """Second half of the channels through `right`, first half past it, then interleaved."""

    def __init__(self, half: int, right: nn.Module) -> None:
        super().__init__()
        self.split_channels = half
        self.right = right

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to the same shape; c is even."""
        kept, changed = images.split(self.split_channels, dim=1)  # exports as one Split
        return interleave(kept, self.right(changed))


class TwoBranches(nn.Module):
    """The whole input through `left` and through `right`, then interleaved."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left = left
        self.right = right

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to the channels and size that both branches give, twice the channels."""
        return interleave(self.left(images), self.right(images))


class ClassifierHead(nn.Module):
    """Pointwise convolution, global average and a linear classifier."""

    def __init__(self, in_channels: int, width: int, classes: int, act: str) -> None:
        super().__init__()
        self.features = ConvNorm(in_channels, width, 1, 1, 1, act)
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to logits (n, classes)."""
        pooled = functional.adaptive_avg_pool2d(self.features(images), 1).flatten(1)
        logits: Tensor = self.classifier(pooled)
        return logits


class WideHead(nn.Module):
    """Global average, a pointwise layer without bias, and a linear classifier."""

    def __init__(self, in_channels: int, width: int, classes: int, act: str) -> None:
        super().__init__()
        self.mix = PointwiseConv(in_channels, width, bias=False)
        self.act = activation(act)
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to logits (n, classes)."""
        mixed = self.act(self.mix(functional.adaptive_avg_pool2d(images, 1)))
        logits: Tensor = self.classifier(mixed.flatten(1))
        return logits


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int) -> nn.Conv2d:
    if (kernel, stride, groups) == (1, 1, 1):
        return PointwiseConv(in_channels, out_channels, bias=False)
    kind = DepthwiseConv if groups == in_channels == out_channels else nn.Conv2d
    return kind(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
