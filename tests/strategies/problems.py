"""Searches whose evaluations cost nothing: a small table with missing rows, and a tiny space on a tiny device."""

import itertools

import numpy as np

from nas import landscapes, strategies
from nas.accuracy import tabular
from nas.core.budget import Budget
from nas.core.objectives import DEFAULT
from nas.study import SearchStudy
from tests.executors.fakes import SPACE, costs, macs
from tests.tiny import CLASSES, Device

LOOSE = Budget(1000.0)


def write_table(path, keep=0.6, genes=(3, 4, 2, 3, 3), seed=0):
    """A table of about `keep` of all combinations; accuracy and latency rise with the genes, not alike and not smoothly."""
    rng = np.random.default_rng(seed)
    rows = [row for row in itertools.product(*map(range, genes)) if rng.random() < keep]
    worth, price = rng.uniform(0.5, 3.0, len(genes)), rng.uniform(0.2, 1.0, len(genes))
    lines = [",".join([*(f"g{i}" for i in range(len(genes))), "accuracy", "latency_ms", "size_mb"])]
    for row in rows:
        accuracy = 60 + worth @ np.sqrt(row) + rng.normal(0, 0.2) - 2 * (row[0] == row[3])
        lines.append(",".join([*map(str, row), f"{accuracy:.4f}", f"{1 + price @ row:.4f}", f"{0.1 + sum(row):.1f}"]))
    path.write_text("\n".join(lines) + "\n")
    return path


def table_search(folder, table, strategy, trials, seed=0, budget=LOOSE, objectives=DEFAULT, **asked):
    """A search in a table."""
    sampling = strategies.load(strategy, table.landscape(budget, objectives), seed)
    given = table, table.costs, table.macs_of, budget, sampling, trials, seed
    return SearchStudy(folder, *given, objectives=objectives, strategy_name=strategy, **asked)


def table_run(table, study):
    """Evaluates to the end; the architectures evaluated."""
    done = []
    while candidate := study.ask():
        done.append(candidate.architecture)
        study.tell(candidate.number, table.evaluation(candidate.architecture))
    return done


def space_landscape(budget=LOOSE, space=SPACE, objectives=DEFAULT):
    """The landscape of a tiny space."""
    costs_of = landscapes.CostTable.of(space, Device(), 1, CLASSES, None)
    return landscapes.of_space(costs_of, Device(), budget, 1, CLASSES, objectives)


def space_search(folder, strategy, trials, seed=0, budget=LOOSE, space=SPACE, objectives=DEFAULT):
    """A search in a tiny space."""
    sampling = strategies.load(strategy, space_landscape(budget, space, objectives), seed)
    return SearchStudy(folder, space, costs, macs, budget, sampling, trials, seed, objectives=objectives, strategy_name=strategy)


def read(path):
    return tabular.read(path)
