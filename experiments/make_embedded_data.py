"""Makes `nas/embedded/fashion_mnist_5000.npz` from the full Fashion-MNIST, bit for bit the same each time.

    python experiments/make_embedded_data.py /usr/share/datasets/fashion-mnist nas/embedded/fashion_mnist_5000.npz

The first 500 training and 100 test images of each class, in the order of the files. The digest that it prints is the
one in `nas/data_sources/embedded.py`. (Another zlib, such as zlib-ng, packs the same arrays into other bytes.)
"""

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data_sources import Labelled
from nas.data_sources.idx import read_part
from nas.files import atomic_write

PER_CLASS = {"train": 500, "test": 100}


def first_of_each_class(part: Labelled, count: int) -> Labelled:
    """The first `count` images of each class, all in the order in which they stand in `part`."""
    chosen = np.sort(np.concatenate([np.flatnonzero(part.labels == label)[:count] for label in np.unique(part.labels)]))
    return Labelled(part.images[chosen], part.labels[chosen])


def pack(arrays: dict[str, npt.NDArray[np.uint8]]) -> bytes:
    """An .npz of the arrays without anything in it that changes from run to run, such as the time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(entry, content.getvalue(), compresslevel=9)
    return packed.getvalue()


def embedded(folder: Path) -> bytes:
    """The file's content, cut from the idx files in `folder`."""
    arrays = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        cut = first_of_each_class(read_part(folder, prefix), PER_CLASS[part])
        arrays[f"{part}_images"] = cut.images[:, 0]
        arrays[f"{part}_labels"] = cut.labels.astype(np.uint8)
    return pack(arrays)


def main(folder: str, out: str) -> None:
    """Writes the file `out` and says its size and digest."""
    content = embedded(Path(folder))
    atomic_write(Path(out), content)
    sys.stdout.write(f"{out}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
