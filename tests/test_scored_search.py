"""A search without images: the same study and strategies, and a result that calls a score by its name."""

import json

import pytest

from nas import report, scored_search
from nas.core.errors import InfeasibleBudgetError, SpaceError, StudyError, UnknownNameError
from nas.display import Silent
from nas.pipeline import Execution
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from tests.report.test_html import Page

SETTINGS = RunSettings(device="pixel-1", budget_ms=80.0, space="mobilenet_v3", accuracy="imagenet", trials=5)


def search(folder, **changed):
    return scored_search.search(SETTINGS.model_copy(update=changed), Execution(), folder, Silent())


@pytest.mark.slow
def test_it_finds_a_front_and_goes_on_where_it_stopped(tmp_path):
    found = search(tmp_path / "run").json()
    assert (found["evaluations"], found["quantity"], found["is_accuracy"]) == (5, "predicted ImageNet top-1", True)
    assert found["best"] == found["front"][-1] and "accuracy" not in found["best"]
    scores = [row["score"] for row in found["front"]]
    assert scores == sorted(scores) and all(0.7 < score < 0.78 for score in scores)
    assert all(row["score_low"] < row["score"] < row["score_high"] for row in found["front"])
    assert all(row["latency_high_ms"] <= 80.0 and row["network"].startswith("224px") for row in found["front"])
    assert json.loads((tmp_path / "run" / "front.json").read_text()) == found
    again = search(tmp_path / "run", trials=6).json()
    assert again["evaluations"] == 6
    once = search(tmp_path / "other", trials=6).json()
    assert [row["genes"] for row in again["front"]] == [row["genes"] for row in once["front"]]
    told = scored_search.conclude_again(tmp_path / "run").found(RunFolder(tmp_path / "run"))
    assert [one.name for one in told.front] == [row["id"] for row in again["front"]] and told.best.worth == again["best"]["score"]
    assert all(one.bounds == (row["score_low"], row["score_high"]) for one, row in zip(told.front, again["front"], strict=True))
    assert told.progress()[-1] == (6, 1.0) and told.truth is None and told.origin == "calibrated"


@pytest.mark.slow
def test_a_score_that_is_no_accuracy_is_not_shown_as_one(tmp_path):
    from rich.console import Console

    found = search(tmp_path / "run", device="jetson-nano", budget_ms=1000.0, space="mobile_shuffle_32", accuracy="synflow", trials=2)
    assert not found.json()["is_accuracy"] and "score_low" not in found.json()["best"]
    told = found.found(RunFolder(tmp_path / "run"))
    console = Console(record=True, width=120)
    console.print(report.found_table(told))
    shown = console.export_text()
    assert "SynFlow score" in shown and "%" not in shown
    page = Page(report.search_html(told)).text
    assert "SynFlow score is no accuracy" in page and "Accuracy" not in page


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"accuracy": "nasbot"}, UnknownNameError, "no score is named 'nasbot'"),
        ({"space": "mobile_shuffle"}, SpaceError, "top-1 is predicted for mobilenet_v3 at 224 px alone, not for mobile_shuffle"),
        ({"budget_ms": 1.0}, InfeasibleBudgetError, "1"),
    ],
)
def test_what_cannot_be_searched_is_said_before_anything_begins(changed, error, message, tmp_path):
    with pytest.raises(error, match=message):
        search(tmp_path / "run", **changed)
    assert not (tmp_path / "run").exists()


def test_a_run_judged_otherwise_is_not_continued(tmp_path):
    search(tmp_path / "run", trials=1)
    with pytest.raises(StudyError, match="accuracy was 'imagenet' and is now 'zen'"):
        search(tmp_path / "run", accuracy="zen")
