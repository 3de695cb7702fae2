"""What strategies are made of: improvement against sampling, moves that stay within their bounds, histories that grow."""

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.budget import Budget
from nas.core.pareto import hypervolume
from nas.strategies import differentiable, predictor_guided
from nas.strategies.history import History, Reader, key
from nas.strategies.improvement import Volumes, best_so_far, expected, leaders
from nas.strategies.moves import feasible, mutated, settle
from nas.strategies.plan import planned
from nas.strategies.policy import Policy
from nas.strategies.sampling import distributions
from tests.executors.fakes import SPACE
from tests.strategies.problems import read, space_landscape, write_table

POINTS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=12)


@given(POINTS, st.floats(0, 25), st.integers(1, 25))
def test_a_certain_gain_is_the_hypervolume_that_it_adds(points, accuracy, ms):
    told = np.array(points, dtype=np.float64)
    front = best_so_far(told[:, 0], told[:, 1])
    gain = expected(np.array([accuracy]), np.array([1e-9]), np.array([float(ms)]), front, -1.0, 22.0)[0]
    losses = [(-a, m) for a, m in points]
    added = hypervolume([*losses, (-accuracy, ms)], (1.0, 22.0)) - hypervolume(losses, (1.0, 22.0))
    assert gain == pytest.approx(added, abs=1e-6)


def test_an_uncertain_gain_is_the_mean_of_what_may_come():
    rng = np.random.default_rng(0)
    front = (np.array([60.0, 70.0, 75.0]), np.array([1.0, 2.0, 4.0]))
    mean, std, ms = np.array([68.0, 74.0]), np.array([3.0, 2.0]), np.array([1.5, 3.0])
    gain = expected(mean, std, ms, front, 50.0, 6.0)
    for at in range(2):
        drawn = mean[at] + std[at] * rng.standard_normal(40_000)
        steps = [(max(lo, ms[at]), hi, level) for lo, hi, level in ((1.0, 2.0, 60.0), (2.0, 4.0, 70.0), (4.0, 6.0, 75.0)) if hi > ms[at]]
        sampled = np.mean(sum((hi - lo) * np.maximum(drawn - level, 0) for lo, hi, level in steps))
        assert gain[at] == pytest.approx(sampled, rel=0.03)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20), st.integers(1, 20)), max_size=10), st.floats(0, 25), st.integers(0, 99))
def test_with_two_costs_a_certain_gain_is_about_the_hypervolume_that_it_adds(points, accuracy, seed):
    told = np.array(points, dtype=np.float64).reshape(-1, 3)
    costs = np.random.default_rng(seed).uniform(1, 20, 2)
    given = np.array([accuracy]), np.array([1e-9]), costs[None]
    gain = Volumes(np.ones(2), np.full(2, 22.0)).expected(*given, (told[:, 0], told[:, 1:]), -1.0)[0]
    losses = [(-a, *cost) for a, *cost in told]
    corner = (1.0, 22.0, 22.0)
    added = hypervolume([*losses, (-accuracy, *costs)], corner) - hypervolume(losses, corner)
    assert gain == pytest.approx(added, abs=0.02 * 26 * 21 * 21)


def test_with_one_cost_volumes_are_the_exact_areas():
    front = (np.array([60.0, 70.0, 75.0]), np.array([1.0, 2.0, 4.0]))
    mean, std, ms = np.array([68.0, 74.0]), np.array([3.0, 2.0]), np.array([1.5, 3.0])
    counted = Volumes(np.array([1.0]), np.array([6.0])).expected(mean, std, ms[:, None], (front[0], front[1][:, None]), 50.0)
    assert counted == pytest.approx(expected(mean, std, ms, front, 50.0, 6.0), rel=0.01)


@given(POINTS, st.integers(0, 99))
def test_leaders_are_within_the_budget_and_beaten_by_nobody_there(points, seed):
    rng = np.random.default_rng(seed)
    told = np.array(points, dtype=np.float64)
    within = rng.random(len(told)) < 0.7
    for costs in (told[:, 1:], np.column_stack([told[:, 1], rng.integers(1, 4, len(told))]).astype(np.float64)):
        history = History(np.zeros((len(told), 1), dtype=np.int32), told[:, 0], costs, within, set(), 0)
        losses = np.column_stack([-history.accuracy, costs])
        found = leaders(history)
        assert within[found].all()
        for one in np.flatnonzero(within):
            beaten = any((losses[other] <= losses[one]).all() and (losses[other] < losses[one]).any() for other in np.flatnonzero(within))
            assert not (beaten and one in found) and (beaten or any((losses[one] == losses[other]).all() for other in found))


@given(POINTS)
def test_the_front_so_far_rises_in_both(points):
    told = np.array(points, dtype=np.float64)
    accuracy, ms = best_so_far(told[:, 0], told[:, 1])
    assert (np.diff(accuracy) > 0).all() and (np.diff(ms) > 0).all()
    for a, m in points:
        assert ((accuracy >= a) & (ms <= m)).any(), "somebody on the front is at least as good"


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(1, 4), st.integers(0, 99))
def test_a_mutation_changes_as_many_genes_as_it_should(options, changes, seed):
    rng = np.random.default_rng(seed)
    parents = np.stack([rng.integers(0, count, 20) for count in options], axis=1).astype(np.int32)
    children = mutated(parents, tuple(options), np.full(20, changes), rng)
    free = sum(count > 1 for count in options)
    assert ((children != parents).sum(axis=1) == min(changes, free)).all()
    assert (children >= 0).all() and (children < np.array(options)).all()


def test_what_is_known_or_too_slow_moves_to_its_nearest_neighbour(tmp_path):
    table = read(write_table(tmp_path / "table.csv"))
    limit = Budget(float(np.median(table.latency_ms)))
    landscape, rng = table.landscape(limit), np.random.default_rng(0)
    slow = table.cells[int(table.latency_ms.argmax())]
    moved = settle(landscape, slow, set(), True, rng)
    assert landscape.price(moved[None]).feasible[0] and table.rows(moved[None])[0] >= 0
    assert settle(landscape, slow, set(), False, rng).tolist() == slow.tolist()
    known = settle(landscape, slow, {key(slow)}, False, rng)
    assert (known != slow).sum() == 1


def test_when_all_is_known_it_says_so_by_repeating(tmp_path):
    table = read(write_table(tmp_path / "table.csv", keep=0.1))
    everything = {key(cells) for cells in table.cells}
    found = settle(table.landscape(Budget(1000.0)), table.cells[0], everything, True, np.random.default_rng(0))
    assert key(found) in everything


def test_a_tight_budget_is_found_by_evolution():
    landscape = space_landscape()
    fastest = float(landscape.price(landscape.starts).costs.min())
    tight = space_landscape(Budget(fastest * 1.2))
    found = feasible(tight, 64, np.random.default_rng(0))
    assert len(found) >= 3 and tight.price(found).feasible.all()


def test_probabilities_of_a_gene_add_up_to_one_and_draws_follow_them():
    policy = Policy((2, 3), np.log(np.array([0.25, 0.75, 0.2, 0.2, 0.6])))
    assert policy.probabilities() == pytest.approx([0.25, 0.75, 0.2, 0.2, 0.6])
    drawn = policy.chosen(policy.draw(20_000, np.random.default_rng(0)))
    assert drawn.mean(axis=0) == pytest.approx(policy.probabilities(), abs=0.02)


@pytest.mark.parametrize("options", [(3, 4, 5), (3, 40, 500)], ids=str)
def test_what_options_add_is_the_same_whichever_way_it_is_solved(options):
    rng = np.random.default_rng(0)
    genes = np.stack([rng.integers(count, size=60) for count in options], axis=1).astype(np.int32)
    values = rng.random(60)
    one = differentiable._Differentiable.__new__(differentiable._Differentiable)
    one._start = Policy.uniform(options)
    rows = one._start.chosen(genes)
    centred = rows - rows.mean(axis=0)
    expected = np.linalg.solve(centred.T @ centred + differentiable.RIDGE * np.eye(rows.shape[1]), centred.T @ (values - values.mean()))
    assert one._fitted(genes, values) == pytest.approx(expected, abs=1e-9)


def test_of_a_large_table_the_neighbours_of_the_front_are_looked_at_and_others():
    rng = np.random.default_rng(0)
    whole = np.unique(rng.integers(4, size=(5000, 8)), axis=0).astype(np.int32)
    leading = whole[[7, 400]]
    found = predictor_guided.near(whole, leading, 1000, np.random.default_rng(1))
    differ = (whole[:, None] != leading).sum(axis=2).min(axis=1)
    rows = {key(row) for row in found}
    chosen = np.array([key(row) in rows for row in whole])
    assert chosen[differ <= np.sort(differ)[499] - 1].all(), "nearer ones than the 500th are all there"
    assert 900 <= len(found) <= 1000 and chosen[differ > np.sort(differ)[499]].sum() > 300, "half are at random"
    assert len(predictor_guided.near(whole, leading[:0], 1000, np.random.default_rng(1))) > 850


@given(st.integers(0, 3000))
def test_plans_rest_on_evaluations_that_are_there_and_are_renewed_often(evaluated):
    base = planned(evaluated)
    assert base <= evaluated and planned(base) == base
    assert evaluated - base < max(12, 4, evaluated // 16 + 1)


def test_a_history_holds_what_was_told_once_and_in_order():
    landscape = space_landscape()
    parameters = distributions(landscape)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0))
    reader = Reader(landscape)
    trials = [study.ask(parameters) for _ in range(6)]
    study.tell(trials[0], [0.5, 1.0])
    study.tell(trials[2], [float("-inf"), 9.0])  # beyond the budget
    study.tell(trials[3], state=optuna.trial.TrialState.FAIL)  # a process ended
    trials[4].set_user_attr("failure", "no such luck")
    study.tell(trials[4], state=optuna.trial.TrialState.FAIL)
    first = reader.read(study, current=5)
    assert first.accuracy.tolist() == [0.5] and first.waiting == 1 and len(first.seen) == 4
    study.tell(trials[1], [0.7, 2.0])
    again = study.ask(parameters)
    study.enqueue_trial(trials[0].params)
    repeat = study.ask(parameters)
    study.tell(repeat, [0.5, 1.0])
    later = reader.read(study, current=again.number)
    assert later.accuracy.tolist() == [0.5, 0.7] and later.costs.tolist() == [[1.0], [2.0]] and later.within.all()
    fresh = Reader(landscape).read(study, current=again.number)
    assert (fresh.genes == later.genes).all() and fresh.seen == later.seen, "a new process reads the same"
    canonical = [SPACE.architecture([trials[at].params[gene.name] for gene in SPACE.genes]).genes for at in (0, 1)]
    assert [tuple(map(int, genes)) for genes in later.genes] == canonical
