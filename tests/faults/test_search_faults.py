"""A real process that searches, killed or interrupted in the middle: the same again ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas import executors
from nas.study import load, records
from tests.executors.fakes import alive, counted, eventually, notes, run, search, shape

ROOT = Path(__file__).parents[2]
TRIALS = 12
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name.startswith("ray") else name for name in executors.names()]


def start(folder, executor, workers=1, seconds=0.05):
    command = [sys.executable, "-m", "tests.executors.fakes", str(folder), executor, str(workers), str(TRIALS), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "stderr").open("ab") as errors:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors)


def told(folder):
    return records(load(folder)) if (folder / "study.journal").exists() and (folder / "log").exists() else []


def workers_of(folder):
    return {int(pid) for what, _, pid in notes(folder / "log") if what == "unpacked"}


@pytest.mark.parametrize("name", NAMES)
def test_killed_in_the_middle_the_same_again_ends_as_the_uninterrupted_search(name, tmp_path):
    (tmp_path / "here").mkdir()
    here = search(tmp_path / "here", TRIALS)
    run(tmp_path / "here", here)
    driver = start(tmp_path, name)
    assert eventually(lambda: len(told(tmp_path)) >= 4, 90), (tmp_path / "stderr").read_text()
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    before = told(tmp_path)
    assert 4 <= len(before) < TRIALS
    assert eventually(lambda: not any(map(alive, workers_of(tmp_path)))), "workers end with their driver"
    again = start(tmp_path, name)
    assert again.communicate(timeout=120)[0] == b""
    assert again.returncode == 0, (tmp_path / "stderr").read_text()
    after = told(tmp_path)
    figures = [(record.architecture, record.latency, record.evaluation) for record in after]
    assert figures[: len(before)] == [(record.architecture, record.latency, record.evaluation) for record in before]
    assert shape(search(tmp_path, TRIALS)) == shape(here)
    evaluated = [who for what, who, _ in notes(tmp_path / "log") if what == "begun"]
    done = {record.architecture.id for record in before}
    assert all(evaluated.count(one) == 1 for one in done), "what was complete is not evaluated again"


@pytest.mark.parametrize("name", NAMES)
def test_ctrl_c_ends_it_quickly_and_keeps_what_was_told(name, tmp_path):
    driver = start(tmp_path, name, workers=2, seconds=20.0)
    assert eventually(lambda: counted(notes(tmp_path / "log"), "begun") == 2, 90), (tmp_path / "stderr").read_text()
    begun = time.monotonic()
    driver.send_signal(signal.SIGINT)
    out = driver.communicate(timeout=60)[0]
    assert time.monotonic() - begun < 15, "it does not wait for the evaluations"
    assert driver.returncode != 0 and out == b""
    assert "KeyboardInterrupt" in (tmp_path / "stderr").read_text()
    assert eventually(lambda: not any(map(alive, workers_of(tmp_path)))), "no worker stays behind"
    assert search(tmp_path, TRIALS).evaluated == 0


def test_a_driver_that_is_killed_takes_its_busy_workers_along(tmp_path):
    driver = start(tmp_path, "local", workers=2, seconds=60.0)
    assert eventually(lambda: counted(notes(tmp_path / "log"), "begun") == 2, 90), (tmp_path / "stderr").read_text()
    assert len(workers_of(tmp_path)) == 2 and all(map(alive, workers_of(tmp_path)))
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert eventually(lambda: not any(map(alive, workers_of(tmp_path))), 10)
