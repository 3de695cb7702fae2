"""From a picked architecture to files that ship: fine-tune, prune, export, quantize, run, compare."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nas import compressors, runtimes
from nas.accuracy.supernet import calibration_batch, count_macs
from nas.compressors import CompressionError, Evidence, FileCompressor, NetworkCompressor
from nas.core.architecture import Architecture
from nas.core.latency import LatencyEstimate
from nas.core.network import NetworkSpec
from nas.core.result import Pick, Step
from nas.data import ImageData, Split, normalise
from nas.network import Network, recalibrate
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from nas.supernet import Supernet
from nas.training import Schedule, fine_tune, predictions

ALLOWED_LOSS = 0.01
"""Validation accuracy that a compressed version may lose against fp32 and still be recommended."""

PRUNED_SHARE = 0.5
"""Training of a pruned network, as a share of what its parent had."""

Latency = Callable[[str, Path, NetworkSpec], tuple[LatencyEstimate | None, str]]
"""Latency of a version from its precision, file and network, or None and the reason why nothing is known."""


@dataclass(frozen=True, slots=True)
class Finisher:
    """What every pick of a run is finished with. `data` holds all images; test is read here and nowhere else."""

    supernet: Supernet
    data: ImageData
    calibration: ImageData
    soft_labels: Tensor
    settings: RunSettings
    compressors: tuple[str, ...]
    max_opset: int
    latency: Latency
    folder: RunFolder

    def finish(self, architecture: Architecture, inherited_accuracy: float, on_step: Callable[[], None]) -> Pick:
        """The finished pick; its model files lie in the run's folder.

        Raises:
            ExportError: a file could not be written, or computes something else than the network.
        """
        started = time.perf_counter()
        space = self.supernet.space
        spec = space.network(architecture, self.supernet.in_channels, self.supernet.classes)
        network = self.supernet.extract(spec)
        self._train(network, self._schedule(1.0), on_step)
        steps = [self._export(network, architecture.id, "fp32")]
        notes = []
        for name in self.compressors:
            compressor = compressors.load(name)
            try:
                if isinstance(compressor, NetworkCompressor):
                    smaller = compressor.compress(network, self.settings.keep_hidden)
                    self._train(smaller, self._schedule(PRUNED_SHARE), on_step)
                    steps.append(self._export(smaller, architecture.id, compressor.step))
                else:
                    steps.append(self._convert(compressor, network, steps[0], architecture.id))
            except CompressionError as error:
                notes.append(f"{architecture.id}: {error}")
        return Pick(
            architecture,
            space.describe(architecture),
            spec.resolution,
            inherited_accuracy,
            tuple(steps),
            recommend(steps),
            tuple(notes),
            round(time.perf_counter() - started, 2),
        )

    def training_steps(self) -> int:
        """Optimiser steps that one pick takes."""
        pruned = [name for name in self.compressors if isinstance(compressors.load(name), NetworkCompressor)]
        images = len(self.data.train)
        return self._schedule(1.0).steps(images) + len(pruned) * self._schedule(PRUNED_SHARE).steps(images)

    def _schedule(self, share: float) -> Schedule:
        tuning = self.settings.fine_tuning
        return Schedule(share * tuning.epochs, tuning.batch_size, tuning.learning_rate, tuning.weight_decay)

    def _train(self, network: Network, schedule: Schedule, on_step: Callable[[], None]) -> None:
        for _ in fine_tune(network, self.data, schedule, self.soft_labels, self.settings.seed):
            on_step()
        recalibrate(network, calibration_batch(self.calibration, network.spec.resolution))

    def _export(self, network: Network, name: str, step: str) -> Step:
        runtime = runtimes.load("onnxruntime")
        path = self.folder.models / f"{name}-{step}{runtime.suffix}"
        runtime.export(network, path, self.max_opset)
        runtime.verify(path, network, self._images(self.data.validation, network)[:200])
        return self._step(step, "fp32", path, network)

    def _convert(self, compressor: FileCompressor, network: Network, source: Step, name: str) -> Step:
        target = self.folder.models / f"{name}-{compressor.step}.onnx"
        validation = self._images(self.data.validation, network)
        calibration = self._images(self.calibration.train, network)
        evidence = Evidence(calibration, validation, self.data.validation.labels.numpy())
        compressor.compress(self.folder.path / source.model, target, evidence)
        return self._step(compressor.step, compressor.step, target, network)

    def _step(self, name: str, precision: str, path: Path, network: Network) -> Step:
        """Figures of one file; agreement and difference are against the torch network it was made from."""
        runtime = runtimes.load("onnxruntime")
        test = self._images(self.data.test, network)
        validation = self._images(self.data.validation, network)
        agreement = runtime.compare(path, network, test)
        latency, note = self.latency(precision, path, network.spec)
        macs, _ = count_macs(network)
        return Step(
            name,
            str(path.relative_to(self.folder.path)),
            runtime.accuracy(path, validation, self.data.validation.labels),
            runtime.accuracy(path, test, self.data.test.labels),
            latency,
            note,
            macs,
            sum(parameter.numel() for parameter in network.parameters()),
            runtimes.size_mb(path),
            agreement.agreement,
            agreement.max_difference,
        )

    def _images(self, split: Split, network: Network) -> "np.ndarray[Any, np.dtype[np.float32]]":
        return normalise(split.images, self.data, network.spec.resolution).numpy()


def recommend(steps: Sequence[Step]) -> str:
    """Name of the fastest version that keeps the fp32 version's validation accuracy within a point; fp32 leads ties."""
    floor = steps[0].validation_accuracy - ALLOWED_LOSS
    good = [step for step in steps if step.latency is not None and step.validation_accuracy >= floor]
    return min(good, key=lambda step: step.latency.total.high_ms if step.latency else float("inf")).name if good else steps[0].name


def soft_labels(supernet: Supernet, data: ImageData, calibration: ImageData) -> Tensor:
    """What the largest network of the space says of every training image: probabilities (n, classes)."""
    largest = supernet.extract(supernet.space.network(supernet.space.largest(), supernet.in_channels, supernet.classes))
    recalibrate(largest, calibration_batch(calibration, largest.spec.resolution))
    return predictions(largest, data, data.train)
