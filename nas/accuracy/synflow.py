"""SynFlow: how much of a signal passes through an untrained network (Tanaka et al. 2020; as a score: Abdelfattah et al. 2021).

The network is made linear and positive: absolute weights, no batch norms, no activations, gates open. The score is the
logarithm of the sum over all weights of weight times gradient, for an image of ones. It sees no data and needs no batch.
"""

import math

from nas.accuracy import Score
from nas.core.network import NetworkSpec


def _score(network: NetworkSpec, seed: int) -> float:
    import torch
    from torch import nn

    from nas.accuracy.untrained import replaced, untrained

    kinds = (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Hardswish)
    model = replaced(untrained(network, seed), kinds, lambda module: nn.Identity()).double().eval()
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_() if parameter.ndim > 1 else parameter.zero_()
    size = network.resolution
    model(torch.ones(1, network.in_channels, size, size, dtype=torch.float64)).sum().backward()
    flow = sum(float((weight.detach() * weight.grad).sum()) for weight in weights if weight.grad is not None)
    return math.log(flow)


PLUGIN = Score(_score, "SynFlow score")
