"""Another question for the same study: what is known is told again, and nothing is evaluated twice."""

import json
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from nas.core.budget import Budget
from nas.core.errors import ObjectivesError, StudyError
from nas.core.objectives import DEFAULT, Objectives
from nas.study import FILE_NAME, load, records
from tests.executors.fakes import LOOSE, SPACE, TWELVE, accuracy, costs, evaluation, everything, macs, price, run, search, shape

HIGH_MS = sorted(price(one).total.high_ms for one in everything(SPACE))
TIGHT = Budget(HIGH_MS[len(HIGH_MS) // 4])
"""A quarter of the tiny space is within it."""
SIZES = Objectives(("latency", "accuracy", "size"))


@pytest.fixture(autouse=True)
def instant_disk(monkeypatch):
    monkeypatch.setattr("nas.study_journal.os.fsync", lambda handle: None)


def told(study):
    """What the study knows of each architecture, whatever it costs."""
    return {record.architecture: record.evaluation for record in study.records if record.evaluation}


def check(folder, study, budget=LOOSE, objectives=DEFAULT, slower=1.0):
    """Values and constraints of every trial are those of today's question, and what the file holds is what the study has."""
    for trial in load(folder).get_trials(states=(TrialState.COMPLETE,)):
        record = next(one for one in study.records if one.architecture.id == trial.user_attrs["candidate"]["id"])
        assert record.costs.latency.ms == pytest.approx(slower * price(record.architecture).total.ms)
        assert trial.values == objectives.values(record.accuracy, record.costs)
        assert dict(trial.constraints) == dict(budget.violations(record.costs))
        assert record.within == budget.holds(record.costs)
    assert records(load(folder)) == list(study.records)


def test_another_budget_goes_on_with_what_is_known(tmp_path):
    first = search(tmp_path, 30)
    done = run(tmp_path, first)
    fitting = [one for one in done if TIGHT.holds(costs(one))]
    assert 3 < len(fitting) < 20, "this seed has some that fit"
    second = search(tmp_path, 20, budget=TIGHT)
    assert second.evaluated == len(fitting) and told(second) == told(first)
    more = run(tmp_path, second)
    assert len(more) == 20 - len(fitting) and not set(more) & set(done) and all(TIGHT.holds(costs(one)) for one in more)
    check(tmp_path, second, TIGHT)
    back = search(tmp_path, 30)
    assert run(tmp_path, back) == [] and back.evaluated == 30 + len(more)
    check(tmp_path, back)
    assert load(tmp_path).study_name == "search-3"


def test_what_the_budget_of_then_ruled_out_is_unknown_now(tmp_path):
    limit = Budget(sorted(price(one).total.high_ms for one in everything(TWELVE))[5])
    first = search(tmp_path, 6, space=TWELVE, budget=limit)
    run(tmp_path, first)
    ruled_out = {record.architecture for record in first.records if record.evaluation is None}
    assert ruled_out
    second = search(tmp_path, 12, space=TWELVE)
    assert not ruled_out & {record.architecture for record in second.records}
    assert ruled_out <= set(run(tmp_path, second)), "they are evaluated like any other"


def test_other_objectives_other_strategy_other_prices(tmp_path):
    first = search(tmp_path, 20)
    done = run(tmp_path, first)
    sizes = search(tmp_path, 20, objectives=SIZES)
    assert run(tmp_path, sizes) == [] and told(sizes) == told(first)
    check(tmp_path, sizes, objectives=SIZES)
    assert load(tmp_path).metric_names == ["latency_ms", "accuracy", "size_mb"]
    assert [direction.name for direction in load(tmp_path).directions] == ["MINIMIZE", "MAXIMIZE", "MINIMIZE"]
    other = search(tmp_path, 22, objectives=SIZES, strategy_name="random")
    more = run(tmp_path, other)
    assert len(more) == 2 and not set(more) & set(done)
    slow = search(tmp_path, 22, objectives=SIZES, strategy_name="random", slower=2.0)
    assert run(tmp_path, slow) == [] and told(slow) == told(other)
    check(tmp_path, slow, objectives=SIZES, slower=2.0)
    timed = search(tmp_path, 22, objectives=SIZES, strategy_name="random", slower=2.0, price_list="one network was timed")
    assert timed.evaluated == 22 and load(tmp_path).study_name == "search-5"


def test_the_same_question_goes_on_in_the_same_study(tmp_path):
    for trials in (5, 9):
        run(tmp_path, search(tmp_path, trials, budget=TIGHT, strategy_name="nsga2"))
    before = (tmp_path / FILE_NAME).read_bytes()
    assert search(tmp_path, 9, budget=Budget(TIGHT.latency_ms), strategy_name="nsga2").evaluated == 9
    assert (tmp_path / FILE_NAME).read_bytes() == before and load(tmp_path).study_name == "search"


def test_it_ends_the_same_wherever_the_second_question_is_stopped(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    for folder in ("whole", "parts"):
        run(tmp_path, search(tmp_path / folder, 15))
    whole = search(tmp_path / "whole", 20, budget=TIGHT)
    run(tmp_path, whole)
    for trials in (14, 17, 20):
        run(tmp_path, search(tmp_path / "parts", trials, budget=TIGHT))
        search(tmp_path / "parts", trials + 1, budget=TIGHT).ask()  # never told: the process ends here
    assert shape(search(tmp_path / "parts", 20, budget=TIGHT)) == shape(whole)


def test_cut_at_any_line_of_its_beginning_the_study_of_before_is_whole_and_it_begins_again(tmp_path):
    first = search(tmp_path, 5)
    run(tmp_path, first)
    path = tmp_path / FILE_NAME
    before = path.read_bytes()
    search(tmp_path, 5, budget=TIGHT)
    begun = path.read_bytes()
    lines = begun[len(before) :].splitlines(keepends=True)
    assert begun.startswith(before) and len(lines) > 5
    wanted = shape(search(tmp_path, 5, budget=TIGHT))
    for kept in range(len(lines)):
        torn = before + b"".join(lines[:kept]) + lines[kept][: 9 * (kept % 2)]
        path.write_bytes(torn)
        assert load(tmp_path).study_name == "search" and records(load(tmp_path)) == list(first.records)
        assert search(tmp_path, 5).evaluated == 5 and path.read_bytes() == before, "the first question goes on"
        path.write_bytes(torn)
        assert shape(search(tmp_path, 5, budget=TIGHT)) == wanted
        assert load(tmp_path).study_name == "search-2"


def test_a_study_that_does_not_say_what_it_asks_is_taken_at_its_figures(tmp_path):
    """Runs of version 0.1."""
    first = search(tmp_path, 12, budget=TIGHT)
    run(tmp_path, first)
    path = tmp_path / FILE_NAME
    old = b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b'"question"' not in line)
    path.write_bytes(old)
    assert shape(search(tmp_path, 12, budget=TIGHT)) == shape(first) and load(tmp_path).study_name == "search"
    path.write_bytes(old)
    assert search(tmp_path, 12).evaluated == 12 and load(tmp_path).study_name == "search-2"


def rejected(architecture, share=0.4):
    return replace(evaluation(architecture), accuracy=share, rejected_after=250)


def test_an_evaluation_that_was_stopped_early_is_made_again_only_if_it_would_be_on_the_front(tmp_path):
    least, other, *_, most = sorted(everything(SPACE), key=macs)
    known = [(most, replace(evaluation(most), accuracy=0.9)), (least, rejected(least, 0.5)), (other, rejected(other, 0.4))]
    study = search(tmp_path, 3, known=known, objectives=Objectives(("accuracy", "macs")))
    assert {one.architecture for one in study.records} == {most}, "nobody needs less than these two: they are not taken at their word"
    assert [study.ask().architecture for _ in range(2)] == [least, other], "but looked at first"


def test_kept_as_it_is_where_others_are_better_all_the_same(tmp_path):
    first = search(tmp_path, 4)
    slow = max(everything(SPACE), key=lambda one: price(one).total.ms)
    done = run(tmp_path, first)
    again = search(tmp_path, 5, first=[slow])
    candidate = again.ask()
    assert candidate.architecture == slow and candidate.accuracy_to_beat == max(map(accuracy, done))
    again.tell(candidate.number, rejected(slow))
    later = search(tmp_path, 5, objectives=SIZES)
    assert later.ask() is None and told(later)[slow] == rejected(slow)


def test_early_rejection_needs_somebody_better_in_everything(tmp_path):
    """What is slow and small may be on the front however little it knows."""
    study = search(tmp_path, 30, objectives=SIZES)
    while candidate := study.ask():
        better = [
            one.accuracy
            for one in study.records
            if one.latency.ms <= candidate.costs.latency.ms and one.costs.size_mb <= candidate.costs.size_mb
        ]
        assert candidate.accuracy_to_beat == max(better, default=float("-inf"))
        study.tell(candidate.number, evaluation(candidate.architecture))


def elsewhere(count, seed=9):
    """Evaluations of another search."""
    return [(one, evaluation(one)) for one in sorted(everything(SPACE), key=lambda one: one.id)[seed : seed + count]]


def test_what_was_evaluated_elsewhere_is_known_and_does_not_count(tmp_path):
    known = elsewhere(20)
    study = search(tmp_path, 10, known=known)
    assert study.evaluated == 0 and told(study) == dict(known) and all(record.learned for record in study.records)
    done = run(tmp_path, study)
    assert len(done) == 10 and not set(done) & {one for one, _ in known}
    before = load(tmp_path).trials
    again = search(tmp_path, 10, known=[*known, (done[0], rejected(done[0]))])
    assert again.ask() is None and load(tmp_path).trials == before, "what is there is skipped"
    more = search(tmp_path, 12, known=elsewhere(30, 0))
    assert more.evaluated == 10 and told(more) == {**told(study), **dict(elsewhere(30, 0)), **{one: evaluation(one) for one in done}}
    other = search(tmp_path, 12, budget=TIGHT)
    assert told(other) == told(more)
    assert {one.architecture for one in other.records if one.learned} == {one.architecture for one in more.records if one.learned}
    check(tmp_path, other, TIGHT)
    assert all(trial.user_attrs.get("learned") or trial.user_attrs.get("told_again") for trial in load(tmp_path).trials)


def test_some_are_looked_at_first_whenever_it_is_stopped(tmp_path):
    wanted = sorted(everything(SPACE), key=lambda one: one.id)[:6]
    fits = [one for one in wanted if LOOSE.holds(costs(one))]
    done = []
    for trials in range(1, 9):
        study = search(tmp_path, trials, first=wanted)
        candidate = study.ask()
        study.tell(candidate.number, evaluation(candidate.architecture))
        done.append(candidate.architecture)
        search(tmp_path, trials + 1, first=wanted).ask()  # never told
    assert done[:6] == fits and len(set(done)) == 8
    assert search(tmp_path, 30, budget=Budget(1e-3), first=wanted)._first == [], "what does not fit is not proposed"


def test_one_that_fails_is_not_looked_at_first_again(tmp_path):
    wanted = sorted(everything(SPACE), key=lambda one: one.id)[:2]
    study = search(tmp_path, 3, first=wanted)
    study.fail(study.ask().number, "no such luck")
    assert study.ask().architecture == wanted[1]
    assert search(tmp_path, 3, first=wanted).ask().architecture == wanted[1]


def test_when_all_that_fits_is_known_it_ends(tmp_path):
    fits = [one for one in everything(SPACE) if TIGHT.holds(costs(one))]
    study = search(tmp_path, 500, budget=TIGHT, known=[(one, evaluation(one)) for one in fits[:-1]], answers=len(fits))
    assert run(tmp_path, study) == fits[-1:]


def test_another_space_is_refused_with_both_names(tmp_path):
    run(tmp_path, search(tmp_path, 3))
    for budget in (LOOSE, TIGHT):
        with pytest.raises(StudyError, match=f"was begun with {SPACE.key}, now it is {TWELVE.key}: give --fresh"):
            search(tmp_path, 3, space=TWELVE, budget=budget)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(StudyError, match=f"was begun with {SPACE.key}"):
        search(other, 3, space=TWELVE, known=elsewhere(1))


def test_an_objective_that_nobody_knows_is_refused_at_once(tmp_path):
    study = search(tmp_path, 3, objectives=Objectives(("accuracy", "energy")))
    with pytest.raises(ObjectivesError, match="energy is not known"):
        study.ask()


def test_the_question_stands_in_the_file(tmp_path):
    search(tmp_path, 3, budget=Budget(1.0, macs=5e6), objectives=SIZES, strategy_name="nsga2")
    question = load(tmp_path).user_attrs["question"]
    assert question.pop("prices") and json.loads(json.dumps(question)) == {
        "budget": {"latency": 1.0, "macs": 5e6},
        "objectives": ["latency", "accuracy", "size"],
        "strategy": "nsga2",
    }
