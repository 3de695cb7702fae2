import gzip
from pathlib import Path

import numpy as np
import pytest

from nas import data
from nas.core.errors import DataError
from nas.data_sources import idx

ORIGINAL = Path("/usr/share/datasets/fashion-mnist")


def encode(array):
    header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write(folder, name, content, packed):
    (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


def dataset(folder, packed=False, train=range(40), test=range(20), values=(3, 7)):
    images = np.arange(40 * 36, dtype=np.int64).reshape(40, 6, 6) % 251
    for part, chosen in (("train", train), ("t10k", test)):
        write(folder, f"{part}-images-idx3-ubyte", encode(images[: len(chosen)]), packed)
        write(folder, f"{part}-labels-idx1-ubyte", encode(np.array([values[i % len(values)] for i in chosen])), packed)
    return images


@pytest.mark.parametrize("packed", [False, True])
def test_images_and_labels_come_back(tmp_path, packed):
    images = dataset(tmp_path, packed)
    parts = idx.PLUGIN.read(str(tmp_path), 32)
    assert np.array_equal(parts.train.images[:, 0], images) and parts.train.images.dtype == np.uint8
    assert parts.classes == ("3", "7") and parts.train.labels.tolist() == [0, 1] * 20 and len(parts.test.labels) == 20
    assert parts.validation is None


def test_the_dotted_names_are_found_too(tmp_path):
    dataset(tmp_path)
    for file in list(tmp_path.iterdir()):
        file.rename(tmp_path / file.name.replace("-idx", ".idx"))
    assert len(idx.PLUGIN.read(str(tmp_path), 32).train.labels) == 40


def test_loading_goes_through_the_same_door(tmp_path):
    dataset(tmp_path)
    loaded = data.load(f"idx:{tmp_path}", 32)
    assert [len(part) for part in (loaded.train, loaded.validation, loaded.test)] == [32, 8, 20]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("keep", [0, 3, 10, 300])
def test_a_truncated_file_is_named(tmp_path, packed, keep):
    dataset(tmp_path, packed)
    file = tmp_path / ("train-images-idx3-ubyte" + ".gz" * packed)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.*(truncated|not an idx file)"):
        idx.PLUGIN.read(str(tmp_path), 32)


def test_other_content_is_no_idx_file(tmp_path):
    dataset(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\x89PNG and so on")
    with pytest.raises(DataError, match="not an idx file of bytes with 3 axes: it begins with 89 50 4e 47"):
        idx.PLUGIN.read(str(tmp_path), 32)


def test_images_and_labels_must_be_equally_many(tmp_path):
    dataset(tmp_path)
    write(tmp_path, "train-labels-idx1-ubyte", encode(np.zeros(39)), packed=False)
    with pytest.raises(DataError, match="40 images but 39 labels in its train files"):
        idx.PLUGIN.read(str(tmp_path), 32)


def test_a_test_label_that_was_never_trained_on_is_named(tmp_path):
    dataset(tmp_path)
    write(tmp_path, "t10k-labels-idx1-ubyte", encode(np.array([3, 9] * 10)), packed=False)
    with pytest.raises(DataError, match="contain 9, which no training image has"):
        idx.PLUGIN.read(str(tmp_path), 32)


def test_a_folder_without_the_files_says_what_is_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"no train-images-idx3-ubyte or train-images-idx3-ubyte.gz in .*idx:PATH names the folder"):
        idx.PLUGIN.read(str(tmp_path), 32)


@pytest.mark.skipif(not ORIGINAL.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_recognised_by_its_content():
    parts = idx.PLUGIN.read(str(ORIGINAL), 32)
    assert parts.classes == idx.FASHION_CLASSES and len(parts.train.labels) == 60_000 and len(parts.test.labels) == 10_000
