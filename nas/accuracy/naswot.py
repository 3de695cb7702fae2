"""NASWOT: how differently an untrained network sees different images (Mellor et al. 2021, Neural Architecture Search without Training).

Each rectifier splits the images into those that pass and those that do not. The score is the logarithm of the determinant of
the matrix that counts, for each two images, on how many units they agree: larger where images are easier to tell apart.
There is no data, so the images are noise; where the activation is a hard swish, "passes" is a positive input, as for ReLU.
"""

from typing import TYPE_CHECKING

from nas.accuracy import Score
from nas.core.network import NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGES = 32


def _score(network: NetworkSpec, seed: int) -> float:
    import torch
    from torch import nn

    from nas.accuracy.untrained import noise, untrained

    model = untrained(network, seed)
    agreed = torch.zeros(IMAGES, IMAGES, dtype=torch.float64)

    def note(module: "nn.Module", inputs: "tuple[Tensor, ...]") -> None:
        passes = (inputs[0].flatten(1) > 0).float()
        agreed.add_(passes @ passes.T + (1 - passes) @ (1 - passes).T)

    for module in model.modules():
        if isinstance(module, (nn.ReLU, nn.ReLU6, nn.Hardswish)):
            module.register_forward_pre_hook(note)
    with torch.no_grad():
        model.train()(noise(network, IMAGES, seed))
    return float(torch.logdet(agreed + 1e-3 * torch.eye(IMAGES, dtype=agreed.dtype)))


PLUGIN = Score(_score, "NASWOT score")
