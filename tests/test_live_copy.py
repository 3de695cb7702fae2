"""The live copy: complete, never doubled, and never the end of a search."""

import optuna
import pytest
from optuna.trial import TrialState

from nas.core.budget import Budget
from nas.live_copy import LiveCopy
from nas.study import load
from tests.executors.fakes import run, search


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'copy.db'}"


def copied(url, name="run"):
    """Numbers, values and parameters in the copy, in the order of the numbers."""
    trials = optuna.load_study(study_name=name, storage=url).get_trials(deepcopy=False)
    return sorted((trial.user_attrs["number"], trial.state, trial.values, trial.params) for trial in trials)


def finished(folder):
    trials = load(folder).get_trials(deepcopy=False)
    return [(trial.number, trial.state, trial.values, trial.params) for trial in trials if trial.state.is_finished()]


def test_every_trial_that_has_finished_is_there_at_once_and_once(tmp_path, url):
    warnings = []
    for trials in (2, 3):
        study = search(tmp_path, trials, budget=Budget(0.9), live=LiveCopy(url, "run", warnings.append))
        run(tmp_path, study)
        assert copied(url) == finished(tmp_path)
    study = search(tmp_path, 4, budget=Budget(0.9), live=LiveCopy(url, "run", warnings.append))
    study.ask()  # and killed
    search(tmp_path, 4, budget=Budget(0.9), live=LiveCopy(url, "run", warnings.append))
    assert copied(url) == finished(tmp_path) and copied(url)[-1][1] == TrialState.FAIL
    assert warnings == []
    copy = optuna.load_study(study_name="run", storage=url)
    assert {trial.number for trial in copy.best_trials} and [one.name for one in copy.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_another_question_is_another_study_there(tmp_path, url):
    run(tmp_path, search(tmp_path, 3, live=LiveCopy(url, "run", print)))
    run(tmp_path, search(tmp_path, 3, budget=Budget(0.9), live=LiveCopy(url, "run", print)))
    assert optuna.get_all_study_names(storage=url) == ["run", "run search-2"]
    assert copied(url, "run search-2") == finished(tmp_path)


def test_a_run_that_was_begun_anew_has_a_copy_of_its_own(tmp_path, url):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        run(tmp_path / folder, search(tmp_path / folder, 3, seed=len(folder), live=LiveCopy(url, "run", print)))
    old, new = optuna.get_all_study_names(storage=url)
    assert old == "run" and new.startswith("run, begun 20")
    assert copied(url) == finished(tmp_path / "first") and copied(url, new) == finished(tmp_path / "second")
    run(tmp_path / "second", search(tmp_path / "second", 4, seed=6, live=LiveCopy(url, "run", print)))
    assert copied(url, new) == finished(tmp_path / "second") and len(optuna.get_all_study_names(storage=url)) == 2


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/copy.db", "nonsense", "mysql+nodriver://host/name"])
def test_a_storage_that_cannot_be_written_is_a_warning_once(tmp_path, url):
    warnings = []
    study = search(tmp_path, 4, live=LiveCopy(url, "run", warnings.append))
    assert len(run(tmp_path, study)) == 4
    assert len(warnings) == 1 and url in warnings[0] and "goes on without it" in warnings[0]


def test_one_that_breaks_in_the_middle_is_too(tmp_path, url, monkeypatch):
    warnings = []
    study = search(tmp_path, 6, live=LiveCopy(url, "run", warnings.append))
    for _ in range(3):
        candidate = study.ask()
        monkeypatch.setattr(optuna.Study, "add_trial", lambda self, trial: 1 / 0)
        study.fail(candidate.number, "no such luck")
    assert len(warnings) == 1 and "ZeroDivisionError" in warnings[0]
