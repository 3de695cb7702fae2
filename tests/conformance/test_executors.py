"""Every executor: the same search as any other, errors that end it clearly, deaths that do not, and nothing left behind."""

import pytest

from nas import executors
from nas.core.errors import ExecutorError, StudyError, UnknownNameError
from nas.executors import MAX_RETRIES
from nas.study import load, records
from tests.executors.fakes import Evaluator, alive, counted, job, notes, run, search, shape

NAMES = [pytest.param(name, marks=pytest.mark.slow) if name.startswith("ray") else name for name in executors.names()]
every_executor = pytest.mark.parametrize("name", NAMES)


def test_there_are_executors_and_a_beginning_of_their_name_is_enough():
    assert {"local", "ray_tune"} <= set(executors.names())
    assert executors.load("ray") is executors.load("ray_tune")
    with pytest.raises(UnknownNameError, match="no executor is named 'slurm'"):
        executors.load("slurm")


@every_executor
def test_one_worker_makes_the_search_that_this_process_would_make(name, tmp_path, capfd):
    (tmp_path / "here").mkdir()
    here = search(tmp_path / "here", 8)
    run(tmp_path / "here", here)
    study, log, told = search(tmp_path, 8), tmp_path / "log", []
    executors.load(name)(job(study, Evaluator(log, payload=list(range(100_000))), tmp_path, told=lambda: told.append(study.evaluated)))
    assert shape(study) == shape(here)
    assert [record.evaluation for record in records(load(tmp_path))] == [record.evaluation for record in here.records]
    assert told == [1, 2, 3, 4, 5, 6, 7, 8]
    before = [[one.evaluation.accuracy for one in study.records[:n] if one.latency.ms <= study.records[n].latency.ms] for n in range(8)]
    assert [float(beat) for what, beat, _ in notes(log) if what == "to_beat"] == [max(some, default=float("-inf")) for some in before]
    assert counted(notes(log), "packed") == 1
    assert counted(notes(log), "unpacked") == len({pid for what, _, pid in notes(log) if what == "ended"}) == 1
    assert not any(alive(int(pid)) for what, _, pid in notes(log) if what == "unpacked")
    assert {path.name for path in tmp_path.iterdir()} == {"here", "log", "study.journal"}, "scratch files are gone"
    assert capfd.readouterr().out == ""


@every_executor
def test_several_workers_share_the_work(name, tmp_path):
    study, log = search(tmp_path, 9), tmp_path / "log"
    executors.load(name)(job(study, Evaluator(log, seconds=2.0 if name == "ray_tune" else 0.3), tmp_path, workers=2))
    done = [who for what, who, _ in notes(log) if what == "ended"]
    assert len(done) == len(set(done)) == study.evaluated == 9
    assert len({pid for what, _, pid in notes(log) if what == "ended"}) == 2


@every_executor
def test_an_evaluation_that_raises_ends_the_search_and_keeps_what_was_told(name, tmp_path):
    study, log = search(tmp_path, 6), tmp_path / "log"
    failing = r"the evaluation of [0-9a-f]{12} failed with ZeroDivisionError: no such luck \(fakes\.py, line \d+\); .* same command"
    with pytest.raises(ExecutorError, match=failing):
        executors.load(name)(job(study, Evaluator(log, raises=True, after=2), tmp_path))
    assert counted(notes(log), "begun") == 3, "it would raise again, so it is not tried again"
    again = search(tmp_path, 6)
    assert again.evaluated == study.evaluated == 2
    assert "no such luck" in next(trial for trial in load(tmp_path).trials if "failure" in trial.user_attrs).user_attrs["failure"]


@every_executor
def test_an_evaluation_whose_worker_died_is_tried_again(name, tmp_path):
    (tmp_path / "here").mkdir()
    here = search(tmp_path / "here", 5)
    run(tmp_path / "here", here)
    study, log = search(tmp_path, 5), tmp_path / "log"
    executors.load(name)(job(study, Evaluator(log, deaths=2, after=2), tmp_path))
    assert counted(notes(log), "dying") == 2
    assert shape(study) == shape(here)


@pytest.mark.slow
@every_executor
def test_workers_that_keep_dying_end_the_search(name, tmp_path):
    study, log = search(tmp_path, 5), tmp_path / "log"
    with pytest.raises(ExecutorError, match=r"a worker died 4 times while it evaluated [0-9a-f]{12}: .*--workers; .* same command"):
        executors.load(name)(job(study, Evaluator(log, deaths=99, after=1), tmp_path))
    assert counted(notes(log), "dying") == MAX_RETRIES + 1
    assert search(tmp_path, 5).evaluated == 1


@every_executor
def test_an_error_of_the_study_is_the_error_of_the_search(name, tmp_path, monkeypatch):
    study = search(tmp_path, 5)

    def stuck():
        raise StudyError("stuck")

    monkeypatch.setattr(study, "ask", stuck)
    with pytest.raises(StudyError, match="stuck"):
        executors.load(name)(job(study, Evaluator(tmp_path / "log"), tmp_path))
