"""Blocks that are of no search space, timed beside those of one: what other networks execute and ours do not.

A table prices any network (`nas.price`) by a kernel model of its rows. The rows of a space know convolutions of 3x3 from a first
layer, pointwise ones from narrow layers. Here are dense, pointwise and depthwise convolutions on a grid of channels and sizes,
squeeze-and-excitation, shuffles, pooling and classifiers, as networks for 32 px and for 224 px have them. The sizes are powers
of two, not those of any published network, so that these stay unseen.
"""

from collections.abc import Iterator

from nas.core.network import BlockSpec

_SQUARE = {
    3: ((16, 112), (32, 56), (64, 56), (64, 28), (128, 28), (128, 14), (256, 14), (256, 7), (512, 7)),
    5: ((16, 56), (32, 28), (64, 14), (128, 7)),
}
"""Dense convolutions by kernel: channels, as many in as out, and pixels of a side; for photographs."""

_SQUARE_SMALL = {3: ((16, 32), (32, 32), (32, 16), (64, 16), (64, 8), (128, 8), (128, 4)), 5: ((16, 32), (32, 16), (64, 8))}
"""The same for small images."""

_DENSE = (
    *((3, 32, 3, 2, 224), (3, 64, 7, 2, 224), (3, 64, 3, 2, 224), (3, 32, 3, 1, 32)),
    *((32, 64, 3, 2, 56), (64, 128, 3, 2, 28), (128, 256, 3, 2, 14), (32, 64, 3, 2, 16)),
    *((16, 64, 3, 1, 56), (32, 128, 3, 1, 28), (64, 256, 3, 1, 14)),
)
"""Other dense convolutions: channels in, out, kernel, stride, pixels of a side."""

_POINTWISE = (
    *((64, 16, 112), (16, 64, 112), (32, 128, 112), (128, 32, 56), (32, 128, 56), (64, 64, 56), (64, 256, 28), (256, 64, 28)),
    *((128, 128, 28), (64, 512, 14), (512, 64, 14), (256, 256, 14), (512, 512, 14), (128, 1024, 7), (1024, 128, 7), (512, 512, 7)),
    *((1024, 1024, 7), (256, 1024, 7)),
    *((32, 128, 16), (128, 32, 16), (64, 256, 8), (256, 64, 8), (128, 512, 4), (512, 128, 4)),
)
"""Pointwise convolutions: channels in, out, pixels of a side."""

_DEPTHWISE = (
    *((32, 3, 1, 112), (64, 3, 2, 112), (128, 3, 2, 112), (128, 3, 1, 56), (128, 5, 1, 56), (128, 3, 2, 56)),
    *((256, 3, 1, 28), (256, 5, 1, 28), (256, 5, 2, 28), (512, 3, 1, 14), (512, 5, 1, 14), (512, 7, 1, 14), (512, 3, 2, 14)),
    *((1024, 3, 1, 7), (1024, 5, 1, 7), (1024, 7, 1, 7)),
    *((64, 3, 1, 32), (128, 3, 1, 16), (128, 5, 2, 16), (256, 3, 1, 8), (256, 5, 1, 8), (512, 3, 1, 4)),
)
"""Depthwise convolutions: channels, kernel, stride, pixels of a side. A narrow pointwise one follows, as in every network."""

_UNEVEN = ((30, 56), (54, 28), (110, 14), (218, 7), (54, 8))
"""Channels and pixels of a side of layers whose channels are no multiple of 4, for which runtimes have slower kernels."""

_SWISH = ((32, 128, 56), (64, 256, 28), (128, 512, 14))
"""Channels in and out and pixels of a side of layers with swish, which is no part of a convolution."""

_SQUEEZED = ((64, 56), (128, 28), (512, 14), (1024, 7), (128, 16), (512, 4))
"""Channels and pixels of a side of squeeze-and-excitation behind a depthwise convolution."""

_NARROW = 16
"""Channels behind a depthwise convolution that is timed for its own sake."""

_ACTIVATIONS = ("relu", "relu6", "hard_swish", "")


def blocks() -> tuple[BlockSpec, ...]:
    """Every probe, without repeats."""
    return tuple(dict.fromkeys(_all()))


def _all() -> Iterator[BlockSpec]:
    for kernel, squares in (*_SQUARE.items(), *_SQUARE_SMALL.items()):
        yield from (_convolution(channels, channels, kernel, 1, size, "relu") for channels, size in squares)
    yield from (_convolution(*one, "relu") for one in _DENSE)
    for i, (into, out, size) in enumerate(_POINTWISE):
        yield _convolution(into, out, 1, 1, size, _ACTIVATIONS[i % len(_ACTIVATIONS)])
    for i, (channels, kernel, stride, size) in enumerate(_DEPTHWISE):
        yield _depthwise(channels, kernel, stride, size, ("relu", "relu6")[i % 2])
    for channels, size in _UNEVEN:
        yield _convolution(channels, channels, 1, 1, size, "relu")
        yield _depthwise(channels, 3, 1, size, "relu")
    for into, out, size in _SWISH:
        yield _convolution(into, out, 1, 1, size, "swish")
        yield _depthwise(out, 3, 1, size, "swish")
    yield from (_depthwise(channels, 3, 1, size, "hard_swish", se=True) for channels, size in _SQUEEZED)
    for channels, size in ((32, 56), (64, 28), (64, 14), (128, 7)):
        yield BlockSpec("mbconv", channels, 6 * channels, channels, 3, 1, False, "relu6", size, size)
    for into, out, stride, size in ((32, 128, 2, 56), (128, 128, 1, 28), (256, 256, 1, 14), (512, 512, 1, 7), (64, 64, 1, 16)):
        yield BlockSpec("shuffle_unit", into, out // 2, out, 3, stride, False, "relu", size, size)
    for channels, size in ((64, 112), (64, 56), (256, 28), (32, 32)):
        yield BlockSpec("max_pool", channels, channels, channels, 3, 2, False, "", size, size)
    yield BlockSpec("head", 256, 1024, 1000, 1, 1, False, "relu6", 7, 7)
    yield BlockSpec("head", 512, 2048, 1000, 1, 1, False, "relu", 7, 7)
    yield BlockSpec("head", 128, 512, 10, 1, 1, False, "hard_swish", 4, 4)
    yield BlockSpec("wide_head", 1024, 1024, 1000, 1, 1, False, "hard_swish", 7, 7)


def _convolution(into: int, out: int, kernel: int, stride: int, size: int, activation: str) -> BlockSpec:
    return BlockSpec("conv", into, out, out, kernel, stride, False, activation, size, size)


def _depthwise(channels: int, kernel: int, stride: int, size: int, activation: str, se: bool = False) -> BlockSpec:
    return BlockSpec("separable", channels, channels, _NARROW, kernel, stride, se, activation, size, size)
