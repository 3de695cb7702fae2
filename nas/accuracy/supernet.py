"""Accuracy with the supernet's weights: extract, re-calibrate batch norms, score on validation images.

An evaluator lives as long as its worker and keeps what evaluations have in common: the supernet, normalised images, and
what the first blocks make of them, which is the same for every network that begins with these blocks. A candidate that is
dominated beyond reasonable doubt is not scored to the end.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import takewhile
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

import search_spaces
from nas.accuracy.rounding import Rounded
from nas.compressors.hidden_channels import cropped
from nas.core.architecture import Architecture
from nas.core.evaluation import Evaluation
from nas.core.network import BlockSpec, NetworkSpec
from nas.data import ImageData, Split, normalise
from nas.network import Network, fold_batch_norms, recalibrate
from nas.supernet import Supernet, without_size
from search_spaces import blocks

BATCH = 250
"""Validation images that are scored together, and after each of which a candidate may be rejected."""
DOUBT = 2.5
"""Standard deviations between what a rejected candidate has shown and what it would have had to beat."""
KEPT_MB = 512.0
"""What an evaluator keeps of images, normalised or seen by the first blocks, in 10^6 bytes, at most."""
BEGINNINGS = 4
"""Beginnings of networks that must fit into `KEPT_MB`; where they are larger none is kept, but normalised images."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the first `blocks` blocks of a network give: of calibration images, and of each batch of validation images."""

    blocks: int
    calibration: Tensor
    validation: Callable[[int], Tensor]


@dataclass(frozen=True)  # without slots, for the cached properties
class SupernetAccuracy:
    """A function from an architecture to its `Evaluation`; plain tensors inside, so that it travels to any worker.

    `data` holds only the calibration images (as train) and the validation images: test images never reach a search.
    """

    space: str
    weights: dict[str, Tensor]
    data: ImageData

    @classmethod
    def of(cls, supernet: Supernet, data: ImageData, calibration_images: int, validation_images: int) -> "SupernetAccuracy":
        """The evaluator for a trained supernet: some images of train and validation, and nothing of test."""
        weights = {name: tensor.detach().clone() for name, tensor in supernet.state_dict().items()}
        reduced = replace(calibration_data(data, calibration_images), validation=data.validation.some(validation_images))
        return cls(supernet.space.name, weights, reduced)

    def __call__(self, architecture: Architecture, accuracy_to_beat: float = -math.inf) -> Evaluation:
        """Validation accuracy and counts of `architecture`.

        Scoring stops early when the accuracy will not reach `accuracy_to_beat`, that of a candidate which is at least as good
        in every other objective. The result does not depend on what the worker has evaluated before.
        """
        return self.evaluate(architecture, accuracy_to_beat)

    def evaluate(
        self, architecture: Architecture, accuracy_to_beat: float, pruned: NetworkSpec | None = None, rounded: Rounded | None = None
    ) -> Evaluation:
        """As a call, of a version of `architecture`: with as few hidden channels as `pruned` has, or with numbers `rounded`.

        What pruning leaves are the channels that `nas.compressors.hidden_channels` finds most important, re-calibrated.
        """
        started = perf_counter()
        supernet = self._supernet
        spec = supernet.space.network(architecture, supernet.in_channels, supernet.classes)
        made = pruned or spec
        with torch.inference_mode():
            network = supernet.extract(spec)
            modules = [network.get_submodule(slot) for slot in spec.slots]
            counts = [_parameters(module) for module in modules]
            seen = self._seen(network, made) if rounded is None else self._images(spec.resolution)
            rest = nn.Sequential(*modules[seen.blocks :])
            recalibrate(rest, seen.calibration)
            if made != spec:
                places = list(zip(modules, spec.blocks, made.blocks, strict=True))[seen.blocks :]
                rest = nn.Sequential(*(cropped(module, whole, kept.hidden_channels) for module, whole, kept in places))
                recalibrate(rest, seen.calibration)
            params = sum(counts[: seen.blocks]) + _parameters(rest)
            fold_batch_norms(rest)
            score, rejected_after = self._score(rounded(rest, seen.calibration) if rounded else rest, seen, accuracy_to_beat)
        return Evaluation(score, blocks.macs(made), params, uncounted(made), perf_counter() - started, rejected_after)

    def _score(self, rest: nn.Module, seen: "_Seen", accuracy_to_beat: float) -> tuple[float, int]:
        """Share of validation images classified correctly, and the number of them after which it was enough; 0: all."""
        right: list[Tensor] = []
        scored, images = 0, len(self._validation)
        for number in range(-(-images // BATCH)):
            labels = self._validation.labels[number * BATCH : (number + 1) * BATCH]
            right.append(rest(seen.validation(number)).argmax(dim=1) == labels)
            scored += len(labels)
            if scored < images and upper_bound(int(torch.cat(right).sum()), scored, images) < accuracy_to_beat:
                return _share(right), scored
        return _share(right), 0

    def _seen(self, network: Network, made: NetworkSpec) -> "_Seen":
        """What the first blocks of `network` make of all images, if that is small enough to be kept, else the images.

        Of the first blocks those that are as in `made`, which it is to be pruned to.
        """
        spec, resolution = network.spec, network.spec.resolution
        images = partial(self._batch, resolution)
        whole = takewhile(lambda pair: pair[0] == pair[1], zip(spec.blocks, made.blocks, strict=True))
        beginning = tuple(block for block, _ in whole)[: self._common + 1]
        kept = self._room(beginning[-1].out_channels * beginning[-1].out_height * beginning[-1].out_width)
        if kept < BEGINNINGS:
            return self._images(resolution)
        found = self._beginnings.pop((resolution, beginning), None)
        if found is None:
            first = nn.Sequential(*(network.get_submodule(slot) for slot in spec.slots[: len(beginning)]))
            given = recalibrate(first, self._calibration(resolution))
            fold_batch_norms(first)
            batches = [first(images(number)) for number in range(-(-len(self._validation) // BATCH))]
            found = _Seen(len(beginning), given, batches.__getitem__)
        self._beginnings[resolution, beginning] = found  # the last one used is the last to go
        while len(self._beginnings) > kept:
            self._beginnings.pop(next(iter(self._beginnings)))
        return found

    def _images(self, resolution: int) -> "_Seen":
        """All images, seen by no block."""
        return _Seen(0, self._calibration(resolution), partial(self._batch, resolution))

    def _room(self, values: int) -> int:
        """How often all calibration and validation images have room, at `values` single-precision numbers an image."""
        return int(0.5e6 * KEPT_MB / (4 * values * (len(self.data.train) + len(self._validation))))

    @cached_property
    def _beginnings(self) -> "dict[tuple[int, tuple[BlockSpec, ...]], _Seen]":
        return {}

    @cached_property
    def _common(self) -> int:
        """Blocks with which every network of a resolution begins."""
        space, counts = self._supernet.space, (self.data.channels, len(self.data.classes))
        small, large = (space.network(end, *counts).blocks for end in (space.smallest(), space.largest()))
        return next((n for n, (a, b) in enumerate(zip(small, large, strict=False)) if without_size(a) != without_size(b)), len(small) - 1)

    @cached_property
    def _supernet(self) -> Supernet:
        supernet = Supernet(search_spaces.load(self.space), self.data.channels, len(self.data.classes))
        supernet.load_state_dict(self.weights, assign=True)
        return supernet

    @cached_property
    def _validation(self) -> Split:
        """The validation images in an order of no meaning, so that any beginning stands for all."""
        order = torch.randperm(len(self.data.validation), generator=torch.Generator().manual_seed(0))
        return Split(self.data.validation.images[order], self.data.validation.labels[order])

    @cached_property
    def _calibration(self) -> Callable[[int], Tensor]:
        """From a resolution to `calibration_batch` there."""
        return lru_cache(self._kept(len(self.data.train)))(lambda resolution: calibration_batch(self.data, resolution))

    @cached_property
    def _batch(self) -> Callable[[int, int], Tensor]:
        """From a resolution and a number to that batch of normalised validation images."""

        def made(resolution: int, number: int) -> Tensor:
            images = self._validation.images[number * BATCH : (number + 1) * BATCH]
            return normalise(images, self.data, resolution).contiguous(memory_format=torch.channels_last)

        return lru_cache(self._kept(BATCH))(made)

    def _kept(self, images: int) -> int:
        """Batches of `images`, at the largest resolution, that half of what may be kept has room for."""
        size = self._supernet.space.resolutions[-1]
        return int(0.5e6 * KEPT_MB / (4 * images * self.data.channels * size**2))

    def __getstate__(self) -> dict[str, Any]:
        """Without what was computed from it."""
        return {"space": self.space, "weights": self.weights, "data": self.data}


def upper_bound(right: int, scored: int, images: int) -> float:
    """What the accuracy on all `images` will hardly exceed, after `right` of the first `scored`, drawn at random.

    `DOUBT` deviations above what was seen. Source: Agresti and Coull 1998 (two successes and two failures added, for the
    deviation), with the finite-population factor: only the images not yet seen may still surprise.
    """
    share = (right + 2) / (scored + 4)
    return right / scored + DOUBT * math.sqrt(share * (1 - share) / scored * (images - scored) / max(1, images - 1))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _share(right: list[Tensor]) -> float:
    return float(torch.cat(right).float().mean())


def calibration_data(data: ImageData, images: int) -> ImageData:
    """`data` with only `images` of its training images, those that statistics are made from, and none for test."""
    return replace(data.without_test(), train=data.train.some(images))


def calibration_batch(data: ImageData, resolution: int) -> Tensor:
    """All images of `data.train` normalised at `resolution`, channels last."""
    return normalise(data.train.images, data, resolution).contiguous(memory_format=torch.channels_last)


def count_macs(network: Network) -> tuple[int, tuple[str, ...]]:
    """Multiply-accumulates of convolutions and linear layers, counted by fvcore, and the operators it cannot count.

    Batch norms are left out: they fold into the convolutions before anything is shipped. Activations, additions and
    the like are what fvcore has no count for; they are named, not dropped.
    """
    spec = network.spec
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # fvcore 0.1.5 scripts, when imported, and traces
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(network, torch.zeros(1, spec.in_channels, spec.resolution, spec.resolution))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_operator = analysis.by_operator()
        uncounted = tuple(sorted(name.removeprefix("aten::") for name in analysis.unsupported_ops()))
    return int(by_operator["conv"] + by_operator["linear"]), uncounted


def uncounted(network: NetworkSpec) -> tuple[str, ...]:
    """The operators of `network` that `count_macs` cannot count, as it names them, without tracing the whole network."""
    found = (_uncounted(b.kind, b.stride, b.in_channels == b.out_channels, b.se, b.activation) for b in network.blocks)
    return tuple(sorted(set().union(*found)))


@lru_cache(maxsize=256)
def _uncounted(kind: str, stride: int, keeps_channels: bool, se: bool, activation: str) -> tuple[str, ...]:
    """Those of one block, which do not depend on its size."""
    block = BlockSpec(kind, 16, 16, 16 if keeps_channels else 32, 3, stride, se, activation, 4, 4)
    with torch.inference_mode(False):
        _, names = count_macs(Network(NetworkSpec(4, 16, block.out_channels, ("block",), (block,))).eval())
    return names
