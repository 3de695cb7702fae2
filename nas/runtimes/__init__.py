"""One file a runtime: how a network becomes its file, and how that file runs. The file name is the name to ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.core import plugins
from nas.core.errors import ExportError

if TYPE_CHECKING:
    from nas.network import Network

Array = np.ndarray[Any, np.dtype[np.float32]]

FILES = {"litert": "litert", "tflite": "litert"}
"""Runtimes of devices whose files are not ONNX, and the runtime here that writes and runs them."""

FP32_TOLERANCE = 1e-4
"""Largest difference in a logit, relative to the largest logit (1 at least), that an fp32 file may show against torch."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a file compares with the network that it was made from, on the same images.

    `max_difference` is the largest absolute difference in a logit, `agreement` the share of images (0 to 1) that both
    put into the same class, `largest_logit` the largest absolute logit of the network.
    """

    max_difference: float
    agreement: float
    largest_logit: float


def agreement(found: Array, network: "Network", images: Array, batch_size: int = 250) -> Agreement:
    """How the logits `found` (n, classes) of a file compare with `network`, in evaluation mode, on the same `images` (n, c, h, w)."""
    import torch

    with torch.inference_mode():
        batches = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).split(batch_size)
        wanted = np.concatenate([network(batch).numpy() for batch in batches])
    same = float((found.argmax(axis=1) == wanted.argmax(axis=1)).mean())
    return Agreement(float(np.abs(found - wanted).max()), same, float(np.abs(wanted).max()))


def _nothing() -> None:
    """What a runtime requires that is always there."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime: `export(network, path, max_opset)` writes a file, `run(path, images, threads, batch_size)` executes it.

    `export` takes a network in evaluation mode and writes the whole file or nothing (`ExportError`). `run` takes
    float32 images (n, c, h, w) and gives float32 logits (n, classes), whatever the precision inside the file. `require()` raises
    `ExportError` where a package is missing that either of them needs.
    """

    suffix: str
    export: Callable[["Network", Path, int], None]
    run: Callable[[Path, Array, int, int], Array]
    require: Callable[[], None] = _nothing

    def logits(self, path: Path, images: Array, threads: int = 1, batch_size: int = 250) -> Array:
        """Logits (n, classes) of the file on `images` (n, c, h, w), float32, normalised and of the network's size.

        Raises:
            ExportError: the runtime cannot load or run the file.
        """
        return self.run(path, np.ascontiguousarray(images, dtype=np.float32), threads, batch_size)

    def accuracy(self, path: Path, images: Array, labels: Any, threads: int = 1, batch_size: int = 250) -> float:
        """Share (0 to 1) of `images` (n, c, h, w) that the file puts into the class that `labels` (n,) says."""
        found = self.logits(path, images, threads, batch_size).argmax(axis=1)
        return float((found == np.asarray(labels)).mean())

    def compare(self, path: Path, network: "Network", images: Array, threads: int = 1, batch_size: int = 250) -> Agreement:
        """Agreement of the file with `network`, which must be in evaluation mode, on `images` (n, c, h, w)."""
        return agreement(self.logits(path, images, threads, batch_size), network, images, batch_size)

    def verify(self, path: Path, network: "Network", images: Array, threads: int = 1, batch_size: int = 250) -> Agreement:
        """As `compare`, for an fp32 file, which must compute what the network computes.

        Raises:
            ExportError: a logit differs by more than `FP32_TOLERANCE` of the largest logit, or is not a number.
        """
        found = self.compare(path, network, images, threads, batch_size)
        allowed = FP32_TOLERANCE * max(1.0, found.largest_logit)
        if not found.max_difference <= allowed:
            raise ExportError(
                f"{path.name} disagrees with the network it was exported from: a logit differs by {found.max_difference:.2g} "
                f"(allowed {allowed:.2g}), classes agree on {found.agreement:.1%}; do not ship it, export again"
            )
        return found


def names() -> tuple[str, ...]:
    """Names of all runtimes, sorted."""
    return plugins.names(__name__)


def load(name: str) -> Runtime:
    """The runtime of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    runtime: Runtime = plugins.load(__name__, name, "runtime")
    return runtime


def of_files(target_runtime: str) -> Runtime:
    """The runtime here that writes and runs the files which a device's runtime reads: ONNX Runtime unless it is in `FILES`."""
    return load(FILES.get(target_runtime, "onnxruntime"))


def size_mb(path: Path) -> float:
    """Size of a file in MB (10^6 bytes)."""
    return path.stat().st_size / 1e6


def write(path: Path, content: bytes) -> None:
    """Writes a model file, whole or not at all.

    Raises:
        ExportError: the disk is full or the folder cannot be written; an older file is untouched.
    """
    from nas.files import atomic_write

    try:
        atomic_write(path, content)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> ExportError:
    """The error to raise when `path` could not be written."""
    return ExportError(f"{path} could not be written: {error.strerror or error}; nothing was left half-written, free space and run again")
