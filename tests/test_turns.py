"""Searches that take turns: each learns what the others found out, nothing is evaluated twice, and any moment is a good one to stop."""

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import executors
from nas.core.budget import Budget
from nas.core.device import DeviceProfile, RuntimeTarget, TargetProfile
from nas.core.errors import StudyError
from nas.core.latency import NO_SPILL, BlockPrice, Interval, Spill
from nas.opening import open_study
from nas.problem import Problem
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from nas.study import load, records
from nas.turns import TURN, Member, Turns, ends
from search_spaces import blocks
from tests.executors.fakes import Evaluator, evaluation, job, notes
from tests.tiny import OVERHEAD, SPACE, TARGET, Device

HARP = replace(TARGET, device="harp")


@dataclass(frozen=True)
class Harp:
    """A device on which every operator takes as long, so that its front is not that of an abacus."""

    target: RuntimeTarget = HARP
    origin: str = "estimated"
    confidence: float = 0.9
    overhead: Interval = OVERHEAD
    spill: Spill = NO_SPILL

    def block(self, spec):
        ms = 0.1 * len(blocks.operators(spec))
        return BlockPrice(Interval(ms, 0.9 * ms, 1.1 * ms), ms)


def problem(model, budget_ms=1000.0, strategy="random"):
    name = model.target.device
    target = TargetProfile(model.target, "estimated", "beads", {}, None, None)
    profile = DeviceProfile(name, name, ("fp32",), 13, (), (target,), "", "", "")
    settings = RunSettings(device=name, budget_ms=budget_ms, strategy=strategy)
    return Problem(settings, profile, model, SPACE, Budget(budget_ms), 1, 3, ())


def member(folder, model, **given):
    name = model.target.device
    (folder / name).mkdir(parents=True, exist_ok=True)
    return Member(name, partial(open_study, problem(model, **given), RunFolder(folder / name)))


def members(folder, **given):
    return [member(folder, Device(), **given), member(folder, Harp(), **given)]


def evaluate(turns, stop_after=10**6, workers=1):
    """Evaluates with so many at a time; what was asked, in order. Ends after that many results, as if killed, with others on their way."""
    asked, waiting = [], []
    while stop_after:
        while len(waiting) < workers and (candidate := turns.ask()):
            asked.append((turns.turn.name, candidate.architecture))
            waiting.append(candidate)
        if not waiting:
            break
        done = waiting.pop(0)
        turns.tell(done.number, evaluation(done.architecture))
        stop_after -= 1
    return asked


def own(folder, name):
    return [one.architecture for one in records(load(folder / name)) if one.evaluation and not one.learned]


@given(st.integers(1, 3000), st.integers(0, 3000))
def test_turns_end_where_they_did_before_when_there_are_more(trials, more):
    few, many = list(ends(trials)), list(ends(trials + more))
    assert few[-1] == trials and few == sorted(set(few)) and few[:-1] == many[: len(few) - 1]
    steps = [after - before for before, after in zip([0, *few], few, strict=False)]
    assert all(step >= TURN for step in steps[:-1]) and len(few) < 40


@pytest.mark.parametrize("workers", [1, 3])
def test_each_makes_its_share_and_nothing_is_evaluated_twice(tmp_path, workers):
    turns = Turns(members(tmp_path), 20)
    asked = evaluate(turns, workers=workers)
    assert Counter(name for name, _ in asked) == {"abacus": 20, "harp": 20} and turns.done and turns.evaluated == 40
    assert len({architecture for _, architecture in asked}) == 40
    assert [name for name, _ in asked] == ["abacus"] * 12 + ["harp"] * 12 + ["abacus"] * 8 + ["harp"] * 8


@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_they_take_turns_in_every_executor(tmp_path, executor):
    turns, log, told = Turns(members(tmp_path), 20), tmp_path / "log", []
    executors.load(executor)(job(turns, Evaluator(log), tmp_path, workers=2, told=lambda: told.append(turns.turn.name)))
    done = [who for what, who, _ in notes(log) if what == "ended"]
    assert turns.done and len(done) == len(set(done)) == 40
    assert told == ["abacus"] * 12 + ["harp"] * 12 + ["abacus"] * 8 + ["harp"] * 8, "a turn waits for its last results"
    assert [len(own(tmp_path, name)) for name in ("abacus", "harp")] == [20, 20]


def test_in_the_end_all_know_all_at_their_own_prices(tmp_path):
    turns = Turns(members(tmp_path), 15)
    asked = evaluate(turns)
    mine, theirs = turns.settled()
    assert {one.architecture for one in mine} == {one.architecture for one in theirs} == {architecture for _, architecture in asked}
    assert {one.architecture: one.evaluation for one in mine} == {one.architecture: one.evaluation for one in theirs}
    assert {one.architecture: one.latency for one in mine} != {one.architecture: one.latency for one in theirs}
    assert [records(load(tmp_path / name)) for name in ("abacus", "harp")] == [list(mine), list(theirs)]
    journals = [(tmp_path / name / "study.journal").read_bytes() for name in ("abacus", "harp")]
    again = Turns(members(tmp_path), 15)
    assert again.done and again.ask() is None and again.settled() == [mine, theirs]
    assert [(tmp_path / name / "study.journal").read_bytes() for name in ("abacus", "harp")] == journals, "the same again writes nothing"


@pytest.mark.parametrize("strategy", ["random", "regularized_evolution"])
@pytest.mark.parametrize("stop_after", [0, 1, 11, 12, 13, 23, 24, 25, 31])
def test_stopped_anywhere_the_same_again_ends_as_the_uninterrupted_one(tmp_path, stop_after, strategy):
    whole = evaluate(Turns(members(tmp_path / "whole", strategy=strategy), 16))
    if stop_after:
        begun = Turns(members(tmp_path / "killed", strategy=strategy), 16)
        evaluate(begun, stop_after)
        begun.ask()  # is on its way, and lost
    evaluate(Turns(members(tmp_path / "killed", strategy=strategy), 16))
    for name in ("abacus", "harp"):
        assert own(tmp_path / "killed", name) == own(tmp_path / "whole", name)
    assert {architecture for _, architecture in whole} == {*own(tmp_path / "killed", "abacus"), *own(tmp_path / "killed", "harp")}


def test_more_trials_extend_each(tmp_path):
    first = evaluate(Turns(members(tmp_path), 5))
    more = evaluate(Turns(members(tmp_path), 9))
    assert Counter(name for name, _ in more) == {"abacus": 4, "harp": 4}
    assert not {architecture for _, architecture in first} & {architecture for _, architecture in more}


def test_what_one_stopped_early_the_others_do_not_know(tmp_path):
    turns = Turns(members(tmp_path), 12)
    rejected = set()
    while candidate := turns.ask():
        half = turns.turn.name == "abacus" and candidate.accuracy_to_beat > float("-inf")
        found = evaluation(candidate.architecture)
        turns.tell(candidate.number, replace(found, accuracy=0.1, rejected_after=250) if half else found)
        rejected |= {candidate.architecture} if half else set()
    abacus, harp = turns.settled()
    assert rejected and all(one.rejected == (one.architecture in rejected) for one in abacus if not one.learned)
    assert not any(one.rejected for one in harp)
    assert all(one.evaluation.accuracy > 0.1 for one in harp)


def test_a_device_learns_what_is_beyond_its_budget_but_does_not_answer_with_it(tmp_path):
    loose, tight = member(tmp_path, Device()), member(tmp_path, Harp(), budget_ms=3.0)
    turns = Turns([loose, tight], 12)
    evaluate(turns)
    _, found = turns.settled()
    learned = [one for one in found if one.learned]
    assert len(learned) == 12 and {one.within for one in learned} == {True, False}
    assert all(one.within for one in found if not one.learned and one.evaluation)


def test_under_another_budget_what_is_within_it_counts(tmp_path):
    evaluate(Turns(members(tmp_path), 12))
    before = {name: own(tmp_path, name) for name in ("abacus", "harp")}
    tighter = problem(Harp(), budget_ms=3.0)
    fit = sum(tighter.budget.holds(tighter.price(one)) for one in before["harp"])
    assert 0 < fit < 12
    turns = Turns(members(tmp_path, budget_ms=3.0), 12)
    asked = evaluate(turns)
    assert not {architecture for _, architecture in asked} & {*before["abacus"], *before["harp"]}, "nothing is evaluated again"
    assert sum(name == "harp" for name, _ in asked) == 12 - fit


def test_a_device_for_which_others_left_nothing_ends_with_what_it_learned(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.study._GIVE_UP", 60)
    architectures = [SPACE.architecture(genes) for genes in itertools.product(*(range(gene.options) for gene in SPACE.genes))]
    upper = sorted(problem(Harp()).price(one).latency.high_ms for one in set(architectures))
    few = sum(one <= upper[9] + 1e-9 for one in upper)
    given = {"budget_ms": upper[9] + 1e-6, "strategy": "local_search"}
    harps = [member(tmp_path, Harp(), **given), member(tmp_path, Harp(replace(HARP, device="lyre")), **given)]
    turns = Turns(harps, few - 2)
    asked = evaluate(turns)
    assert len(asked) == len({one for _, one in asked}) == few, "all there is within the budget, once"
    assert [sum(one.eligible for one in told) for told in turns.settled()] == [few, few]
    with pytest.raises(StudyError, match=r"^harp: .* proposals in a row were known or beyond"):
        evaluate(Turns(harps, few + 1))


def test_an_error_says_whose_it_is_and_a_failure_reaches_the_right_study(tmp_path, monkeypatch):
    turns = Turns(members(tmp_path), 12)
    candidate = turns.ask()
    turns.fail(candidate.number, "no luck")
    assert [trial.user_attrs.get("failure") for trial in load(tmp_path / "abacus").trials] == ["no luck"]
    turns = Turns(members(tmp_path), 12)

    def none_left(self):
        raise StudyError("nothing new")

    monkeypatch.setattr("nas.study.SearchStudy.ask", none_left)
    with pytest.raises(StudyError, match=r"^abacus: nothing new"):
        turns.ask()
