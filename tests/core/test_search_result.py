"""Progress is that of the hypervolume, counted in evaluations of the run's own."""

from dataclasses import replace

import pytest

from nas.core import search_result
from nas.core.pareto import hypervolume
from nas.core.search_result import Truth
from tests.report.test_search import judged, table


def test_progress_rises_to_what_was_reached_and_ends_at_the_last_evaluation():
    found = table()
    within = [one for one in found.judged if one.within]
    progress = found.progress()
    assert progress[-1][0] == found.evaluations == len(within) and progress[-1][1] == found.reached() < 1.0
    assert [number for number, _ in progress] == sorted({number for number, _ in progress})
    reference = (-found.corner[0], *found.corner[1:])
    whole = hypervolume([(-worth, *costs) for worth, *costs in found.truth.front], reference)
    for number, share in progress:
        known = [(-one.worth, one.costs.latency.ms) for one in within[:number]]
        assert share == pytest.approx(hypervolume(known, reference) / whole)


def test_what_was_learned_counts_before_the_first_evaluation():
    found = table()
    first = judged(1, 70.0, 2.0, within=True, learned=True)
    known = replace(found, judged=(first, *found.judged))
    assert known.evaluations == found.evaluations
    assert known.progress()[0][0] == 0 and known.progress()[0][1] > 0.0
    alone = replace(found, judged=(first,), front=(first,), truth=None)
    assert alone.progress() == ((0, 1.0),) and alone.evaluations == 0


def test_without_a_volume_there_is_no_progress():
    found = table()
    flat = replace(found, corner=(100.0, 6.0))
    assert flat.progress() == () and flat.reached() is None
    assert replace(found, judged=(), front=(), truth=None).progress() == ()


def test_a_sum_that_would_take_too_long_is_not_done(monkeypatch):
    found = table(("accuracy", "latency", "size"))
    assert found.reached() is not None
    monkeypatch.setattr(search_result, "COUNTABLE", 3.0)
    assert found.progress() == () and found.reached() is None
    large = replace(found, truth=Truth(900, found.truth.front, 0.0), front=found.front[:1])
    assert large.reached() is None, "the true front is too large, the one that was found is not"
