"""A problem's study: asks what the problem does, and is read only as the answer to that."""

from dataclasses import replace

import pytest

from nas.core.budget import Budget
from nas.core.errors import StudyError
from nas.opening import answered, live_copy, open_study
from nas.run_folder import RunFolder
from nas.study import load
from tests.executors.fakes import evaluation
from tests.test_conclusion import problem


def searched(question, folder, trials):
    study = open_study(question, folder, trials)
    while candidate := study.ask():
        study.tell(candidate.number, evaluation(candidate.architecture))
    return study


def test_it_asks_for_the_budget_objectives_and_strategy_of_the_problem(tmp_path):
    asked = problem().settings.model_copy(update={"objectives": "accuracy,size,latency", "strategy": "random", "trials": 3})
    question = replace(problem(), settings=asked, budget=Budget(20.0, macs=1e9))
    study = searched(question, RunFolder(tmp_path), None)
    assert study.evaluated == 3 and answered(question, RunFolder(tmp_path)) == list(study.records)
    told = load(tmp_path)
    assert told.metric_names == ["accuracy", "size_mb", "latency_ms"]
    assert told.user_attrs["question"]["budget"] == {"latency": 20.0, "macs": 1e9}
    assert told.user_attrs["question"]["strategy"] == "random"


@pytest.mark.parametrize("changed", [{"strategy": "nsga2"}, {"objectives": "accuracy,size"}, {}], ids=str)
def test_before_the_search_has_begun_again_it_is_no_answer_to_another_question(tmp_path, changed):
    searched(problem(), RunFolder(tmp_path), 2)
    budget = problem().budget if changed else Budget(10.0)
    other = replace(problem(), settings=problem().settings.model_copy(update=changed), budget=budget)
    with pytest.raises(StudyError, match=r"has not begun to \(it found networks within latency 20\): give its command again"):
        answered(other, RunFolder(tmp_path))
    open_study(other, RunFolder(tmp_path), 2)
    assert len(answered(other, RunFolder(tmp_path))) == 2


def test_without_a_storage_there_is_no_copy(tmp_path):
    assert live_copy("", RunFolder(tmp_path), None) is None
