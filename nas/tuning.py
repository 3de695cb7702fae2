"""The trained part of finishing a pick: cut out of the supernet, fine-tuned, and once more after pruning.

It is what takes the time, so picks are tuned side by side in processes, and each is kept as soon as it is done.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nas import augmentation, compressors, workers
from nas.accuracy.supernet import calibration_batch, calibration_data
from nas.compressors import CompressionError, NetworkCompressor
from nas.core.architecture import Architecture
from nas.core.errors import CheckpointError, ExecutorError
from nas.core.network import NetworkSpec
from nas.data import ImageData
from nas.files import atomic_write
from nas.joint_space import JointSpace
from nas.network import Network, channels_last, recalibrate
from nas.settings import RunSettings, TrainingSettings
from nas.supernet import Supernet
from nas.training import Schedule, corrected, fine_tune, predictions

PRUNED_SHARE = 0.25
"""Training of a pruned network, as a share of what its parent had."""

_SPECS = TypeAdapter(dict[str, NetworkSpec])
_tell: Callable[[int], None]
"""Where this worker process says that a step is done; set once when it starts."""


@dataclass(frozen=True)
class Tuner:
    """A function from an architecture and a path to its tuned networks, kept at that path. Goes to any process.

    `data` has the training images and `calibration` the few of them for batch-norm statistics; neither has test images.
    `soft_labels` (n, classes) are the teacher's, see `nas.training.fine_tune`.
    `keep_hidden` is the share of hidden channels that `pruners` (names of network compressors) keep. Architectures of a `joint`
    space that are to be pruned say themselves how much they keep.
    """

    supernet: Supernet
    data: ImageData
    calibration: ImageData
    soft_labels: Tensor
    tuning: TrainingSettings
    pruners: tuple[str, ...]
    keep_hidden: float
    seed: int
    joint: JointSpace | None = None

    @classmethod
    def of(
        cls, supernet: Supernet, data: ImageData, settings: RunSettings, pruners: tuple[str, ...], joint: JointSpace | None = None
    ) -> "Tuner":
        """The tuner of a run; asks the largest network of the space for its soft labels."""
        calibration = calibration_data(data, settings.calibration_images)
        largest = supernet.extract(supernet.space.network(supernet.space.largest(), supernet.in_channels, supernet.classes))
        recalibrate(largest, calibration_batch(calibration, largest.spec.resolution))
        soft_labels = corrected(predictions(largest, data, data.train), data.train.labels)
        tuning, keep = settings.fine_tuning, settings.keep_hidden
        return cls(supernet, data.without_test(), calibration, soft_labels, tuning, pruners, keep, settings.seed, joint)

    @property
    def steps(self) -> int:
        """Optimiser steps that one pick takes."""
        images = len(self.data.train)
        return self._schedule(1.0).steps(images) + len(self.pruners) * self._schedule(PRUNED_SHARE).steps(images)

    def __call__(self, architecture: Architecture, path: Path, on_step: Callable[[], None]) -> None:
        """Tunes the pick and writes its versions, "fp32" and one for each pruner, to `path`."""
        plain, keep = architecture, self.keep_hidden
        if self.joint:
            plain, asked = self.joint.plain(architecture), self.joint.keep(architecture)
            keep = asked if asked < 1.0 else keep
        network = self.supernet.extract(self.supernet.space.network(plain, self.supernet.in_channels, self.supernet.classes))
        self._train(network, 1.0, on_step)
        versions, notes = {"fp32": network}, []
        for name in self.pruners:
            pruner = compressors.load(name)
            assert isinstance(pruner, NetworkCompressor), name
            try:
                smaller = pruner.compress(network, keep)
            except CompressionError as error:
                notes.append(str(error))
                continue
            self._train(smaller, PRUNED_SHARE, on_step)
            versions[pruner.step] = smaller
        write(path, versions, notes)

    def _schedule(self, share: float) -> Schedule:
        told = self.tuning
        augment = augmentation.deserved(told.augment, self.data.train.images, told.epochs)
        rates = told.learning_rate, told.weight_decay
        return Schedule(share * told.epochs, told.batch_size, *rates, max_shift=told.max_shift, augment=augment)

    def _train(self, network: Network, share: float, on_step: Callable[[], None]) -> None:
        for _ in fine_tune(network, self.data, self._schedule(share), self.soft_labels, self.seed):
            on_step()
        recalibrate(network, calibration_batch(self.calibration, network.spec.resolution))


def tune_all(tuner: Tuner, work: Mapping[Architecture, Path], told: Callable[[int], None]) -> None:
    """Tunes every architecture of `work` into its path, as many at a time as there are cores.

    `told` gets the number of optimiser steps that are done, of all together.

    Raises:
        ExecutorError: a process died; what was tuned is kept.
    """
    processes = min(len(work), os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    steps = context.SimpleQueue()
    threads = max(1, (os.cpu_count() or 1) // max(1, processes))
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start, initargs=(steps, threads))
    finished = 0
    try:
        pending = {pool.submit(_tune, tuner, architecture, path) for architecture, path in work.items()}
        while pending:
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            while not steps.empty():
                finished += steps.get()
            told(finished)
            _raise_failures(done)
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start(steps: Any, threads: int) -> None:
    global _tell
    workers.prepare(threads)
    _tell = steps.put


def _tune(tuner: Tuner, architecture: Architecture, path: Path) -> None:
    tuner(architecture, path, lambda: _tell(1))


def _raise_failures(done: set[Future[None]]) -> None:
    try:
        for future in done:
            future.result()
    except BrokenProcessPool:
        raise ExecutorError(
            "a process that tuned a pick died (out of memory?): what was tuned is kept, the same command continues"
        ) from None


def write(path: Path, versions: Mapping[str, Network], notes: Sequence[str]) -> None:
    """Writes networks by name, and remarks, to one safetensors file, whole or not at all."""
    tensors = {f"{name}/{key}": value.contiguous() for name, network in versions.items() for key, value in network.state_dict().items()}
    specs = _SPECS.dump_json({name: network.spec for name, network in versions.items()}).decode()
    atomic_write(path, save(tensors, metadata={"specs": specs, "notes": json.dumps(list(notes))}))


def read(path: Path) -> tuple[dict[str, Network], list[str]]:
    """The networks, in evaluation mode, and remarks that `write` wrote.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): delete it and give the run's command again") from None
    networks = {}
    for name, spec in _SPECS.validate_json(metadata["specs"]).items():
        with torch.device("meta"):
            network = Network(spec)
        network = channels_last(network.to_empty(device="cpu"))
        network.load_state_dict({key.partition("/")[2]: value for key, value in tensors.items() if key.startswith(f"{name}/")})
        networks[name] = network.eval()
    return networks, list(json.loads(metadata["notes"]))
