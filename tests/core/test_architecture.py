import os
import subprocess
import sys
from pathlib import Path

import pytest

from nas.core.architecture import Architecture

ROOT = Path(__file__).parents[2]


def test_the_id_is_the_same_in_every_version_and_process():
    """Run folders, model files and reports are named by it."""
    assert Architecture("tiny@01234567", (0, 1, 2, 10)).id == "74a3e9c39023"
    code = "from nas.core.architecture import Architecture; print(Architecture('tiny@01234567', (0, 1, 2, 10)).id)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == "74a3e9c39023"


@pytest.mark.parametrize("other", [("tiny@01234567", (0, 1, 21, 0)), ("tiny@01234567", (0, 12, 10)), ("tiny@76543210", (0, 1, 2, 10))])
def test_other_genes_or_another_space_have_another_id(other):
    assert Architecture(*other).id != Architecture("tiny@01234567", (0, 1, 2, 10)).id


def test_equal_architectures_are_equal_keys():
    assert len({Architecture("s@1", (0, 1)), Architecture("s@1", (0, 1)), Architecture("s@2", (0, 1))}) == 2
