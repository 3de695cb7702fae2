"""One run, one folder, one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nas.core.errors import StudyError
from nas.core.result import InputFormat
from nas.run_folder import RunFolder
from nas.settings import RunSettings

ROOT = Path(__file__).parents[1]
SETTINGS = RunSettings(device="jetson-nano", budget_ms=20)
HOLDER = """
import sys, time
from pathlib import Path
from nas.run_folder import RunFolder
from nas.settings import RunSettings
with RunFolder(Path(sys.argv[1])).claim(RunSettings.model_validate_json(sys.argv[2]), fresh=False):
    print("claimed", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "runs" / "one")


@pytest.fixture
def holder(folder):
    """Another process that has the folder."""
    command = [sys.executable, "-c", HOLDER, str(folder.path), SETTINGS.model_dump_json()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "claimed\n"
        yield process
        process.kill()


def begin(folder, settings=SETTINGS, fresh=False):
    with folder.claim(settings, fresh) as claim:
        return claim


def test_a_first_claim_begins_and_a_second_continues(folder):
    assert not begin(folder).continues
    assert RunSettings.read(folder.settings) == SETTINGS
    more = SETTINGS.model_copy(update={"trials": 200})
    assert begin(folder, more).continues
    assert RunSettings.read(folder.settings) == more


def test_a_folder_in_use_is_refused_with_the_process(folder, holder):
    for fresh in (False, True):
        with pytest.raises(StudyError, match=rf"runs/one is in use by process {holder.pid}: wait for it, or give another --out"):
            begin(folder, fresh=fresh)
    assert folder.settings.exists()


def test_a_killed_process_frees_the_folder(folder, holder):
    holder.kill()
    holder.wait()
    assert begin(folder).continues


def test_a_folder_is_free_again_after_an_error(folder):
    with pytest.raises(ZeroDivisionError), folder.claim(SETTINGS, fresh=False):
        raise ZeroDivisionError
    assert begin(folder).continues


def test_two_claims_in_one_process_are_refused_too(folder):
    begin(folder)
    (folder.path / ".lock").write_text("99999999999")  # left by a process that died
    with folder.claim(SETTINGS, fresh=False), pytest.raises(StudyError, match=f"is in use by process {os.getpid()}: "):
        begin(folder)


def test_other_settings_are_refused_and_change_nothing(folder):
    begin(folder)
    with pytest.raises(StudyError, match="seed was 0 and is now 1"):
        begin(folder, SETTINGS.model_copy(update={"seed": 1}))
    assert RunSettings.read(folder.settings) == SETTINGS


def test_fresh_deletes_the_run(folder):
    begin(folder)
    folder.save(folder.pick("abc"), "a pick")
    assert not begin(folder, SETTINGS.model_copy(update={"seed": 1}), fresh=True).continues
    assert not folder.pick("abc").exists() and RunSettings.read(folder.settings).seed == 1


def test_fresh_begins_where_nothing_is(folder):
    assert not begin(folder, fresh=True).continues
    folder.path.parent.joinpath("empty").mkdir()
    assert not begin(RunFolder(folder.path.parent / "empty"), fresh=True).continues


@pytest.mark.parametrize(
    "others",
    [{"thesis.tex": "years of work"}, {"settings.toml": "[editor]\nfont = 'mono'"}, {"settings.toml": "device = ", "a": ""}],
    ids=str,
)
def test_fresh_deletes_nothing_but_runs(folder, others):
    folder.path.mkdir(parents=True)
    for name, text in others.items():
        (folder.path / name).write_text(text)
    for fresh in (False, True, False, True):  # not even after a first attempt has left its traces
        with pytest.raises(StudyError):
            begin(folder, fresh=fresh)
    with pytest.raises(StudyError, match=r"holds files but no run .*: --fresh will not delete it; give another --out"):
        begin(folder, fresh=True)
    assert {name: (folder.path / name).read_text() for name in others} == others


def test_a_run_does_not_settle_among_other_files(folder):
    """Or the next --fresh would delete them with it."""
    folder.path.mkdir(parents=True)
    (folder.path / "thesis.tex").write_text("years of work")
    with pytest.raises(StudyError, match="holds files but no run: a run needs a folder of its own; give another --out"):
        begin(folder)
    assert [path.name for path in folder.path.iterdir()] == ["thesis.tex"]


def test_a_run_of_another_version_can_be_deleted(folder):
    begin(folder)
    folder.settings.write_text(folder.settings.read_text() + "\n[unheard_of]\nx = 1\n")
    with pytest.raises(StudyError, match="unheard_of: Extra inputs"):
        begin(folder)
    assert not begin(folder, fresh=True).continues


def test_a_claim_that_died_before_it_wrote_anything_is_forgotten(folder):
    folder.path.mkdir(parents=True)
    (folder.path / ".lock").write_text("4711")
    assert not begin(folder).continues


def test_values_are_read_as_they_were_saved(folder):
    value = InputFormat(3, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0), ("cat", "µ"))
    folder.save(folder.input_format, value)
    assert folder.load(folder.input_format, InputFormat) == value
    assert json.loads(folder.input_format.read_text())["mean"] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("text", [None, "", '{"channels": 3', '{"channels": "many", "mean": [], "std": [], "classes": []}'])
def test_a_damaged_file_is_refused_by_its_name(folder, text):
    if text is not None:
        folder.path.mkdir(parents=True)
        folder.input_format.write_text(text)
    with pytest.raises(StudyError, match=r"input\.json is missing or damaged .*: delete it and give the run's command again"):
        folder.load(folder.input_format, InputFormat)


def test_wall_time_adds_up_over_sessions_and_interruptions(folder, monkeypatch):
    assert folder.seconds() == {}
    clock = iter([0.0, 1.5, 10.0, 12.0, 20.0, 20.25])
    monkeypatch.setattr("nas.run_folder.time.perf_counter", lambda: next(clock))
    with folder.timed("search"):
        pass
    with pytest.raises(KeyboardInterrupt), RunFolder(folder.path).timed("search"):
        raise KeyboardInterrupt
    with folder.timed("picks"):
        pass
    assert folder.seconds() == {"search": 3.5, "picks": 0.25}
