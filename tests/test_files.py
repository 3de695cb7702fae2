"""Whole or not there."""

import errno
import os
import stat
from pathlib import Path

import pytest

from nas.files import atomic_write


def test_text_and_bytes_are_written_with_the_folders_they_need(tmp_path):
    atomic_write(tmp_path / "a" / "b.txt", "µ\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"\xc2\xb5\n"
    atomic_write(tmp_path / "a" / "b.txt", b"\x00")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"\x00"
    assert stat.S_IMODE((tmp_path / "a" / "b.txt").stat().st_mode) == 0o644
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, error):
    path = tmp_path / "file"
    atomic_write(path, "old")

    def interrupted(*_):
        raise error

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(type(error)):
        atomic_write(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path, seen = tmp_path / "file", []
    atomic_write(path, "old")
    really = os.replace

    def replace(source, target):
        seen.append((path.read_text(), Path(source).read_text()))
        really(source, target)

    monkeypatch.setattr(os, "replace", lambda source, target: replace(source, target))
    atomic_write(path, "new")
    assert path.read_text() == "new" and seen == [("old", "new")]
