import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import hardware_profiles
import latency_models
import search_spaces
from hardware_profiles import table_file
from latency_models import timing
from nas import measurement
from nas.core.errors import MeasurementError
from nas.core.latency import estimate
from nas.core.space import Choice, SearchSpace, Stage
from nas.measurement import Job, Plan, measure, read_journal

ROOT = Path(__file__).parents[1]
TINY = SearchSpace(
    name="tiny",
    resolutions=(8,),
    stem_width=8,
    stem_stride=2,
    stem_activation="relu",
    stages=(
        Stage(
            widths=(16,), depths=(1, 2), stride=1, choices=(Choice("mbconv", 3, 2), Choice("shuffle_unit", 3)), se=False, activation="relu"
        ),
    ),
    head_width=16,
    head_activation="hard_swish",
)
PLAN = Plan(passes=2, network_passes=2, networks=4, held_out=1, effort=timing.Effort(0.5, 0.005, 0.0))


@pytest.fixture
def job(tmp_path):
    (tmp_path / "local.toml").write_text((hardware_profiles.FOLDER / "local.toml").read_text())
    target = hardware_profiles.load("local").targets[0].target
    return Job(target, TINY, 1, 4, PLAN, table_file.path_of(tmp_path / "local.toml", target), 17, "pytest")


@pytest.fixture
def fake(monkeypatch):
    """Export and timing replaced by instant ones; a list of what was timed, which raises after `limit` timings."""
    timed = []
    timed_limit = {"limit": None}

    def stream(paths, threads, effort):
        for path in paths:
            if timed_limit["limit"] is not None and len(timed) >= timed_limit["limit"]:
                raise KeyboardInterrupt
            timed.append(path.name)
            yield timing.Timing(1.0 + len(timed) / 1000, 2.0, 10)

    monkeypatch.setattr(measurement.timing, "stream", stream)
    monkeypatch.setattr(measurement, "export", lambda spec, path, opset: path.write_text("x"))
    timed_limit["timed"] = timed
    return timed_limit


def test_a_real_measurement_prices_the_networks_that_it_is_for(job, tmp_path):
    steps = []
    measure(job, steps.append)
    assert sum(steps) == job.timings and not job.journal.exists()
    profile = hardware_profiles.load(str(tmp_path / "local.toml"))
    found = estimate(latency_models.load(profile), TINY.network(TINY.largest(), 1, 4))
    assert 0 < found.total.low_ms <= found.total.ms <= found.total.high_ms < 1000
    assert found.origin == "measured" and found.coverage == 1.0 and found.target == job.target
    assert profile.targets[0].error.rows == 1 and profile.targets[0].provenance.command == "pytest"
    table = table_file.read(job.table)
    assert set(table.rows) == set(TINY.unique_blocks(1, 4)) and all(row.runs >= 3 for row in table.rows.values())
    assert len(table.head.networks) == 5


def test_an_interrupted_measurement_continues_and_repeats_nothing(job, fake):
    total = job.timings
    fake["limit"] = total // 2
    with pytest.raises(KeyboardInterrupt):
        measure(job, lambda steps: None)
    assert not job.table.exists()
    with job.journal.open("a") as journal:
        journal.write('{"pass": 0, "item": "torn')  # what a power cut leaves
    fake["limit"] = None
    steps = []
    measure(job, steps.append)
    assert steps[0] == total // 2 and sum(steps) == total == len(fake["timed"])
    assert job.table.exists() and not job.journal.exists()


def test_networks_are_timed_more_often_than_blocks(job, fake):
    job = dataclasses.replace(job, plan=dataclasses.replace(PLAN, passes=1, network_passes=3))
    measure(job, lambda steps: None)
    times = sorted(fake["timed"].count(name) for name in set(fake["timed"]))
    assert times == [1] * len(TINY.unique_blocks(1, 4)) + [3] * 5 and sum(times) == job.timings


def test_every_pass_has_its_own_order(job, fake):
    measure(job, lambda steps: None)
    half = len(fake["timed"]) // 2
    first, second = fake["timed"][:half], fake["timed"][half:]
    assert first != second and sorted(first) == sorted(second)


def test_the_journal_of_something_else_is_not_continued(job, fake):
    fake["limit"] = 3
    with pytest.raises(KeyboardInterrupt):
        measure(job, lambda steps: None)
    other = measurement.Job(job.target, TINY, 3, 4, PLAN, job.table, 17, "pytest")
    with pytest.raises(MeasurementError, match=r"unfinished measurement of something else .*; pass --fresh to discard it"):
        read_journal(other)


def test_rows_of_another_space_are_kept(job, fake):
    measure(job, lambda steps: None)
    other = SearchSpace(
        "other",
        (16,),
        *[getattr(TINY, name) for name in ("stem_width", "stem_stride", "stem_activation", "stages", "head_width", "head_activation")],
    )
    second = measurement.Job(job.target, other, 1, 4, PLAN, job.table, 17, "pytest")
    measure(second, lambda steps: None)
    table = table_file.read(job.table)
    assert set(TINY.unique_blocks(1, 4)) | set(other.unique_blocks(1, 4)) == set(table.rows)
    assert {network.space for network in table.head.networks} == {TINY.key, other.key} and len(table.head.networks) == 10


def test_a_space_too_small_to_calibrate_is_refused(job):
    with pytest.raises(MeasurementError, match="tiny has 6 networks, 24 are needed"):
        dataclasses.replace(job, plan=measurement.FULL).items()


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "nas.measure", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_dry_run_says_what_it_would_do_and_does_nothing():
    before = sorted((hardware_profiles.FOLDER / "tables").glob("*"))
    found = command("--dry-run", "--quick", "--fresh")
    blocks, networks = (
        len(search_spaces.load("mobile_shuffle_32").unique_blocks(1, 10)),
        measurement.QUICK.networks + measurement.QUICK.held_out,
    )
    timings = blocks + networks * measurement.QUICK.network_passes
    assert found.returncode == 0 and f"{blocks + networks} blocks and networks of mobile_shuffle_32" in found.stdout
    assert f"{timings} of {timings} timings left" in found.stdout
    assert sorted((hardware_profiles.FOLDER / "tables").glob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "locl"], "no device is named 'locl'; did you mean 'local'?"),
        (["--space", "mobile_shufle"], "did you mean 'mobile_shuffle'?"),
        (["--device", "jetson-nano"], "jetson-nano has no table to measure for fp32 with 1 thread(s) on this machine"),
        (["--precision", "int8"], "local has no table to measure for int8"),
        (["--threads", "64"], "with 64 thread(s)"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(arguments, said):
    found = command(*arguments, "--dry-run")
    assert found.returncode == 2 and said in found.stderr and found.stderr.count("\n") == 1 and found.stdout == ""


def test_help_shows_units_and_examples():
    found = command("--help").stdout
    assert "milliseconds" in found and "Examples" in found and "--device local" in found
