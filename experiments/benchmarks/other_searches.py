"""Searches of others on a table, for `search_quality.py`: the rows that each evaluates, in order, every row once.

A repeat costs nothing here, although none of them keeps what it knows.
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import optuna
from numpy.typing import NDArray

from experiments.benchmarks.search_problems import LOOSE, Floats, Problem
from nas.core.landscape import Genes
from nas.strategies.sampling import distributions

Rows = Iterator[int]
PATIENCE = 1600
"""Proposals after which a search that repeats itself is given up: only what is new counts as an evaluation."""
PATIENCE_WITH = {"optuna tpe": 800}
"""With one that takes up to half a second a proposal, and repeats nearly all of them by then."""


def distinct(name: str, proposals: Rows, count: int) -> list[int]:
    """The first `count` distinct rows that the search of that name proposes."""
    found: dict[int, None] = {}
    for number, row in enumerate(proposals):
        found[row] = None
        if len(found) == count or number > PATIENCE_WITH.get(name, PATIENCE):
            break
    return list(found)


def optuna_search(make: Callable[[int], optuna.samplers.BaseSampler]) -> Callable[[Problem, int], Rows]:
    """Optuna with a sampler of its own, as its manual says."""

    def rows(problem: Problem, seed: int) -> Rows:
        landscape, shown = problem.table.landscape(LOOSE), problem.shown(seed)
        parameters = distributions(landscape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(directions=["maximize", "minimize"], sampler=make(seed))
        while True:
            trial = study.ask(parameters)
            row = int(problem.table.rows(np.array([[trial.params[name] for name in landscape.names]]))[0])
            study.tell(trial, [float(shown[row]), float(problem.table.latency_ms[row])])
            yield row

    return rows


def pymoo_nsga2(problem: Problem, seed: int) -> Rows:
    """NSGA-II of pymoo for integers, as its manual says, with a population of 20."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem as Asked
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    options = np.array([gene.options for gene in problem.table.genes])
    shown = problem.shown(seed)
    asked = Asked(n_var=len(options), n_obj=2, xl=0, xu=options - 1, vtype=int)
    algorithm = NSGA2(
        pop_size=20,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    algorithm.setup(asked, termination=("n_gen", 10_000), seed=seed, verbose=False)
    while algorithm.has_next():
        population = algorithm.ask()
        rows = problem.table.rows(population.get("X").astype(int))
        population.set("F", np.stack([-shown[rows], problem.table.latency_ms[rows]], axis=1))
        yield from (int(row) for row in rows)
        algorithm.tell(infills=population)


POPULATION, MUTATION, PARENTS = 100, 0.1, 0.25


def ofa_evolution(problem: Problem, seed: int, limit_ms: float | None = None) -> Rows:
    """Once-for-All's evolution (Cai et al. 2020): the most accurate quarter within a limit are parents, half of the children mutate.

    It answers for one limit. Without one, for a whole front, every generation has the next of ten limits from the fastest to the
    slowest, and everything evaluated so far is its population: kinder to it than a run for each limit.
    """
    rng = np.random.default_rng((seed, 5))
    options = np.array([gene.options for gene in problem.table.genes])
    shown, ms = problem.shown(seed), problem.table.latency_ms
    limits = [limit_ms] if limit_ms else list(np.geomspace(ms.min() * 1.05, ms.max(), 10)[rng.permutation(10)])

    def lawful(make: Callable[[], Genes], limit: float) -> int:
        for _ in range(10_000):
            row = int(problem.table.rows(make()[None])[0])
            if ms[row] <= limit:
                return row
        return int(ms.argmin())

    widest = max(limits)
    population = [lawful(lambda: rng.integers(0, options), widest) for _ in range(POPULATION)]
    yield from population
    generation = 0
    while True:
        limit = limits[generation % len(limits)]
        generation += 1
        within = [row for row in dict.fromkeys(population) if ms[row] <= limit] or [int(ms.argmin())]
        parents = sorted(within, key=lambda row: -shown[row])[: int(PARENTS * POPULATION)]
        cells = problem.table.cells[parents]

        def mutated(cells: Genes = cells) -> NDArray[np.int64]:
            child = cells[rng.integers(len(cells))].astype(np.int64)
            return np.where(rng.random(len(options)) < MUTATION, rng.integers(0, options), child)

        def crossed(cells: Genes = cells) -> NDArray[np.int64]:
            pair = cells[rng.integers(len(cells), size=2)].astype(np.int64)
            return np.where(rng.random(len(options)) < 0.5, pair[0], pair[1])

        size = POPULATION if limit_ms else POPULATION // 5
        children = [lawful(mutated if number < size // 2 else crossed, limit) for number in range(size)]
        yield from children
        population = [*parents, *children] if limit_ms else [*population, *children]


OTHERS: dict[str, Callable[[Problem, int], Rows]] = {
    "optuna nsga2": optuna_search(lambda seed: optuna.samplers.NSGAIISampler(seed=seed)),
    "optuna tpe": optuna_search(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "pymoo nsga2": pymoo_nsga2,
    "ofa evolution": ofa_evolution,
}


def true_accuracy(problem: Problem, limit_ms: float) -> float:
    """Of the best row within `limit_ms`."""
    fits: Floats = problem.table.accuracy[problem.table.latency_ms <= limit_ms]
    return float(fits.max())
