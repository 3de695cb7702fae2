"""A pointwise convolution as the matrix product that it is. Not a block itself: it defines no `PLUGIN`.

oneDNN reorders the weight of a convolution at every call and has no fast kernels for the few pixels at the end of a small
network; a matrix product reads weights, and crops of larger ones, where they lie (`experiments/benchmarks/training_speed.py`).
"""

from torch import Tensor, nn
from torch.nn import functional

from search_spaces.blocks.trained import trained_on_cpu


class PointwiseConv(nn.Conv2d):
    """`nn.Conv2d` with a 1x1 kernel in one group at stride 1; only faster to train, on a processor, where images lie channels last."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(n, in, h, w) to (n, out, h, w)."""
        if not trained_on_cpu(self, input) or input.stride(1) != 1:
            return super().forward(input)
        return functional.linear(input.movedim(1, 3), self.weight.flatten(1), self.bias).movedim(3, 1)
