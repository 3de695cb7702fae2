"""Measured data that is not part of the project: tests that need it are skipped, with the reason, where it is absent."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def path(name: str) -> Path:
    """The file `name`, such as "latency/xyz.csv", in the folder `NAS_SHARED_DATA` or beside the project; skips without it."""
    folder = Path(os.environ.get("NAS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / name).is_file():
        pytest.skip(f"needs the measured data {name}, which is not in {folder} (set NAS_SHARED_DATA to the folder that has it)")
    return folder / name
