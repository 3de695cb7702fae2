import dataclasses

import pytest

from hardware_profiles import table_file
from nas.core.device import RuntimeTarget
from nas.core.errors import DeviceError
from nas.measuring import job as measuring
from nas.measuring.check import check
from nas.measuring.job import Job, measure
from tests.measuring.fakes import PLAN, TINY, FakeHost

TARGET = RuntimeTarget("board", "onnxruntime", "1.17.0", "fp32", 1)


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring.model_files, "write", lambda spec, path, target, opset: path.write_text("x"))
    return Job(TARGET, "A board", TINY, 1, 4, PLAN, table_file.path_of(tmp_path / "board.toml", TARGET), 17, "pytest")


@pytest.mark.parametrize(("factor", "percent"), [(1.0, 0.0), (1.2, 20.0), (0.9, -10.0)])
def test_a_new_runtime_shows_in_the_networks(job, factor, percent):
    measure(job, FakeHost(ms=lambda path, count: 2.0), lambda done, total: None)
    newer = dataclasses.replace(job, target=dataclasses.replace(TARGET, runtime_version="1.18.0"))
    found = check(newer, FakeHost(ms=lambda path, count: 2.0 * factor))
    assert found.drift_percent == pytest.approx(percent) and "1.17.0" in found.table_target
    assert [was for _, was, _ in found.networks] == [2.0] * 5


def test_there_must_be_something_to_check(job):
    with pytest.raises(DeviceError, match=r"there is no table .* to check; measure first"):
        check(job, FakeHost())
    measure(job, FakeHost(), lambda done, total: None)
    with pytest.raises(DeviceError, match=r"holds no networks of other@.*; it was measured for: tiny@"):
        check(dataclasses.replace(job, space=dataclasses.replace(TINY, name="other")), FakeHost())
