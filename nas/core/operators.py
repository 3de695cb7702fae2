"""What a block executes, as a list of plain operators: what counting, pricing and reports are made from."""

from dataclasses import dataclass

CONVOLUTIONS = ("dense", "pointwise", "depthwise", "grouped")
"""Operator kinds with a kernel that moves over pixels; `linear` is the other kind with weights."""

ELEMENTWISE = ("add", "multiply", "se_scale", "activation", "normalise", "softmax")
"""Kinds that keep the shape and compute something small for each number."""

MOVES = ("split", "concat", "shuffle", "pad", "resize", "copy")
"""Kinds that only move numbers; `copy` is any other change of layout, such as a transposition."""

KINDS = (*CONVOLUTIONS, "linear", "pool", "window_pool", *ELEMENTWISE, *MOVES)
"""Every kind: beside those above, `pool` averages over all pixels and `window_pool` (largest or average) over a kernel."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator after fusion of batch normalisation and activation into the convolution before it.

    `kind` is one of `KINDS`. Sizes are in pixels, `activation` is "" where there is none, else relu, relu6, hard_swish,
    hard_sigmoid, sigmoid, swish, gelu, leaky_relu... `kernel` is its number of rows, `kernel_width` its columns where
    they differ (0: as many). `groups` is above 1 for the kind "grouped" alone. `out_size` is (rows, columns) where the
    padding is not "same" (None: the input's divided by the stride, rounded up). `nodes` is above 1 where a file
    writes the activation in additions, products and limits instead of by name: runtimes that do not recognise it execute each.
    `dilation` is above 1 where a kernel's taps lie so many pixels apart: the multiply-accumulates are the same, what they cost was
    never measured.
    """

    kind: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    in_height: int
    in_width: int
    activation: str = ""
    groups: int = 1
    kernel_width: int = 0
    out_size: tuple[int, int] | None = None
    nodes: int = 1
    dilation: int = 1

    @property
    def taps(self) -> int:
        """Pixels under the kernel."""
        return self.kernel * (self.kernel_width or self.kernel)

    @property
    def out_height(self) -> int:
        """Rows of the output; global pooling and linear operators give one."""
        if self.out_size is not None:
            return self.out_size[0]
        return 1 if self.kind in ("pool", "linear") else -(-self.in_height // self.stride)

    @property
    def out_width(self) -> int:
        """Columns of the output, as `out_height`."""
        if self.out_size is not None:
            return self.out_size[1]
        return 1 if self.kind in ("pool", "linear") else -(-self.in_width // self.stride)

    @property
    def inputs_of_each_output(self) -> int:
        """Channels that one output channel of a convolution or linear layer reads; 0 for operators without weights."""
        if self.kind == "depthwise":
            return 1
        return self.in_channels // self.groups if self.kind in (*CONVOLUTIONS, "linear") else 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and linear layers; 0 for operators that only move or scale data."""
        return self.taps * self.inputs_of_each_output * self.out_channels * self.out_height * self.out_width

    @property
    def weights(self) -> int:
        """Parameters after fusion: the kernel and one bias per output channel."""
        return (self.taps * self.inputs_of_each_output + 1) * self.out_channels if self.inputs_of_each_output else 0

    @property
    def in_elements(self) -> int:
        """Numbers read: two tensors for add and multiply, the tensor and its gate for se_scale."""
        one = self.in_channels * self.in_height * self.in_width
        return 2 * one if self.kind in ("add", "multiply") else one + self.in_channels if self.kind == "se_scale" else one

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
