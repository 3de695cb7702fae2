"""Files of the MNIST family (`train-images-idx3-ubyte` and so on, plain or .gz), such as Debian's dataset-fashion-mnist.

The format: two zero bytes, the type (8 is an unsigned byte), the number of axes, each axis as a big-endian 32-bit
number, then the values. Source: the description on the MNIST page (LeCun, Cortes, Burges).
"""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.core.errors import DataError
from nas.data_sources import DataSource, Labelled, Parts, check_memory

FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_FASHION_TEST_LABELS_SHA256 = "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9"
"""Of the 10,000 test labels: MNIST's files have the same names and sizes, but other labels."""


def read_idx(path: Path, axes: int) -> npt.NDArray[np.uint8]:
    """The array in `path`, which must have that many axes; a name that ends in .gz is unpacked.

    Raises:
        DataError: the file is missing, truncated, or is no idx file of unsigned bytes with that many axes.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path} is truncated or cannot be unpacked ({error}): fetch it again") from error
    if content[:4] != bytes((0, 0, 8, axes)) or len(content) < 4 + 4 * axes:
        raise DataError(f"{path} is not an idx file of bytes with {axes} axes: it begins with {content[:4].hex(' ') or 'nothing'}")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", axes, 4))
    expected, found = int(np.prod(shape)), len(content) - 4 - 4 * axes
    if found != expected:
        raise DataError(f"{path} is truncated or damaged: {expected:,} values announced, {found:,} found; fetch it again")
    return np.frombuffer(content, np.uint8, expected, 4 + 4 * axes).reshape(shape)


def read_part(folder: Path, part: str) -> Labelled:
    """Images and labels of `part` ("train" or "t10k"), the labels as they are in the file.

    Raises:
        DataError: a file is missing or damaged, or the two do not have equally many entries.
    """
    images = read_idx(_find(folder, f"{part}-images", 3), 3)
    labels = read_idx(_find(folder, f"{part}-labels", 1), 1)
    if len(images) != len(labels):
        raise DataError(f"{folder} has {len(images):,} images but {len(labels):,} labels in its {part} files")
    check_memory(len(images), 1, *images.shape[1:])
    return Labelled(images[:, np.newaxis], labels.astype(np.int64))


def _find(folder: Path, stem: str, axes: int) -> Path:
    names = [f"{stem}{dot}idx{axes}-ubyte{suffix}" for suffix in ("", ".gz") for dot in ("-", ".")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"there is no {names[0]} or {names[0]}.gz in {folder}: idx:PATH names the folder that holds the four MNIST-style files")


def _read(argument: str, resolution: int) -> Parts:
    folder = Path(argument).expanduser()
    train, test = read_part(folder, "train"), read_part(folder, "t10k")
    if hashlib.sha256(test.labels.astype(np.uint8).tobytes()).hexdigest() == _FASHION_TEST_LABELS_SHA256:
        return Parts(FASHION_CLASSES, train, None, test)
    values = np.unique(train.labels)
    unknown = np.setdiff1d(test.labels, values)
    if len(unknown):
        raise DataError(f"the test labels in {folder} contain {unknown[0]}, which no training image has")
    train, test = (Labelled(part.images, np.searchsorted(values, part.labels).astype(np.int64)) for part in (train, test))
    return Parts(tuple(map(str, values)), train, None, test)


PLUGIN = DataSource("idx:PATH", _read)
