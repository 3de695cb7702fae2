"""Untrained networks for the scores that need no data: the same ones in every process. Not a score: it defines no `PLUGIN`."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nas.core.network import NetworkSpec
from nas.network import Network
from search_spaces.blocks.layers import SqueezeExcite


class OpenGates(nn.Module):
    """Squeeze-and-excitation that scales nothing."""

    def forward(self, images: Tensor) -> Tensor:
        """`images`."""
        return images


def untrained(network: NetworkSpec, seed: int) -> Network:
    """`network` with random weights of `seed` alone, its gates open; torch's own generator stays as it is.

    Convolutions by He et al. 2015 for their outputs, norms at one and zero.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        model = Network(network)
    model = replaced(model, (SqueezeExcite,), lambda module: OpenGates()).to_empty(device="cpu")
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                weight = module.weight
                fan_out = weight.shape[0] * weight[0, 0].numel() / (module.groups if isinstance(module, nn.Conv2d) else 1)
                weight.normal_(std=(2.0 / fan_out) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1.0)
                module.bias.zero_()
                module.reset_running_stats()
    return model


def noise(network: NetworkSpec, images: int, seed: int) -> Tensor:
    """Normalised images (n, c, h, w) of standard normal pixels."""
    size = network.resolution
    return torch.randn(images, network.in_channels, size, size, generator=torch.Generator().manual_seed(seed))


def replaced(model: Network, kinds: tuple[type[nn.Module], ...], by: Callable[[nn.Module], nn.Module]) -> Network:
    """`model`, in which every module of `kinds` has become what `by` makes of it."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kinds):
                setattr(parent, name, by(child))
    return model
