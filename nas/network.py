"""A stand-alone network: the plain torch module that a `NetworkSpec` stands for, with weights of its own."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from nas.core.network import NetworkSpec
from search_spaces import blocks
from search_spaces.blocks.layers import ConvNorm


class Network(nn.Module):
    """Blocks in order, each registered under its slot; parameter names are `<slot>.<parameter of the block>`."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        for slot, block in zip(spec.slots, spec.blocks, strict=True):
            self.add_module(slot, blocks.load(block.kind).build(block))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (n, channels, resolution, resolution) to logits (n, classes)."""
        for slot in self.spec.slots:
            images = self.get_submodule(slot)(images)
        return images


Module = TypeVar("Module", bound=nn.Module)


def channels_last(module: Module) -> Module:
    """`module` with its convolution weights in the memory order that a CPU convolves fastest."""
    moved: Module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Every batch norm of the network, in order."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def recalibrate(network: nn.Module, images: Tensor, batch_size: int = 250) -> Tensor:
    """Sets running means and variances to those of `images` (n, c, h, w), normalised and of the network's size.

    Averages over batches of equal size (to one image), at most `batch_size`, so that their order does not matter. Leaves
    the network in evaluation mode, and returns what it gave for the images, each batch with its own statistics: what a later
    part of the same network is re-calibrated with. Not optional for a network cut out of shared weights: without it accuracy
    is near chance.
    """
    norms = batch_norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    given = [network(batch) for batch in images.tensor_split(max(1, -(-len(images) // batch_size)))]
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return torch.cat(given)


@torch.no_grad()
def fold_batch_norms(network: nn.Module) -> None:
    """Puts every batch norm of `network`, in evaluation mode, into the convolution before it, in place: the same function.

    Up to rounding, and a fifth faster. What is folded can no longer be re-calibrated or trained.
    """
    for layer in network.modules():
        if isinstance(layer, ConvNorm):
            norm, conv = layer.norm, layer.conv
            assert norm.running_mean is not None and norm.running_var is not None, "a network of its own has statistics"
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            conv.weight.mul_(scale[:, None, None, None])
            conv.bias = nn.Parameter(norm.bias - norm.running_mean * scale, requires_grad=False)
            layer.norm = nn.Identity()  # type: ignore[assignment]
