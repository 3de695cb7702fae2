"""A depthwise convolution whose weight gradient is fast on processors. Not a block itself: it defines no `PLUGIN`.

oneDNN has a kernel for depthwise weight gradients up to three columns wide; wider ones (5x5, 7x7) go to the kernel for
dense convolutions, which computes 16 x 16 products for each one that is wanted and takes five to ten times as long
(`ONEDNN_VERBOSE=1` names them: jit_dw and jit). So the gradient is asked for in strips of three columns. A strip is the
gradient of a k x 3 kernel on images shifted to the left, and with zeros between the rows of the images a shift is only
another beginning in memory: nothing is copied for it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.blocks.trained import trained_on_cpu

STRIP = 3
"""Columns of a kernel that oneDNN's depthwise weight gradient covers at once (oneDNN 3.11)."""


class DepthwiseConv(nn.Conv2d):
    """`nn.Conv2d` with as many groups as channels, an odd square kernel, "same" padding and no bias; only faster to train."""

    def forward(self, input: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c, ceil(h / stride), ceil(w / stride))."""
        if self.bias is not None or self.kernel_size[1] <= STRIP or not trained_on_cpu(self, input):
            return super().forward(input)
        convolved: Tensor = _Depthwise.apply(input, self.weight, self.stride[0])
        return convolved


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, images: Tensor, weight: Tensor, stride: int) -> Tensor:
        context.save_for_backward(images, weight)
        context.stride = stride
        return functional.conv2d(images, weight, None, stride, weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, weight = context.saved_tensors
        gradient, stride, padding = gradients[0], context.stride, weight.shape[-1] // 2
        wants_images, wants_weight, _ = context.needs_input_grad
        of_images = _backward(gradient, images, weight, stride, (padding, padding), of_weight=False) if wants_images else None
        of_weight = weight_gradient(gradient, images, weight.shape[-1], stride) if wants_weight else None
        return of_images, of_weight, None


def weight_gradient(gradient: Tensor, images: Tensor, kernel: int, stride: int) -> Tensor:
    """Gradient (c, 1, kernel, kernel) of the weight of a depthwise convolution with "same" padding.

    Args:
        gradient: of the output, (n, c, ceil(h / stride), ceil(w / stride)).
        images: the input, (n, c, h, w).
        kernel: its size, odd.
        stride: 1 or 2.
    """
    n, channels, height, width = images.shape
    padding = kernel // 2
    apart = stride == 1 and height >= kernel  # else the kernel for three columns wants the images in one column, zeros between
    high = height if apart else height + padding + (height + padding) % stride
    wide = width + padding + (width + padding - STRIP) % stride
    begin = padding + (0 if apart else padding * wide)  # zeros before the first pixel
    pixels = images.new_zeros(begin + n * high * wide + (kernel - 1) * (wide + 1), channels)
    pixels[begin : begin + n * high * wide].view(n, high, wide, channels)[:, :height, :width] = images.movedim(1, 3)
    padded = gradient.new_zeros(n, high // stride, (wide - STRIP) // stride + 1, channels)
    padded[:, : gradient.shape[2], : gradient.shape[3]] = gradient.movedim(1, 3)
    count, rows = (n, high) if apart else (1, n * high - stride + kernel)
    padded = padded.view(count, -1, padded.shape[2], channels).movedim(3, 1)
    none = images.new_empty(channels, 1, kernel, STRIP)
    strips = []
    for left in range(0, kernel, STRIP):
        first = min(left, kernel - STRIP)  # the last strip overlaps the one before
        shifted = pixels[first : first + count * rows * wide].view(count, rows, wide, channels).movedim(3, 1)
        strip = _backward(padded, shifted, none, stride, (padding if apart else 0, 0), of_weight=True)
        strips.append(strip[..., left - first :])
    return torch.cat(strips, dim=3)


def _backward(gradient: Tensor, images: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], of_weight: bool) -> Tensor:
    """Gradient of the weight, or else of the images, as PyTorch computes it."""
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, [stride, stride], padding, [1, 1], False, [0, 0], len(weight), [not of_weight, of_weight, False]
    )
    return found[1 if of_weight else 0]
