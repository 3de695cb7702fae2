"""One file a source of labelled images. The file name is what stands before the colon of `--data NAME[:ARGUMENT]`.

A source only reads: which images are trained on, validated on and tested on is decided in `nas/data.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.core import plugins
from nas.core.errors import DataError, UnknownNameError

MAX_GB = 8.0
"""Images are kept in memory as bytes; a data set that needs more than this is refused before it is read."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Images, uint8 (n, channels, height, width), and the class index of each, int64 (n,)."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A data set as it came: `validation` and `test` are None where the source does not bring them."""

    classes: tuple[str, ...]
    train: Labelled
    validation: Labelled | None
    test: Labelled | None

    @property
    def channels(self) -> int:
        """Channels of the images: 1 (gray) or 3 (RGB)."""
        return int(self.train.images.shape[1])


@dataclass(frozen=True, slots=True)
class DataSource:
    """A place that images come from.

    `form` is how to ask for it, such as "folder:PATH". `read` gets what stands after the colon and the size in
    pixels that photographs are cut to; images that already have one common size keep it.
    """

    form: str
    read: Callable[[str, int], Parts]


def names() -> tuple[str, ...]:
    """Names of all sources, sorted."""
    return plugins.names(__name__)


def load(name: str) -> DataSource:
    """The source of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    source: DataSource = plugins.load(__name__, name, "data source")
    return source


def read(source: str, resolution: int) -> Parts:
    """The data set that `source` ("embedded", "folder:PATH", ...) names, as it came; see `nas.data.load`.

    Raises:
        DataError: there is no such source, or it is empty, damaged or too large.
    """
    name, _, argument = source.partition(":")
    try:
        plugin = load(name)
    except UnknownNameError as error:
        folder = f" For the folder of pictures {source}, write folder:{source}." if Path(source).is_dir() else ""
        raise DataError(f"{error} Data is one of {_forms()}.{folder}") from None
    if not argument and ":" in plugin.form:
        raise DataError(f"--data {source} does not say which: write it as {plugin.form} (data is one of {_forms()})")
    try:
        return plugin.read(argument, resolution)
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error})") from error


def _forms() -> str:
    return ", ".join(load(name).form for name in names())


def check_memory(count: int, channels: int, height: int, width: int) -> None:
    """Nothing, if `count` images fit into `MAX_GB`.

    Raises:
        DataError: they do not; the message has the figure.
    """
    size_gb = count * channels * height * width / 1e9
    if size_gb > MAX_GB:
        raise DataError(
            f"{count:,} images of {height} x {width} px need {size_gb:.1f} GB of memory, the limit is {MAX_GB:g} GB: "
            "take a space of smaller images, or a part of the data set"
        )
