import dataclasses

import pytest

import hardware_profiles
import latency_models
from hardware_profiles import table_file, writing
from nas.core.device import RuntimeTarget
from nas.core.errors import DeviceError, StaleTableError, TargetMismatchError
from nas.measuring import job as measuring
from nas.measuring.check import check, record
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
    before = job.table.read_text()
    found = check(newer, FakeHost(ms=lambda path, count: 2.0 * factor))
    assert found.verdict.change_percent == pytest.approx(percent) and found.table.head.target == TARGET
    assert [was for _, was, _ in found.networks] == [2.0] * 5 and job.table.read_text() == before


def test_there_must_be_something_to_check(job):
    with pytest.raises(DeviceError, match=r"there is no table .* to check; measure first"):
        check(job, FakeHost())
    measure(job, FakeHost(), lambda done, total: None)
    with pytest.raises(DeviceError, match=r"holds no networks of other@.*; it was measured for: tiny@"):
        check(dataclasses.replace(job, space=dataclasses.replace(TINY, name="other")), FakeHost())


def looked_at(job, version, factor):
    """The job after an upgrade to `version`, with which networks take `factor` times as long, and a check that was noted."""
    newer = dataclasses.replace(job, target=dataclasses.replace(TARGET, runtime_version=version))
    record(newer, check(newer, FakeHost(ms=lambda path, count: 2.0 * factor)))
    return newer


@pytest.fixture
def profile(job):
    """The profile of the board beside a table that was measured with 1.17.0; a function that reads it with another version stated."""
    measure(job, FakeHost(ms=lambda path, count: 2.0), lambda done, total: None)
    path = job.table.parents[1] / "board.toml"
    writing.create(path, "A board", 17, "measure the board")
    writing.add_target(path, TARGET, "measure it")

    def at(version):
        writing.set_version(path, 0, version)
        return hardware_profiles.load(str(path))

    return at


def test_a_table_that_holds_is_used_with_the_new_runtime_and_shown_as_checked(job, profile):
    with pytest.raises(
        TargetMismatchError, match=r"1\.17\.0.*, not .*1\.18\.0.*; run: measure it --check, which .*, or measure it --fresh"
    ):
        latency_models.load(profile("1.18.0"))
    newer = looked_at(job, "1.18.0", 1.02)
    assert latency_models.load(profile("1.18.0")).target == newer.target
    (each,) = profile("1.18.0").targets
    assert (
        each.error is not None
        and each.checked.startswith("measured with 1.17.0, checked 2")
        and each.checked.endswith("+2.0 %, so it holds")
    )
    assert not newer.wanted().keys(PLAN), "timings may be added to it"
    again = looked_at(newer, "1.19.0", 1.0)
    assert (
        table_file.read(job.table).head.checked.measured_with == "1.17.0" and latency_models.load(profile("1.19.0")).target == again.target
    )
    more = dataclasses.replace(again, plan=dataclasses.replace(PLAN, passes=3, at_least=3))
    assert measure(more, FakeHost(), lambda done, total: None).head.checked.runtime_version == "1.19.0"


@pytest.mark.parametrize("version", ["1.18.0", "1.17.0"])  # a new runtime; new firmware
def test_a_table_that_holds_no_longer_is_refused_with_the_command_until_it_is_measured_anew(job, profile, version):
    newer = looked_at(job, version, 1.3)
    with pytest.raises(StaleTableError, match=r"is stale \(.*networks take \+30\.0 %, so it holds no longer\); run: measure it --fresh"):
        latency_models.load(profile(version))
    assert "holds no longer" in profile(version).targets[0].checked
    with pytest.raises(StaleTableError, match=r"is stale .*: run the same command with --fresh"):
        newer.wanted()
    if version != "1.17.0":
        assert latency_models.load(profile("1.17.0")).target == TARGET, "with the old runtime it is what it was"
    looked_at(newer, version, 1.0)
    assert latency_models.load(profile(version)).target == newer.target, "a later look counts"
    looked_at(newer, version, 1.3)
    measure(dataclasses.replace(newer, fresh=True), FakeHost(), lambda done, total: None)
    assert latency_models.load(profile(version)).target == newer.target and profile(version).targets[0].checked == ""


def test_another_machine_or_other_images_are_no_check(job, profile):
    with pytest.raises(
        TargetMismatchError, match=r"on A board, not .* on Another board: a check tells of new versions on the same machine"
    ):
        check(dataclasses.replace(job, machine="Another board"), FakeHost())
    with pytest.raises(DeviceError, match=r"holds no networks of tiny@.* on such images"):
        check(dataclasses.replace(job, classes=9), FakeHost())


def test_nothing_is_added_to_a_table_of_another_version_that_nobody_checked(job, profile):
    newer = dataclasses.replace(job, target=dataclasses.replace(TARGET, runtime_version="1.18.0"))
    with pytest.raises(TargetMismatchError, match=r"nothing is added to it; run the same command with --fresh; after an upgrade --check"):
        newer.wanted()
    assert dataclasses.replace(newer, fresh=True).wanted().old is None
