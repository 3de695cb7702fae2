"""Every strategy: legal, new and affordable proposals, decided by the seed, resumable at any moment; each beats chance."""

import statistics

import numpy as np
import optuna
import pytest

from nas import strategies
from nas.core.budget import Budget
from nas.core.errors import UnknownNameError
from nas.core.objectives import DEFAULT, Objectives
from nas.core.pareto import hypervolume
from nas.strategies.sampling import distributions
from nas.study import load
from tests.executors.fakes import SPACE, TWELVE, costs, everything, price, run, shape
from tests.strategies.problems import LOOSE, read, space_landscape, space_search, table_run, table_search, write_table

NAMES = strategies.names()
TRIALS = 24
THREE = Objectives(("accuracy", "latency", "size"))
PRICED = ("differentiable", "gp", "local_search", "predictor_guided", "regularized_evolution", "reinforce")
"""Those that know prices, and so propose nothing beyond the budget."""


def slow(names):
    """Names as parameters; that of the one whose fits take long is for `make test-all`."""
    return [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in names]


@pytest.fixture(autouse=True)
def instant_disk(monkeypatch):
    """No waiting for the disk."""
    monkeypatch.setattr("nas.study_journal.os.fsync", lambda handle: None)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return read(write_table(tmp_path_factory.mktemp("table") / "small.csv"))


def test_there_are_strategies():
    assert {"nsga2", "nsga3", "random", "tpe", *PRICED} == set(NAMES)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'predictor_guided'"):
        strategies.load("predictorguided", space_landscape(), 0)


@pytest.mark.parametrize("name", slow(NAMES))
def test_its_proposals_are_legal_new_and_complete(name, table, tmp_path):
    study = table_search(tmp_path, table, name, TRIALS)
    assert len(set(table_run(table, study))) == TRIALS
    trials = load(tmp_path).trials
    genes = np.array([[trial.params[gene.name] for gene in table.genes] for trial in trials])
    assert (table.rows(genes) >= 0).all(), "a proposal has no row"
    assert len(trials) == len(np.unique(genes, axis=0)), "something was proposed twice"


@pytest.mark.parametrize("name", slow(NAMES))
def test_the_seed_decides(name, table, tmp_path):
    found = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / folder).mkdir()
        found.append(table_run(table, table_search(tmp_path / folder, table, name, TRIALS, seed=seed)))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("name", slow(NAMES))
def test_stopped_before_every_result_it_proposes_the_same(name, table, tmp_path):
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole = table_search(tmp_path / "whole", table, name, TRIALS)
    table_run(table, whole)
    stops = 0
    while (study := table_search(tmp_path / "parts", table, name, TRIALS)).evaluated < TRIALS:
        candidate = study.ask()
        study.tell(candidate.number, table.evaluation(candidate.architecture))
        study.ask()  # never told: the process ends here
        stops += 1
    assert stops == TRIALS
    assert shape(study) == shape(whole)


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_all_that_is_within_a_narrow_budget(name, table, tmp_path):
    limit = Budget(float(np.sort(table.latency_ms)[20]) + 1e-9)
    done = table_run(table, table_search(tmp_path, table, name, 15, budget=limit))
    assert len(done) == 15 and all(limit.holds(table.costs(one)) for one in done)
    if name in PRICED:
        assert len(load(tmp_path).trials) == 15, "what is beyond the budget need not be proposed"


@pytest.mark.parametrize("name", slow(PRICED))
def test_in_a_space_it_keeps_to_every_limit_at_once(name, tmp_path):
    needs = [costs(one) for one in everything(SPACE)]
    limit = Budget(sorted(one.latency.high_ms for one in needs)[len(needs) // 4], sorted(one.size_mb for one in needs)[len(needs) // 3])
    done = run(tmp_path, space_search(tmp_path, name, 20, budget=limit))
    assert len(set(done)) == 20 and all(limit.holds(costs(one)) for one in done)


@pytest.mark.parametrize("name", ("nsga2", "predictor_guided"))
def test_stopped_in_a_space_it_proposes_the_same(name, tmp_path):
    limit = Budget(sorted(price(one).total.high_ms for one in everything(SPACE))[200])
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole = space_search(tmp_path / "whole", name, 24, budget=limit)
    run(tmp_path / "whole", whole)
    for trials in (3, 7, 16, 17, 24):
        run(tmp_path / "parts", space_search(tmp_path / "parts", name, trials, budget=limit))
    assert shape(whole) == shape(space_search(tmp_path / "parts", name, 24, budget=limit))


@pytest.mark.parametrize("name", slow(NAMES))
def test_it_goes_through_a_small_space(name, tmp_path):
    assert set(run(tmp_path, space_search(tmp_path, name, 12, space=TWELVE))) == everything(TWELVE)


@pytest.mark.parametrize("name", PRICED)
def test_with_several_on_their_way_all_are_different(name, table, tmp_path):
    study = table_search(tmp_path, table, name, 60)
    candidates = [study.ask() for _ in range(24)]
    for candidate in candidates[::-1]:
        study.tell(candidate.number, table.evaluation(candidate.architecture))
    candidates += [study.ask() for _ in range(24)]
    assert len({candidate.architecture for candidate in candidates}) == 48
    assert len(load(tmp_path).trials) == 48


@pytest.mark.parametrize("name", slow(NAMES))
def test_with_three_objectives_it_is_legal_new_and_resumable(name, table, tmp_path):
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole = table_search(tmp_path / "whole", table, name, 20, objectives=THREE)
    assert len(set(table_run(table, whole))) == 20
    for trials in (5, 17, 20):
        parts = table_search(tmp_path / "parts", table, name, trials, objectives=THREE)
        table_run(table, parts)
    assert shape(parts) == shape(whole)
    assert [len(trial.values) for trial in load(tmp_path / "whole").trials] == [3] * len(whole.study.trials)


@pytest.mark.parametrize("name", PRICED)
def test_with_three_objectives_in_a_space_it_keeps_to_the_budget(name, tmp_path):
    limit = Budget(1000.0, macs=sorted(costs(one).macs for one in everything(SPACE))[200])
    done = run(tmp_path, space_search(tmp_path, name, 20, budget=limit, objectives=Objectives(("accuracy", "latency", "macs"))))
    assert len(set(done)) == 20 and all(limit.holds(costs(one)) for one in done)


@pytest.mark.parametrize("name", slow(NAMES))
def test_asked_something_else_it_goes_on_from_what_is_known(name, table, tmp_path):
    """What is beyond the new budget may teach, but is proposed by nobody who knows prices."""
    known = table_run(table, table_search(tmp_path, table, "random", 30))
    limit = Budget(float(np.median(table.latency_ms)))
    study = table_search(tmp_path, table, name, 40, budget=limit, objectives=THREE)
    before = study.evaluated
    more = table_run(table, study)
    assert before + len(more) == 40 and not set(more) & set(known) and all(limit.holds(table.costs(one)) for one in more)


def reached(name, table, seed, trials=60, objectives=DEFAULT):
    """Hypervolume that a strategy reaches."""
    landscape = table.landscape(LOOSE, objectives)
    sampling = strategies.load(name, landscape, seed)
    study = optuna.create_study(directions=list(objectives.directions))
    figures = table.figures(objectives)
    told = []
    for number in range(trials):
        study.sampler = sampling(seed * 1000 + number)
        trial = study.ask(distributions(landscape))
        row = int(table.rows(np.array([list(trial.params.values())]))[0])
        study.tell(trial, [float(table.accuracy[row]), *map(float, figures[row])])
        told.append((-table.accuracy[row], *figures[row]))
    return hypervolume(told, (-float(table.accuracy.min()), *figures.max(axis=0)))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Nearly 6,000 rows of 8 genes, a tenth of them missing."""
    return read(write_table(tmp_path_factory.mktemp("table") / "large.csv", keep=0.9, genes=(3,) * 8, seed=5))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("random", "nsga3")])
def test_it_beats_chance_on_a_known_front(name, large):
    drawn = statistics.median(reached("random", large, seed) for seed in range(5))
    assert statistics.median(reached(name, large, seed) for seed in range(5)) > drawn


@pytest.mark.slow
@pytest.mark.parametrize("name", ["differentiable", "gp", "local_search", "predictor_guided", "reinforce", "tpe"])
def test_it_beats_chance_with_three_objectives(name, large):
    drawn = statistics.median(reached("random", large, seed, objectives=THREE) for seed in range(5))
    assert statistics.median(reached(name, large, seed, objectives=THREE) for seed in range(5)) > drawn


def test_the_default_finds_nearly_the_whole_front(large):
    whole = [(-accuracy, ms) for accuracy, ms in zip(large.accuracy, large.latency_ms, strict=True)]
    best = hypervolume(whole, (-float(large.accuracy.min()), float(large.latency_ms.max())))
    assert reached("predictor_guided", large, 0) > 0.97 * best
