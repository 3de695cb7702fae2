"""Accuracy with the supernet's weights: extract, re-calibrate batch norms, score on validation images."""

import time
import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import search_spaces
from nas.core.architecture import Architecture
from nas.core.evaluation import Evaluation
from nas.data import ImageData, normalise
from nas.network import Network, recalibrate
from nas.supernet import Supernet
from nas.training import accuracy


@dataclass(frozen=True)
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

    def __call__(self, architecture: Architecture) -> Evaluation:
        """Validation accuracy and counts of `architecture`."""
        started = time.perf_counter()
        space = search_spaces.load(self.space)
        channels, classes = self.data.train.images.shape[1], len(self.data.classes)
        supernet = Supernet(space, channels, classes)
        supernet.load_state_dict(self.weights)
        network = supernet.extract(space.network(architecture, channels, classes))
        recalibrate(network, calibration_batch(self.data, network.spec.resolution))
        score = accuracy(network, self.data, self.data.validation)
        macs, uncounted = count_macs(network)
        params = sum(parameter.numel() for parameter in network.parameters())
        return Evaluation(score, macs, params, uncounted, time.perf_counter() - started)


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
