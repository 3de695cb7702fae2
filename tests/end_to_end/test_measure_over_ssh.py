"""A table of a device that is reached over SSH: measured, cut off, continued, and used to price networks."""

import pytest

import hardware_profiles
import latency_models
from hardware_profiles import table_file
from latency_models.hosts import ConnectionLostError
from nas.core.latency import estimate
from nas.measuring.check import check
from nas.measuring.job import Job, measure
from nas.measuring.target import Asked, find
from tests.latency_models.loopback import device
from tests.measuring.fakes import PLAN, TINY

BLOCKS = TINY.unique_blocks(1, 4)


@pytest.fixture
def board(tmp_path):
    with device(tmp_path) as loopback:
        yield loopback


@pytest.mark.slow
def test_a_device_is_measured_over_ssh_although_the_connection_is_cut(board, tmp_path):
    profile = tmp_path / "my-pi.toml"
    host = board.host()
    found = find(Asked(str(profile), "ssh://pi@board", "onnxruntime", "cpu", "fp32", 1), host, may_write=True)
    job = Job(found.target, found.machine, TINY, 1, 4, PLAN, found.table, found.max_onnx_opset, "pytest")
    steps = []

    def at(done, total):
        steps.append(done)
        if done == 8 and len(steps) < 12:
            board.cut()

    with pytest.raises(ConnectionLostError):
        measure(job, host, at)
    before = steps[-1]
    table = measure(job, host, lambda done, total: steps.append(done))
    assert steps[len([step for step in steps if step <= before]) - 1] >= before - 1, "what was found before the cut is not repeated"
    assert set(table.rows) == set(BLOCKS) and len(table.head.networks) == 5
    assert table_file.read(found.table) == table and not job.journal.exists()
    priced = estimate(latency_models.load(hardware_profiles.load(str(profile))), TINY.network(TINY.largest(), 1, 4))
    assert priced.origin == "measured" and 0 < priced.total.low_ms < priced.total.high_ms
    assert len(check(job, host).networks) == 5
    host.close()
    assert not list(board.home.glob("nas-measure-*")), "nothing is left behind on the device"
