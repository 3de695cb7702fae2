"""What a block executes, as a list of plain operators: what counting, pricing and reports are made from."""

from dataclasses import dataclass

CONVOLUTIONS = ("dense", "pointwise", "depthwise")
"""Operator kinds with a kernel that moves over pixels; `linear` is the other kind with weights."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator after fusion of batch normalisation and activation into the convolution before it.

    `kind` is one of dense, pointwise, depthwise, linear, pool (global average), se_scale (multiply by a gate per
    channel), add, split, concat, shuffle. Sizes are in pixels, `activation` is "" where there is none.
    """

    kind: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    in_height: int
    in_width: int
    activation: str = ""

    @property
    def out_height(self) -> int:
        """Rows of the output; pooling and linear operators give one."""
        return 1 if self.kind in ("pool", "linear") else -(-self.in_height // self.stride)

    @property
    def out_width(self) -> int:
        """Columns of the output, as `out_height`."""
        return 1 if self.kind in ("pool", "linear") else -(-self.in_width // self.stride)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and linear layers; 0 for operators that only move or scale data."""
        if self.kind == "depthwise":
            return self.kernel**2 * self.out_channels * self.out_height * self.out_width
        if self.kind in (*CONVOLUTIONS, "linear"):
            return self.kernel**2 * self.in_channels * self.out_channels * self.out_height * self.out_width
        return 0

    @property
    def weights(self) -> int:
        """Parameters after fusion: the kernel and one bias per output channel."""
        if self.kind == "depthwise":
            return (self.kernel**2 + 1) * self.out_channels
        if self.kind in (*CONVOLUTIONS, "linear"):
            return (self.kernel**2 * self.in_channels + 1) * self.out_channels
        return 0

    @property
    def in_elements(self) -> int:
        """Numbers read: two tensors for add, the tensor and its gate for se_scale."""
        one = self.in_channels * self.in_height * self.in_width
        return 2 * one if self.kind == "add" else one + self.in_channels if self.kind == "se_scale" else one

    @property
    def out_elements(self) -> int:
        """Numbers written."""
        return self.out_channels * self.out_height * self.out_width


def convolution(in_channels: int, out_channels: int, kernel: int, stride: int, height: int, width: int, activation: str = "") -> Operator:
    """A full convolution, called pointwise where the kernel is 1."""
    return Operator("pointwise" if kernel == 1 else "dense", in_channels, out_channels, kernel, stride, height, width, activation)


def depthwise(channels: int, kernel: int, stride: int, height: int, width: int, activation: str = "") -> Operator:
    """A convolution of each channel with its own kernel."""
    return Operator("depthwise", channels, channels, kernel, stride, height, width, activation)


def elementwise(kind: str, channels: int, height: int, width: int) -> Operator:
    """An operator without weights that keeps the shape: add, se_scale, split, concat or shuffle."""
    return Operator(kind, channels, channels, 1, 1, height, width)


def squeeze_excite(channels: int, squeezed: int, height: int, width: int) -> tuple[Operator, ...]:
    """Global pooling, two pointwise layers on one pixel and the scaling of the input."""
    return (
        Operator("pool", channels, channels, 1, 1, height, width),
        Operator("pointwise", channels, squeezed, 1, 1, 1, 1, "relu"),
        Operator("pointwise", squeezed, channels, 1, 1, 1, 1, "hard_sigmoid"),
        elementwise("se_scale", channels, height, width),
    )
