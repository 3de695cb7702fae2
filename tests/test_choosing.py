"""Which candidates become picks."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.choosing import choose
from nas.core.architecture import Architecture
from nas.core.budget import Costs
from nas.core.evaluation import Evaluation
from nas.core.latency import Interval
from nas.core.objectives import DEFAULT, Objectives
from nas.records import Record


def record(number, accuracy, ms):
    evaluation = None if accuracy is None else Evaluation(accuracy, 1000, 100, (), 0.1)
    return Record(number, Architecture("tiny@01234567", (number,)), Costs(Interval(ms, ms, ms)), 1000, evaluation)


FIGURES = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 8).map(lambda n: n / 8)), st.integers(1, 9).map(float)), max_size=15)
RECORDS = FIGURES.map(lambda figures: [record(number, *one) for number, one in enumerate(figures)])


def best(records):
    evaluated = [one for one in records if one.evaluation]
    return DEFAULT.front(evaluated, lambda one: one.accuracy, lambda one: one.costs)


@given(RECORDS, st.integers(1, 8))
def test_as_many_as_asked_or_as_there_are_fastest_first(records, picks):
    chosen = choose(records, picks)
    assert len(chosen) == min(picks, sum(one.evaluation is not None for one in records))
    assert len({one.architecture for one in chosen}) == len(chosen)
    assert all(one.evaluation is not None for one in chosen)
    assert [one.latency.ms for one in chosen] == sorted(one.latency.ms for one in chosen)


@given(RECORDS, st.integers(2, 8))
def test_both_ends_of_the_front_are_among_them(records, picks):
    members, chosen = best(records), choose(records, picks)
    if members:
        assert members[0] in chosen and members[-1] in chosen


@given(RECORDS, st.integers(1, 8))
def test_nobody_is_chosen_before_the_front_is_exhausted(records, picks):
    members, chosen = best(records), choose(records, picks)
    assert sum(one in members for one in chosen) == min(picks, len(members))


def test_whoever_was_rejected_early_is_chosen_last():
    """Its accuracy is an estimate from few images, however high."""
    rejected = replace(record(1, 0.9, 2.0), evaluation=Evaluation(0.9, 1000, 100, (), 0.1, rejected_after=250))
    records = [record(0, 0.5, 1.0), rejected, record(2, 0.4, 3.0)]
    assert [one.number for one in choose(records, 2)] == [0, 2]
    assert [one.number for one in choose(records, 3)] == [0, 1, 2]


def test_of_one_pick_it_is_the_most_accurate():
    assert [one.number for one in choose([record(0, 0.9, 5.0), record(1, 0.8, 1.0), record(2, 0.85, 3.0)], 1)] == [0]


def test_picks_are_spread_over_latency():
    records = [record(n, 0.5 + 0.01 * n, ms) for n, ms in enumerate([1.0, 1.1, 1.2, 5.0, 5.1, 9.0])]
    assert [one.number for one in choose(records, 3)] == [0, 3, 5]


def test_the_next_front_fills_up():
    records = [record(0, 0.9, 1.0), record(1, 0.8, 2.0), record(2, 0.7, 1.5), record(3, 0.1, 9.0)]
    assert [one.number for one in choose(records, 3)] == [0, 2, 1]


@pytest.mark.parametrize("records", [[], [record(0, None, 50.0)]], ids=["nothing asked", "nothing within the budget"])
def test_without_candidates_there_are_no_picks(records):
    assert choose(records, 5) == []


def sized(number, accuracy, ms, mb):
    return replace(record(number, accuracy, ms), costs=Costs(Interval(ms, ms, ms), mb))


def test_of_other_objectives_the_front_is_theirs():
    """The last is beaten in accuracy and latency, and by nobody in size."""
    records = [sized(0, 0.9, 1.0, 4.0), sized(1, 0.8, 2.0, 5.0), sized(2, 0.7, 3.0, 1.0)]
    assert [one.number for one in choose(records, 2)] == [0, 1], "the next front fills up"
    assert [one.number for one in choose(records, 2, Objectives(("accuracy", "latency", "size")))] == [0, 2]
    assert [one.number for one in choose(records, 1, Objectives(("accuracy", "size")))] == [0]


def test_what_is_beyond_the_budget_of_now_is_no_pick():
    """It was evaluated under another one."""
    assert choose([replace(record(0, 0.9, 1.0), within=False), record(1, 0.5, 2.0)], 5) == [record(1, 0.5, 2.0)]
