"""ImageNet top-1 predicted for the networks of `mobilenet_v3` at 224 px, with Once-for-All's weights as they are.

Nothing is trained, run or downloaded: 251 coefficients, fitted twenty times over to resampled measurements of 1,681 distinct
sub-networks, weigh what a network consists of. `experiments/fit_imagenet_accuracy.py` fits them and says how far off they are.
The measurements are all at 224 px and width 1.0, so anything else is refused: nobody measured how accuracy falls with
resolution here, and an interval for it would be invented.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.accuracy import Score
from nas.core.errors import SpaceError
from nas.core.network import NetworkSpec
from nas.core.space import SearchSpace

Floats = npt.NDArray[np.floating[Any]]

RESOLUTION = 224
KERNELS = (3, 5, 7)
EXPANDS = (3, 4, 6)
STAGES = 5
LAYERS = 4
"""Layers that a stage has at most."""
WEIGHTS = Path(__file__).with_name("imagenet_mobilenet_v3.json")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted top-1 from 0 to 1, and the bounds that held nine of ten measured networks not used in the fit."""

    top1: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Model:
    """Top-1 in per cent is `ceiling` - exp(-t), with t linear in `features`: the mean of several fits.

    `coefficients` is (fits, 1 + features), the constant first. `noise` is the deviation of t that no fit explains, and
    `factor` the number of deviations (of fits and noise together) that hold nine of ten.
    """

    ceiling: float
    coefficients: Floats
    noise: float
    factor: float

    def predict(self, features: Floats) -> tuple[Floats, Floats, Floats]:
        """Top-1 in per cent (n,), with its lower and upper bounds, for `features` (n, p)."""
        fits = features @ self.coefficients[:, 1:].T + self.coefficients[:, 0]
        t, width = fits.mean(axis=1), self.factor * np.sqrt(fits.var(axis=1) + self.noise**2)
        return self.ceiling - np.exp(-t), self.ceiling - np.exp(width - t), self.ceiling - np.exp(-width - t)


def predict(network: NetworkSpec) -> Prediction:
    """What Once-for-All's sub-network of that form reaches on ImageNet's 50,000 validation images.

    Raises:
        SpaceError: it is no network of `mobilenet_v3` at 224 px for ImageNet's images and classes; says what differs.
    """
    top1, low, high = (float(values[0]) / 100 for values in _model().predict(features(*_decoded(network))))
    return Prediction(top1, low, high)


def features(depths: npt.ArrayLike, kernels: npt.ArrayLike, expands: npt.ArrayLike) -> Floats:
    """What networks are told apart by, (n, 250).

    Which kernel and expansion each layer has, how deep each stage is, and all products of two of the stages' depth, summed
    kernel and summed expansion.

    Args:
        depths: (n, 5) layers of each stage.
        kernels: (n, 20) four of each stage; those beyond its depth do not matter.
        expands: (n, 20) as `kernels`.
    """
    depth, kernel, expand = (np.asarray(values) for values in (depths, kernels, expands))
    used = (np.arange(LAYERS) < depth[:, :, None]).reshape(len(depth), STAGES * LAYERS).astype(float)
    each = [(kernel == one) * used for one in KERNELS] + [(expand == one) * used for one in EXPANDS]
    deep = [(depth == one).astype(float) for one in (3, 4)]

    def summed(values: Floats) -> Floats:
        return (values * used).reshape(len(depth), STAGES, LAYERS).sum(axis=2)

    stages = np.hstack([summed((kernel - 3) / 4), summed((expand - 3) / 3), depth - 2.0])
    pairs = [stages[:, i] * stages[:, j] for i, j in itertools.combinations_with_replacement(range(stages.shape[1]), 2)]
    return np.hstack([*each, *deep, np.stack(pairs, axis=1)])


@cache
def _model() -> Model:
    told = json.loads(WEIGHTS.read_text())
    return Model(told["ceiling"], np.array(told["coefficients"]), told["noise"], told["factor"])


def _decoded(network: NetworkSpec) -> tuple[Sequence[Sequence[int]], ...]:
    """Depths, kernels and expansions of `network`, one row each, once it is proven to be what the measured ones are."""
    from search_spaces.mobilenet_v3 import PLUGIN as SPACE

    if network.resolution != RESOLUTION:
        raise SpaceError(
            f"the predicted top-1 is for {RESOLUTION} px, where it was measured, not for {network.resolution} px: search "
            f"a space that has {RESOLUTION} px alone, or score with the supernet"
        )
    if (network.in_channels, network.classes) != (3, 1000):
        raise SpaceError(f"the predicted top-1 is of ImageNet (3 channels, 1000 classes), not {network.in_channels} and {network.classes}")
    layers = dict(zip(network.slots, network.blocks, strict=True))
    depths, kernels, expands = [], [], []
    genes = [SPACE.resolutions.index(RESOLUTION), 0, 0, 0]  # stage 1 leaves no choice
    for stage, options in enumerate(SPACE.stages[1:], start=2):
        found = [layers[f"stage{stage}_layer{i}"] for i in range(LAYERS) if f"stage{stage}_layer{i}" in layers]
        chosen = [(block.kernel, block.hidden_channels / block.in_channels) for block in found]
        known = [(choice.kernel, choice.expand) for choice in options.choices]
        if len(found) not in options.depths or not set(chosen) <= set(known):
            raise SpaceError(f"stage {stage} of a network has no layers of {SPACE.name}: the predicted top-1 is for no other space")
        padding = [(3, 3.0)] * (LAYERS - len(found))
        genes += [options.depths.index(len(found)), 0, *(known.index(one) for one in chosen + padding)]
        depths.append(len(found))
        kernels += [kernel for kernel, _ in chosen + padding]
        expands += [int(expand) for _, expand in chosen + padding]
    if SPACE.network(SPACE.architecture(genes), 3, 1000) != network:
        raise SpaceError(f"the network's widths or other layers are not those of {SPACE.name}, for which alone top-1 is predicted")
    return [depths], [kernels], [expands]


def _of(network: NetworkSpec, seed: int) -> float:
    return predict(network).top1


def _bounds(network: NetworkSpec) -> tuple[float, float]:
    found = predict(network)
    return found.low, found.high


def _of_space(space: SearchSpace) -> SearchSpace:
    """`space` at 224 px alone, if it is the one whose networks were measured."""
    from search_spaces.mobilenet_v3 import PLUGIN as SPACE

    if RESOLUTION not in space.resolutions or replace(space, name=SPACE.name, resolutions=SPACE.resolutions) != SPACE:
        raise SpaceError(f"top-1 is predicted for {SPACE.name} at {RESOLUTION} px alone, not for {space.name}: give --space {SPACE.name}")
    return replace(space, resolutions=(RESOLUTION,))


PLUGIN = Score(_of, "predicted ImageNet top-1", is_accuracy=True, bounds=_bounds, of_space=_of_space)
