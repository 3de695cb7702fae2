"""When convolutions are computed in ways that are faster to train. Not a block itself: it defines no `PLUGIN`."""

import torch
from torch import Tensor, nn


def trained_on_cpu(convolution: nn.Conv2d, images: Tensor) -> bool:
    """Whether the gradient of the weight will be asked for, on a processor, and nothing is being traced for an export."""
    trained = torch.is_grad_enabled() and convolution.weight.requires_grad
    return trained and images.device.type == "cpu" and not torch._C._get_tracing_state()
