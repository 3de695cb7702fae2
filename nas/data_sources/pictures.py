"""Picture files of any size and format to arrays of one size. Not a source itself: it defines no `PLUGIN`."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nas.core.errors import DataError
from nas.data_sources import Labelled, Parts, check_memory

_GRAY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures not read yet: a class index for each, and `find`, which gives picture i's name and its file or content."""

    labels: tuple[int, ...]
    find: Callable[[int], tuple[str, Path | BytesIO]]


def read_parts(classes: tuple[str, ...], parts: Mapping[str, Pictures], resolution: int) -> Parts:
    """All pictures as squares of `resolution` pixels; one channel if every one of them is gray, three otherwise.

    Args:
        classes: names, by class index.
        parts: "train" and, where the source brings them, "validation" and "test".
        resolution: the short side is resized to it, then the centre is cut out.

    Raises:
        DataError: a picture cannot be read (the message names it), or all together need too much memory.
    """
    check_memory(sum(len(part.labels) for part in parts.values()), 3, resolution, resolution)
    decoded = {name: _decode_all(part, resolution) for name, part in parts.items()}
    channels = 1 if all(gray for _, gray in decoded.values()) else 3
    labelled = {
        name: Labelled(images[:, :channels], np.asarray(parts[name].labels, dtype=np.int64)) for name, (images, _) in decoded.items()
    }
    return Parts(classes, labelled["train"], labelled.get("validation"), labelled.get("test"))


def _decode_all(pictures: Pictures, resolution: int) -> tuple[npt.NDArray[np.uint8], bool]:
    """Images (n, 3, resolution, resolution), and whether all are gray. Pillow decodes outside the interpreter lock."""
    images = np.empty((len(pictures.labels), 3, resolution, resolution), dtype=np.uint8)

    def decode(index: int) -> bool:
        pixels, gray = square(*pictures.find(index), resolution)
        images[index] = pixels
        return gray

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        grays = list(pool.map(decode, range(len(images))))
    return images, all(grays)


def square(name: str, file: Path | BytesIO, resolution: int) -> tuple[npt.NDArray[np.uint8], bool]:
    """One picture, (3, resolution, resolution), and whether it is gray: its three channels are then equal.

    Raises:
        DataError: it is truncated, of an unknown format, has no size, or its pixels are not of 8 or 16 bits.
    """
    try:
        with Image.open(file) as opened:
            opened.draft(None, (resolution, resolution))
            gray = opened.mode in _GRAY_MODES
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I;16"):
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            elif upright.mode in ("I", "F"):
                raise DataError(f"the picture {name} has pixels of 32 bits, without a range that could be shown: save it with 8 or 16 bits")
            elif "transparency" in upright.info:
                upright = upright.convert("RGBA")
            cut = ImageOps.fit(upright.convert("L" if gray else "RGB"), (resolution, resolution), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"the picture {name} cannot be read ({error}): replace or delete it") from error
    pixels = np.asarray(cut, dtype=np.uint8)
    return (np.broadcast_to(pixels, (3, resolution, resolution)) if gray else pixels.transpose(2, 0, 1)), gray
