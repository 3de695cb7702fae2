"""From a tuned pick to files that ship: export, quantize, run, compare, time. The one place that reads test images."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hardware_profiles import THIS_MACHINE
from nas import compressors, footprint, runtimes, tuning
from nas.accuracy.supernet import count_macs
from nas.compressors import CompressionError, Evidence, FileCompressor
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.device import RuntimeTarget
from nas.core.latency import LatencyEstimate
from nas.core.network import NetworkSpec
from nas.core.result import Pick, Step
from nas.core.space import SearchSpace
from nas.data import ImageData, Split, normalise
from nas.network import Network
from nas.run_folder import RunFolder

ALLOWED_LOSS = 0.01
"""Validation accuracy that a compressed version may lose against fp32 and still be recommended."""

VERIFIED_IMAGES = 200
"""Validation images on which an exported file must compute what its network computes."""

Latency = Callable[[str, Path, NetworkSpec], tuple[LatencyEstimate | None, str]]
"""Latency of a version from its precision, file and network, or None and the reason why nothing is known."""


@dataclass(frozen=True, slots=True)
class Finisher:
    """What every pick of a run is finished with: all images, names of file compressors, and what the run was priced for.

    `power_w` gives the watts that were measured beside the latencies of a target, or None.
    """

    space: SearchSpace
    data: ImageData
    calibration: ImageData
    compressors: tuple[str, ...]
    target: RuntimeTarget
    max_opset: int
    latency: Latency
    power_w: Callable[[RuntimeTarget], float | None]
    budget: Budget
    folder: RunFolder

    def finish(self, architecture: Architecture, inherited_accuracy: float) -> Pick:
        """The finished pick; its model files lie in the run's folder.

        Raises:
            ExportError: a file could not be written, or computes something else than the network.
        """
        started = time.perf_counter()
        networks, notes = tuning.read(self.folder.tuned(architecture.id))
        steps = [self._export(network, architecture.id, name) for name, network in networks.items()]
        for name in self.compressors:
            compressor = compressors.load(name)
            assert isinstance(compressor, FileCompressor), name
            try:
                steps.append(self._convert(compressor, networks["fp32"], steps[0], architecture.id))
            except CompressionError as error:
                notes.append(str(error))
        return Pick(
            architecture,
            self.space.describe(architecture),
            networks["fp32"].spec.resolution,
            inherited_accuracy,
            tuple(steps),
            recommend(steps, self.budget, self.target.precision),
            tuple(notes),
            round(time.perf_counter() - started, 2),
        )

    def _export(self, network: Network, name: str, step: str) -> Step:
        runtime = runtimes.load("onnxruntime")
        path = self.folder.models / f"{name}-{step}{runtime.suffix}"
        runtime.export(network, path, self.max_opset)
        runtime.verify(path, network, self._images(self.data.validation, network)[:VERIFIED_IMAGES])
        return self._step(step, "fp32", path, network)

    def _convert(self, compressor: FileCompressor, network: Network, source: Step, name: str) -> Step:
        target = self.folder.models / f"{name}-{compressor.step}.onnx"
        validation = self._images(self.data.validation, network)
        calibration = self._images(self.calibration.train, network)
        threads = self.target.threads if self.target.device == THIS_MACHINE else 1
        evidence = Evidence(calibration, validation, self.data.validation.labels.numpy(), max(1, threads))
        compressor.compress(self.folder.path / source.model, target, evidence)
        return self._step(compressor.step, compressor.step, target, network)

    def _step(self, name: str, precision: str, path: Path, network: Network) -> Step:
        """Figures of one file; agreement and difference are against the torch network it was made from."""
        runtime = runtimes.load("onnxruntime")
        test = self._images(self.data.test, network)
        validation = self._images(self.data.validation, network)
        logits = runtime.logits(path, test)
        agreement = runtimes.agreement(logits, network, test)
        latency, note = self.latency(precision, path, network.spec)
        macs, _ = count_macs(network)
        return Step(
            name,
            str(path.relative_to(self.folder.path)),
            runtime.accuracy(path, validation, self.data.validation.labels),
            float((logits.argmax(axis=1) == self.data.test.labels.numpy()).mean()),
            latency,
            note,
            macs,
            sum(parameter.numel() for parameter in network.parameters()),
            runtimes.size_mb(path),
            agreement.agreement,
            agreement.max_difference,
            footprint.memory_mb(network.spec, precision),
            self.power_w(latency.target) if latency else None,
        )

    def _images(self, split: Split, network: Network) -> "np.ndarray[Any, np.dtype[np.float32]]":
        return normalise(split.images, self.data, network.spec.resolution).numpy()


def recommend(steps: Sequence[Step], budget: Budget, precision: str) -> str:
    """Name of the fastest version that keeps the fp32 version's validation accuracy within a point; fp32 leads ties.

    Of the versions within all of `budget`, if there are any; else of those that would be if they were as slow as fp32. A
    `precision` other than fp32 was asked for: versions of it go first.
    Should none of them keep the accuracy, or none have a known latency, it is the most accurate.
    """
    floor = steps[0].validation_accuracy - ALLOWED_LOSS
    fitting = [step for step in steps if budget.holds(step.costs)]
    likely = [step for step in steps if step.latency is None and budget.holds(_as_slow_as(steps[0], step))]
    pool = fitting or likely or steps
    good = [step for step in pool if step.latency is not None and step.validation_accuracy >= floor]
    if precision != "fp32":
        good = [step for step in good if step.latency and step.latency.target.precision == precision] or good
    if good:
        return min(good, key=lambda step: step.latency.total.high_ms if step.latency else float("inf")).name
    return max(pool, key=lambda step: step.validation_accuracy).name if pool is not steps else steps[0].name


def _as_slow_as(base: Step, step: Step) -> Costs:
    return replace(step.costs, latency=base.costs.latency, power_w=base.power_w)
