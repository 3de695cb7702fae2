"""Training in two processes: the losses, gradients and weights of one process with the same whole batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nas import distributed
from nas.core.errors import ExecutorError
from nas.distributed import ALONE, Team
from tests.distributed_training import trained

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each of two processes came to, by precision and rank."""
    out = tmp_path_factory.mktemp("together")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "tests.distributed_training",
        str(out),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-4), (torch.float64, 1e-10)], ids=str)
def test_two_processes_come_to_the_losses_and_weights_of_one(together, dtype, close):
    """Double precision shows that what single precision leaves between them is rounding."""
    losses, weights = trained(ALONE, dtype)
    assert len(losses) == 6
    for rank in (0, 1):
        found, parameters = together[f"{dtype}.{rank}"]
        assert [one[:2] for one in found] == [pytest.approx(one[:2], abs=close) for one in losses]
        assert torch.tensor(parameters, dtype=dtype) == pytest.approx(weights, abs=10 * close)
    assert together[f"{dtype}.0"] == together[f"{dtype}.1"]


def test_a_batch_is_divided_in_order_and_only_into_equal_parts():
    assert [Team(rank, 3).share(12) for rank in range(3)] == [slice(0, 4), slice(4, 8), slice(8, 12)]
    assert ALONE.share(7) == slice(0, 7)
    with pytest.raises(ExecutorError, match="a batch of 32 images cannot be divided among 3 processes: give a multiple as --batch-size"):
        Team(0, 3).share(32)


def test_alone_nothing_is_sent():
    values = torch.tensor([1.0, 2.0])
    assert ALONE.leads and ALONE.mean(values) is values and ALONE.agree(True) and not ALONE.agree(False)
    assert ALONE.in_turn(lambda: 5) == 5


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert distributed.join() is ALONE


def test_half_of_torchruns_variables_are_an_error(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ExecutorError, match=r"WORLD_SIZE is set, but the processes found no way to each other .*torchrun"):
        distributed.join()
