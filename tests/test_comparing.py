"""What a network for one device would be on another, and which one would do for all."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.comparing import ONE_FOR_ALL, best_single, compare, evaluations
from nas.conclusion import conclude
from nas.core.architecture import Architecture
from nas.core.latency import estimate
from nas.records import Record
from tests.executors.fakes import evaluation
from tests.test_conclusion import CIRCUMSTANCES, pick, step
from tests.test_turns import Harp, problem
from tests.tiny import SPACE, Device, architectures

LARGE, SMALL = SPACE.largest(), SPACE.smallest()
MIDDLE = SPACE.architecture([1, 0, 1, 0, 0, 0, 1, 0, 0])


def problems(abacus_ms=1000.0, harp_ms=1000.0):
    return {"abacus": problem(Device(), abacus_ms), "harp": problem(Harp(), harp_ms)}


def record(problem, architecture: Architecture, accuracy, **changed):
    costs = problem.price(architecture)
    found = replace(evaluation(architecture), accuracy=accuracy)
    return Record(0, architecture, costs, problem.macs(architecture), found, problem.budget.holds(costs), **changed)


def told(asked, **accuracies):
    """The same evaluations in both studies, the second of which learned them."""
    named = {"large": LARGE, "middle": MIDDLE, "small": SMALL}
    return {
        name: [record(one, named[which], accuracy, learned=name == "harp") for which, accuracy in accuracies.items()]
        for name, one in asked.items()
    }


def upper_ms(problem, architecture):
    return estimate(problem.model, problem.network(architecture)).total.high_ms


def test_the_best_single_network_is_within_all_budgets():
    asked = problems()
    assert best_single(asked, told(asked, large=0.9, middle=0.8, small=0.7)).architecture == LARGE
    tight = problems(harp_ms=upper_ms(asked["harp"], LARGE) - 0.01)
    assert best_single(tight, told(tight, large=0.9, middle=0.8, small=0.7)).architecture == MIDDLE
    both = problems(upper_ms(asked["abacus"], SMALL), upper_ms(asked["harp"], SMALL))
    assert best_single(both, told(both, large=0.9, middle=0.8, small=0.7)).architecture == SMALL
    assert best_single(both, told(both, large=0.9)) is None


def test_an_estimate_of_a_stopped_evaluation_is_not_the_best():
    asked = problems()
    found = told(asked, middle=0.8)
    stopped = record(asked["abacus"], LARGE, 0.99)
    stopped = replace(stopped, evaluation=replace(stopped.evaluation, rejected_after=250))
    found["abacus"].append(stopped)
    assert best_single(asked, found).architecture == MIDDLE and evaluations(found) == 2
    found["harp"].append(record(asked["harp"], LARGE, 0.85))
    assert best_single(asked, found).accuracy == 0.85, "the other device has scored it to the end"
    assert evaluations(found) == 2


@given(st.lists(st.tuples(architectures(), st.floats(0, 1)), max_size=8, unique_by=lambda one: one[0]), st.floats(0.5, 5), st.floats(1, 8))
def test_nothing_that_fits_all_is_better_than_the_best_single(found, abacus_ms, harp_ms):
    asked = problems(abacus_ms, harp_ms)
    studies = {name: [record(one, architecture, accuracy) for architecture, accuracy in found] for name, one in asked.items()}
    best = best_single(asked, studies)
    fitting = [accuracy for one, accuracy in found if all(p.budget.holds(p.price(one)) for p in asked.values())]
    assert (best.accuracy if best else None) == max(fitting, default=None)


def results(asked, studies, picks):
    return {
        name: conclude(one, studies[name], [pick(which, step("fp32", 0.9, None)) for which in picks[name]], CIRCUMSTANCES)
        for name, one in asked.items()
    }


def test_every_pick_is_shown_on_every_device_at_its_own_price():
    asked = problems()
    studies = told(asked, large=0.9, middle=0.6, small=0.7)
    made = results(asked, studies, {"abacus": [LARGE], "harp": [MIDDLE]})
    networks = compare(asked, studies, made, LARGE, {"harp": pick(LARGE, step("fp32", 0.9, None))})
    assert [one.architecture for one in networks] == [SMALL, MIDDLE, LARGE], "small is on both fronts"
    by = {one.architecture: one for one in networks}
    assert by[LARGE].chosen_for == ("abacus",) and by[MIDDLE].chosen_for == ("harp",) and by[SMALL].chosen_for == ()
    assert by[SMALL].on_fronts_of == by[LARGE].on_fronts_of == ("abacus", "harp") and by[MIDDLE].on_fronts_of == ()
    for network in networks:
        for name, place in network.places.items():
            assert place.latency == estimate(asked[name].model, asked[name].network(network.architecture))
            assert place.costs == asked[name].price(network.architecture) and place.fits
    assert by[LARGE].places["abacus"].folder == "abacus" and by[LARGE].places["harp"].folder == f"{ONE_FOR_ALL}/harp"
    assert by[MIDDLE].places["abacus"].pick is None and by[MIDDLE].places["abacus"].folder == ""
    assert by[SMALL].tuned is None and by[LARGE].tuned.architecture == LARGE
    assert all(one.fits_all for one in networks)


@pytest.mark.parametrize("single", [None, MIDDLE])
def test_what_is_over_a_budget_is_said_device_by_device(single):
    asked = problems(harp_ms=3.0)
    assert upper_ms(asked["harp"], LARGE) > 3.0 > upper_ms(asked["harp"], SMALL)
    studies = told(asked, large=0.9, middle=0.65, small=0.7)
    networks = compare(asked, studies, results(asked, studies, {"abacus": [LARGE, SMALL], "harp": [SMALL]}), single, {})
    by = {one.architecture: one for one in networks}
    assert by[LARGE].places["abacus"].fits and by[LARGE].places["harp"].fits is False and not by[LARGE].fits_all
    assert by[LARGE].on_fronts_of == ("abacus",), "what is over the budget is on no front"
    assert by[SMALL].fits_all and by[SMALL].chosen_for == ("abacus", "harp")
    assert (MIDDLE in by) == (single is MIDDLE)
