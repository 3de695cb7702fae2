"""What a search is to better: read, refused, and the front of it."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.budget import Costs
from nas.core.errors import ObjectivesError, UnknownNameError
from nas.core.latency import Interval
from nas.core.objectives import DEFAULT, KEYS, Objectives

THREE = Objectives(("latency", "accuracy", "size"))
GRID = st.integers(0, 6).map(float)


def costs(ms=8.0, mb=4.0, watts=None):
    return Costs(Interval(ms, 0.0, 2 * ms), mb, 1.5, watts, 12e6)


def front(objectives, rows):
    """Rows of accuracy, latency and size that are on the front."""
    return objectives.front(rows, lambda row: row[0], lambda row: costs(row[1], row[2]))


def test_they_are_read_in_their_order_and_know_their_directions_and_units():
    assert Objectives.parse(" latency, accuracy,size ") == THREE
    assert (THREE.costs, THREE.place, str(THREE)) == (("latency", "size"), 1, "latency,accuracy,size")
    assert THREE.directions == ("minimize", "maximize", "minimize") and THREE.keys == ("latency_ms", "accuracy", "size_mb")
    assert THREE.values(0.9, costs()) == [8.0, 0.9, 4.0] and THREE.of(costs()) == (8.0, 4.0)
    assert Objectives(tuple(KEYS)).of(costs(watts=2.0)) == (8.0, 4.0, 1.5, 16.0, 12e6), "what is expected, not its upper end"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("accuracy,speed", UnknownNameError, "no objective is named 'speed'.*accuracy, energy, latency, macs, memory, size"),
        ("latency,size", ObjectivesError, "no trade-off to search: give accuracy and at least one of latency, size"),
        ("accuracy", ObjectivesError, "accuracy is no trade-off"),
        ("", ObjectivesError, "no trade-off"),
        ("accuracy,latency,latency", ObjectivesError, "latency is named twice"),
    ],
)
def test_what_is_no_question_is_refused_with_what_there_is(text, error, message):
    with pytest.raises(error, match=message):
        Objectives.parse(text)


def test_an_objective_that_is_not_known_is_said():
    with pytest.raises(ObjectivesError, match="energy is not known of the networks: leave it out of accuracy,energy"):
        Objectives(("accuracy", "energy")).of(costs())


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@given(st.lists(st.tuples(GRID, GRID, GRID), max_size=10), st.integers(0, 99))
def test_the_front_has_exactly_what_nobody_dominates_in_whatever_order(rows, seed):
    mixed = random.Random(seed).sample(rows, len(rows))
    for objectives, figures in ((DEFAULT, lambda row: (-row[0], row[1])), (THREE, lambda row: (-row[0], row[1], row[2]))):
        wanted = {figures(row) for row in rows if not any(dominates(figures(other), figures(row)) for other in rows)}
        found = [figures(row) for row in front(objectives, rows)]
        assert set(found) == wanted and len(found) == len(wanted), "of equals one"
        assert [figures(row) for row in front(objectives, mixed)] == found


@given(st.lists(st.tuples(GRID, GRID, GRID), max_size=10))
def test_along_the_front_of_accuracy_and_latency_slower_is_more_accurate(rows):
    assert all(a[1] < b[1] and a[0] < b[0] for a, b in itertools.pairwise(front(DEFAULT, rows)))
