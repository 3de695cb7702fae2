import runpy
import zlib
from pathlib import Path

import numpy as np
import pytest

from nas.core.errors import DataError
from nas.data_sources import embedded

ROOT = Path(__file__).parents[2]
ORIGINAL = Path("/usr/share/datasets/fashion-mnist")


def test_the_file_is_what_its_digest_says_and_holds_600_images_of_each_class():
    parts = embedded.read_file(embedded.FILE)
    assert parts.train.images.shape == (5000, 1, 28, 28) and parts.test.images.shape == (1000, 1, 28, 28)
    assert np.bincount(parts.train.labels).tolist() == [500] * 10 and np.bincount(parts.test.labels).tolist() == [100] * 10
    assert parts.validation is None and len(parts.classes) == 10


def test_a_truncated_file_is_one_clear_sentence_with_both_digests(tmp_path):
    damaged = tmp_path / "cut.npz"
    damaged.write_bytes(embedded.FILE.read_bytes()[:1_000_000])
    with pytest.raises(DataError) as caught:
        embedded.read_file(damaged)
    message = str(caught.value)
    assert "is damaged (1,000,000 bytes" in message and embedded.SHA256 in message and "install the package again" in message
    assert "\n" not in message


def test_a_changed_byte_is_found(tmp_path):
    content = bytearray(embedded.FILE.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "changed.npz").write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        embedded.read_file(tmp_path / "changed.npz")


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read .*install the package again"):
        embedded.read_file(tmp_path / "none.npz")


@pytest.mark.skipif(not ORIGINAL.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
@pytest.mark.skipif("zlib-ng" in zlib.ZLIB_RUNTIME_VERSION.lower(), reason="zlib-ng packs the same arrays into other bytes")
def test_the_script_makes_the_same_file_bit_for_bit(tmp_path, monkeypatch):
    script = runpy.run_path(str(ROOT / "experiments" / "make_embedded_data.py"))
    script["main"](str(ORIGINAL), str(tmp_path / "again.npz"))
    assert (tmp_path / "again.npz").read_bytes() == embedded.FILE.read_bytes()
