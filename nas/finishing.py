"""From a tuned pick to files that ship: export, quantize, run, compare, time. The one place that reads test images."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hardware_profiles import THIS_MACHINE
from nas import compressors, footprint, runtimes, tuning
from nas.accuracy.supernet import count_macs
from nas.choosing import recommend
from nas.compressors import CompressionError, Evidence, FileCompressor
from nas.core.architecture import Architecture
from nas.core.budget import Budget
from nas.core.device import RuntimeTarget
from nas.core.latency import LatencyEstimate
from nas.core.network import NetworkSpec
from nas.core.result import Pick, Step
from nas.core.space import SearchSpace
from nas.data import ImageData, Split, normalise
from nas.joint_space import PRUNED, JointSpace
from nas.network import Network
from nas.run_folder import RunFolder

VERIFIED_IMAGES = 200
"""Validation images on which an exported file must compute what its network computes."""

_ONNX_ONLY = "the {} version is an ONNX file: nothing here writes it for {}"

Latency = Callable[[str, Path, NetworkSpec], tuple[LatencyEstimate | None, str]]
"""Latency of a version from its precision, file and network, or None and the reason why nothing is known."""


@dataclass(frozen=True, slots=True)
class Finisher:
    """What every pick of a run is finished with: all images, names of file compressors, and what the run was priced for.

    `power_w` gives the watts that were measured beside the latencies of a target, or None.
    """

    space: SearchSpace | JointSpace
    data: ImageData
    calibration: ImageData
    compressors: tuple[str, ...]
    target: RuntimeTarget
    max_opset: int
    latency: Latency
    power_w: Callable[[RuntimeTarget], float | None]
    budget: Budget
    folder: RunFolder

    def finish(self, architecture: Architecture, inherited_accuracy: float, meant: str = "") -> Pick:
        """The finished pick; its model files lie in the run's folder.

        `meant` is the version that the search found good, where precision and pruning were searched for. All others are made
        too, but that of pruned and converted ones only the one that was meant is.

        Raises:
            ExportError: a file could not be written, or computes something else than the network.
        """
        started = time.perf_counter()
        networks, notes = tuning.read(self.folder.tuned(architecture.id))
        steps = [self._export(network, architecture.id, name) for name, network in networks.items()]
        exported = {step.name: step for step in steps}
        for name in self.compressors:
            compressor = compressors.load(name)
            assert isinstance(compressor, FileCompressor), name
            versions = {compressor.step: "fp32", f"{PRUNED}_{compressor.step}": PRUNED}
            for version, source in versions.items():
                if source not in exported or (source == PRUNED and version != meant):
                    continue
                try:
                    steps.append(self._convert(compressor, networks[source], exported[source], architecture.id, version))
                except CompressionError as error:
                    notes.append(str(error))
                else:
                    notes += [_ONNX_ONLY.format(version, self.target.runtime)] if steps[0].onnx else []
        return Pick(
            architecture,
            self.space.describe(architecture),
            networks["fp32"].spec.resolution,
            inherited_accuracy,
            tuple(steps),
            recommend(steps, self.budget, self.target.precision, meant),
            tuple(notes),
            round(time.perf_counter() - started, 2),
            meant,
        )

    def _export(self, network: Network, name: str, step: str) -> Step:
        """The network as ONNX, which compressors read, and in the format of the target's runtime where that is another."""
        onnx, own = runtimes.load("onnxruntime"), runtimes.of_files(self.target.runtime)
        path = self._written(onnx, network, f"{name}-{step}")
        if own.suffix == onnx.suffix:
            return self._step(step, "fp32", path, network)
        return replace(
            self._step(step, "fp32", self._written(own, network, f"{name}-{step}"), network), onnx=str(path.relative_to(self.folder.path))
        )

    def _written(self, runtime: runtimes.Runtime, network: Network, name: str) -> Path:
        """The network's file for `runtime`, which computes the same."""
        path = self.folder.models / f"{name}{runtime.suffix}"
        runtime.export(network, path, self.max_opset)
        runtime.verify(path, network, self._images(self.data.validation, network)[:VERIFIED_IMAGES])
        return path

    def _convert(self, compressor: FileCompressor, network: Network, source: Step, name: str, version: str) -> Step:
        target = self.folder.models / f"{name}-{version}.onnx"
        validation = self._images(self.data.validation, network)
        calibration = self._images(self.calibration.train, network)
        threads = self.target.threads if self.target.device == THIS_MACHINE else 1
        evidence = Evidence(calibration, validation, self.data.validation.labels.numpy(), max(1, threads))
        compressor.compress(self.folder.path / (source.onnx or source.model), target, evidence)
        return self._step(version, compressor.step, target, network)

    def _step(self, name: str, precision: str, path: Path, network: Network) -> Step:
        """Figures of one file, run by what reads it; agreement and difference are against the torch network it was made from."""
        own = runtimes.of_files(self.target.runtime)
        runtime = own if own.suffix == path.suffix else runtimes.load("onnxruntime")
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
