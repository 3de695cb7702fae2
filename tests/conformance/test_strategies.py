"""Every strategy: legal proposals, decided by the seed, resumable at any moment; NSGA-II earns its place over chance."""

import statistics

import optuna
import pytest

from nas import strategies
from nas.core.budget import Budget
from nas.core.errors import UnknownNameError
from nas.core.pareto import hypervolume
from nas.study import load
from tests.executors.fakes import SPACE, TWELVE, costs, evaluation, everything, price, run, search, shape

NAMES = strategies.names()
TRIALS = 40


def test_there_are_strategies():
    assert {"nsga2", "random"} <= set(NAMES)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'nsga2'"):
        strategies.load("nsga3")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_function_from_a_seed_to_a_sampler(name):
    assert isinstance(strategies.load(name)(7), optuna.samplers.BaseSampler)


@pytest.mark.parametrize("name", NAMES)
def test_its_proposals_are_legal_and_complete(name, tmp_path):
    study = search(tmp_path, TRIALS, strategy=name)
    assert len(set(run(tmp_path, study))) == TRIALS
    for trial in load(tmp_path).trials:
        assert list(trial.params) == [gene.name for gene in SPACE.genes]
        assert all(0 <= trial.params[gene.name] < gene.options for gene in SPACE.genes)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name, tmp_path):
    found = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / folder).mkdir()
        found.append(run(tmp_path, search(tmp_path / folder, TRIALS, seed=seed, strategy=name)))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("name", NAMES)
def test_stopped_before_every_result_it_proposes_the_same(name, tmp_path):
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole = search(tmp_path / "whole", TRIALS, strategy=name)
    run(tmp_path, whole)
    stops = 0
    while (study := search(tmp_path / "parts", TRIALS, strategy=name)).evaluated < TRIALS:
        candidate = study.ask()
        study.tell(candidate.number, evaluation(candidate.architecture))
        study.ask()  # never told: the process ends here
        stops += 1
    assert stops == TRIALS
    assert shape(study) == shape(whole)


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_its_way_to_a_narrow_budget(name, tmp_path):
    limit = Budget(sorted(price(one).total.high_ms for one in everything(SPACE))[40])
    study = search(tmp_path, 15, budget=limit, strategy=name)
    done = run(tmp_path, study)
    assert len(done) == 15 and all(limit.holds(costs(one)) for one in done)


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_through_a_small_space(name, tmp_path):
    assert set(run(tmp_path, search(tmp_path, 12, space=TWELVE, strategy=name))) == everything(TWELVE)


SHARP = 15
"""Decisions of the problem below, of three options each: 14 million points, of which 16 are on the front."""


def reached(name, seed, trials=200):
    """Hypervolume that strategy `name` reaches on the problem below."""
    distributions = {f"x{i}": optuna.distributions.IntDistribution(0, 2) for i in range(SHARP)}
    study = optuna.create_study(directions=["maximize", "minimize"])
    told = []
    for number in range(trials):
        study.sampler = strategies.load(name)(seed * 1000 + number)
        trial = study.ask(distributions)
        genes = list(trial.params.values())
        accuracy, latency_ms = sum(gene == 2 for gene in genes) / SHARP, sum(gene > 0 for gene in genes) / SHARP
        study.tell(trial, [accuracy, latency_ms])
        told.append((-accuracy, latency_ms))
    return hypervolume(told, (0.0, 1.01))


def test_nsga2_beats_chance_on_a_known_front():
    """Each decision costs where it is not 0 and pays where it is 2: the front is all those without a 1."""
    best = hypervolume([(-k / SHARP, k / SHARP) for k in range(SHARP + 1)], (0.0, 1.01))
    evolved = [reached("nsga2", seed) / best for seed in range(5)]
    drawn = [reached("random", seed) / best for seed in range(5)]
    assert statistics.median(evolved) > statistics.median(drawn) + 0.07, (evolved, drawn)
    assert max(*evolved, *drawn) <= 1.0
