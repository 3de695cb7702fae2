"""One file a compressor, in one of two forms: network to network (pruning), and file to file (quantization).

Both have the form of a compiler pass: `requires` says what is missing before, `apply` does the work, and what must hold
after is checked here, so that no compressor can forget it. The file name is the name to ask for.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.core import plugins
from nas.core.errors import NasError
from nas.core.network import NetworkSpec
from nas.runtimes import Array, size_mb, unwritable, write

if TYPE_CHECKING:
    from nas.network import Network


MULTIPLE = 8
"""What channel counts are rounded to unless something else is asked for."""


class CompressionError(NasError):
    """A network or file cannot be compressed as asked; what it was made from is still good."""


@dataclass(frozen=True, slots=True)
class NetworkCompressor:
    """Network to smaller network. `step` names the result ("pruned").

    `requires(network, keep, multiple)` gives the reason why it cannot be applied, "" if it can.
    """

    step: str
    requires: Callable[["Network", float, int], str]
    apply: Callable[["Network", float, int], "Network"]

    def compress(self, network: "Network", keep: float, multiple: int = MULTIPLE) -> "Network":
        """A smaller copy of `network` in evaluation mode; its batch norms still need `recalibrate`.

        Args:
            network: left as it is.
            keep: share of the hidden channels to keep, above 0 and below 1.
            multiple: what channel counts are rounded to (16 for GPUs).

        Raises:
            CompressionError: nothing could be removed, or `keep` is out of range.
        """
        from search_spaces import blocks

        reason = self.requires(network, keep, multiple)
        if reason:
            raise CompressionError(reason)
        smaller = self.apply(network, keep, multiple)
        assert _outline(smaller.spec) == _outline(network.spec), "only hidden channels may change"
        assert blocks.macs(smaller.spec) < blocks.macs(network.spec), "multiply-accumulates must fall"
        return smaller


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a file compressor may look at: never the test images.

    `calibration` are training images (n, c, h, w), `images` and `labels` are validation data; all normalised, float32
    and of the network's size, several hundred each. `time_ms` gives the milliseconds of one image through a file, where the
    files will run; None times them in this process, with `threads` threads.
    """

    calibration: Array
    images: Array
    labels: Any
    threads: int = 1
    time_ms: Callable[[Path], float] | None = None

    def __post_init__(self) -> None:
        shapes = self.calibration.shape, self.images.shape
        if min(len(self.calibration), len(self.images)) < 1 or len(self.labels) != len(self.images) or shapes[0][1:] != shapes[1][1:]:
            raise CompressionError(
                f"compression needs calibration and validation images of one shape and a label for each of the latter, "
                f"got {shapes[0]} and {shapes[1]} with {len(self.labels)} labels"
            )


@dataclass(frozen=True, slots=True)
class Variant:
    """One way in which a file was compressed: validation accuracy (0 to 1) and the time that was measured.

    `latency_ms` is None where timing is not what decides.
    """

    name: str
    accuracy: float
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class Compressed:
    """What a file compressor did: the variant it `chose`, and all that it `tried`, beside the fp32 file's accuracy."""

    chose: Variant
    tried: tuple[Variant, ...]
    fp32_accuracy: float


@dataclass(frozen=True, slots=True)
class FileCompressor:
    """File to smaller file of another precision. `step` names the result ("int8", "fp16").

    `requires(source)` gives the reason why it cannot be applied, "" if it can. `apply(source, folder, evidence)` works
    in an empty temporary folder and gives the file in it that it chose. This file is accepted when it loses at most
    `max_accuracy_loss` (0 to 1) on the validation images and is at most `max_size_ratio` of the source's size. Files of an
    older ONNX opset than `min_opset` cannot be converted.
    """

    step: str
    requires: Callable[[Path], str]
    apply: Callable[[Path, Path, Evidence], tuple[Path, Compressed]]
    max_accuracy_loss: float
    max_size_ratio: float
    min_opset: int = 0

    def compress(self, source: Path, target: Path, evidence: Evidence) -> Compressed:
        """Writes the compressed form of `source`, an fp32 model file, to `target`, whole or not at all.

        Raises:
            CompressionError: it cannot be applied, or loses too much accuracy; `target` is left as it was.
            ExportError: the disk is full, or a file cannot be run.
        """
        reason = self.requires(source)
        if reason:
            raise CompressionError(f"{source.name} cannot be made {self.step}: {reason}")
        try:
            with tempfile.TemporaryDirectory(prefix=f"{self.step}-") as folder:
                file, done = self.apply(source, Path(folder), evidence)
                self._ensure(source, file, done)
                write(target, file.read_bytes())
        except OSError as error:
            raise unwritable(target, error) from error
        return done

    def _ensure(self, source: Path, file: Path, done: Compressed) -> None:
        ratio = size_mb(file) / size_mb(source)
        loss = done.fp32_accuracy - done.chose.accuracy
        if loss > self.max_accuracy_loss + 1e-9 or ratio > self.max_size_ratio:
            raise CompressionError(
                f"{self.step} of {source.name} loses {loss:.1%} of validation accuracy (at most {self.max_accuracy_loss:.1%}) "
                f"and has {ratio:.0%} of its size (at most {self.max_size_ratio:.0%}), as the best of "
                f"{', '.join(variant.name for variant in done.tried)}; ship the fp32 file"
            )


def names() -> tuple[str, ...]:
    """Names of all compressors, sorted."""
    return plugins.names(__name__)


def load(name: str) -> NetworkCompressor | FileCompressor:
    """The compressor of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    compressor: NetworkCompressor | FileCompressor = plugins.load(__name__, name, "compressor")
    return compressor


def by_form(asked: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the names `asked`, in order: those that make networks smaller, and those that convert files.

    Raises:
        UnknownNameError: there is no compressor of a name.
    """
    pruners = tuple(name for name in asked if isinstance(load(name), NetworkCompressor))
    return pruners, tuple(name for name in asked if name not in pruners)


def _outline(spec: NetworkSpec) -> NetworkSpec:
    """`spec` without its hidden channels."""
    return replace(spec, blocks=tuple(replace(block, hidden_channels=1) for block in spec.blocks))
