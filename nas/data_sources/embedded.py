"""The data set inside the package: 500 training and 100 test images of each class of Fashion-MNIST.

Made by `experiments/make_embedded_data.py`; licence and origin in `nas/embedded/NOTICE`.
"""

import hashlib
import io
from pathlib import Path

import numpy as np

from nas.core.errors import DataError
from nas.data_sources import DataSource, Labelled, Parts
from nas.data_sources.idx import FASHION_CLASSES

FILE = Path(__file__).parents[1] / "embedded" / "fashion_mnist_5000.npz"
SHA256 = "a97961033a6f8fdbd83ff9626b295dc0364a467f5a42a11a339c108c417f7d09"


def read_file(path: Path) -> Parts:
    """The images in `path`, after its digest was compared.

    Raises:
        DataError: the file is missing, truncated or altered.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"the embedded data {path} cannot be read ({error.strerror}): install the package again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DataError(
            f"the embedded data {path} is damaged ({len(content):,} bytes, SHA-256 {found}, expected {SHA256}): install the package again"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        train, test = (
            Labelled(arrays[f"{part}_images"][:, np.newaxis], arrays[f"{part}_labels"].astype(np.int64)) for part in ("train", "test")
        )
    return Parts(FASHION_CLASSES, train, None, test)


def _read(argument: str, resolution: int) -> Parts:
    if argument:
        raise DataError(f"the embedded data takes no argument, found {argument!r}: write --data embedded")
    return read_file(FILE)


PLUGIN = DataSource("embedded", _read)
