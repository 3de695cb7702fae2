"""Zen score: how much an untrained network without shortcuts changes when its image does (Lin et al. 2021, Zen-NAS).

Weights are standard normal numbers; shortcuts are cut and gates open, as in the authors' code. The score is the logarithm of the
mean change of the last features per change of the image, to which every batch norm gives back the deviation that it took out.
"""

import math
from typing import TYPE_CHECKING

from nas.accuracy import Score
from nas.core.network import NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor

IMAGES = 8
STEP = 0.01
"""Share of a second noise image that is added to the first."""


def _score(network: NetworkSpec, seed: int) -> float:
    import torch
    from torch import nn

    from nas.accuracy.untrained import noise, replaced, untrained
    from search_spaces.blocks.layers import Residual

    model = replaced(untrained(network, seed), (Residual,), lambda module: nn.Sequential(*module.children()))
    generator = torch.Generator().manual_seed(seed)
    scales = 0.0

    def note(norm: nn.BatchNorm2d, inputs: "tuple[Tensor, ...]") -> None:
        nonlocal scales
        scales += 0.5 * math.log(float(inputs[0].var(dim=(0, 2, 3), unbiased=False).mean()) + norm.eps)

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(generator=generator)
        hooks = [norm.register_forward_pre_hook(note) for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)]
        features = nn.Sequential(*(model.get_submodule(slot) for slot in network.slots[:-1])).train()
        image, other = noise(network, IMAGES, seed), noise(network, IMAGES, seed + 1)
        before = features(image)
        for hook in hooks:
            hook.remove()
        changed = (features(image + STEP * other) - before).abs().mean()
    return math.log(float(changed) + 1e-30) + scales


PLUGIN = Score(_score, "Zen score")
