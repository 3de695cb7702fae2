"""Laws of the front, against definitions written as plainly as possible."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.errors import NasError
from nas.core.pareto import growth, hypervolume, non_dominated, spread

GRID = st.integers(0, 6).map(float)
POINTS = st.lists(st.tuples(GRID, GRID), max_size=12)


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@given(POINTS)
def test_kept_are_exactly_the_first_of_those_that_nobody_dominates(points):
    wanted = [not any(dominates(other, point) for other in points) and point not in points[:i] for i, point in enumerate(points)]
    assert non_dominated(points).tolist() == wanted


@given(st.lists(st.tuples(GRID, GRID, GRID), min_size=1, max_size=8))
def test_three_objectives_obey_the_same_law(points):
    kept = [point for point, keep in zip(points, non_dominated(points), strict=True) if keep]
    assert set(kept) == {point for point in points if not any(dominates(other, point) for other in points)}


def test_nan_is_refused():
    with pytest.raises(NasError, match="needs numbers, found NaN"):
        non_dominated([(0.0, 1.0), (float("nan"), 0.0)])


def test_nobody_is_an_empty_front():
    assert non_dominated([]).tolist() == []


@given(st.sets(st.integers(0, 100), min_size=1, max_size=15), st.integers(0, 8))
def test_a_spread_has_both_ends_and_is_as_many_as_asked(members, count):
    found = spread(list(members), count, position=float)
    assert len(found) == min(count, len(members)) == len(set(found))
    assert found == sorted(found) and set(found) <= members
    if count >= 2:
        assert found[0] == min(members) and found[-1] == max(members)


def test_a_spread_is_even():
    assert spread([0, 1, 2, 3, 49, 50, 52, 98, 99, 100], 3, position=float) == [0, 50, 100]
    assert spread(list(range(101)), 5, position=float) == [0, 25, 50, 75, 100]


def test_a_spread_of_one_is_the_slowest():
    assert spread([3, 1, 2], 1, position=float) == [3]


@given(POINTS)
def test_hypervolume_is_the_number_of_dominated_unit_squares(points):
    covered = sum(any(x <= i and y <= j for x, y in points) for i in range(5) for j in range(5))
    assert hypervolume(points, (5.0, 5.0)) == covered


@given(st.lists(st.tuples(GRID, GRID, GRID), max_size=10))
def test_in_three_dimensions_it_is_the_number_of_dominated_unit_cubes(points):
    cubes = itertools.product(range(5), repeat=3)
    covered = sum(any(all(x <= i for x, i in zip(point, cube, strict=True)) for point in points) for cube in cubes)
    assert hypervolume(points, (5.0, 5.0, 5.0)) == covered


@given(st.lists(st.tuples(GRID, GRID, GRID, GRID), max_size=6))
def test_and_in_four(points):
    cubes = itertools.product(range(4), repeat=4)
    covered = sum(any(all(x <= i for x, i in zip(point, cube, strict=True)) for point in points) for cube in cubes)
    assert hypervolume(points, (4.0,) * 4) == covered


def test_hypervolume_of_nothing_is_zero():
    assert hypervolume([], (1.0, 1.0)) == 0.0
    assert hypervolume([(1.0, 0.0), (0.0, 1.0)], (1.0, 1.0)) == 0.0


@given(st.lists(st.tuples(GRID, GRID, GRID), max_size=10))
def test_growth_is_the_hypervolume_of_every_beginning(points):
    wanted = [hypervolume(points[: number + 1], (5.0, 5.0, 5.0)) for number in range(len(points))]
    assert growth(points, (5.0, 5.0, 5.0)).tolist() == wanted
    flat = [point[:2] for point in points]
    assert growth(flat, (5.0, 5.0)).tolist() == [hypervolume(flat[: number + 1], (5.0, 5.0)) for number in range(len(flat))]
