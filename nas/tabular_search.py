"""A search in a table (`--space tabular:TABLE.csv`): the study and the strategies of every search, without device, data or training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas import strategies
from nas.accuracy import tabular
from nas.core import plugins
from nas.core.budget import Budget
from nas.core.errors import StudyError
from nas.core.pareto import front, hypervolume
from nas.display import Display
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from nas.study import Record, SearchStudy

PREFIX = "tabular:"
DEVICE = "table"
"""What stands for the device in the settings of such a run: the table has its latencies in it."""
RESULT = "front.json"
SCHEMA = 1
"""Raised whenever a key changes its meaning or goes; new keys may come at any time."""

JsonObject = dict[str, Any]


def is_tabular(space: str) -> bool:
    """Whether a run's space is a table."""
    return space.startswith(PREFIX)


def search(settings: RunSettings, fresh: bool, path: Path, command: str, display: Display) -> "TabularResult":
    """Evaluates as many rows of the table as `settings` ask for, or as are within the budget, or what is left of them.

    Raises:
        DataError: the table cannot be read, or has no column for one of the limits.
        InfeasibleBudgetError: no row is within the budget.
        StudyError: the folder holds another run, or one that was made with another version of the table.
    """
    table = tabular.read(settings.space.removeprefix(PREFIX))
    budget = Budget(settings.budget_ms, settings.max_size_mb, settings.max_memory_mb, settings.max_energy_mj)
    name = plugins.find("nas.strategies", settings.strategy, "strategy")
    feasible = table.feasible(budget)
    landscape = table.landscape(budget)
    trials = min(settings.trials, feasible)
    if trials < settings.trials:
        display.say(f"{feasible:,} rows are within the budget: all of them are evaluated, not {settings.trials:,}.")
    folder = RunFolder(path)
    with folder.claim(settings, fresh) as claim:
        if claim.continues:
            display.say(f"Continuing the run in {path}.")
        folder.save(folder.command, command)
        sampling = strategies.load(name, landscape, settings.seed)
        study = SearchStudy(folder.path, table, table.costs, lambda architecture: 0, budget, sampling, trials, settings.seed)
        _refuse_another_table(table, study.records)
        with display.bar("Searching", trials) as bar, folder.timed("search"):
            bar.at(min(study.evaluated, trials))
            while candidate := study.ask():
                study.tell(candidate.number, table.evaluation(candidate.architecture))
                bar.at(study.evaluated)
        result = TabularResult(settings, name, table, budget, feasible, tuple(study.records))
        folder.save(folder.path / RESULT, result.json())
    return result


def _refuse_another_table(table: tabular.Table, records: Sequence[Record]) -> None:
    if records and records[0].architecture.space != table.key:
        raise StudyError(
            f"the run was begun with another version of {table.path} ({records[0].architecture.space}, now {table.key}): "
            f"give --fresh to start over, or another --out"
        )


@dataclass(frozen=True, slots=True, eq=False)
class TabularResult:
    """What a search in a table found. `feasible` is the number of rows within the budget; `records` are in order."""

    settings: RunSettings
    strategy: str
    table: tabular.Table
    budget: Budget
    feasible: int
    records: tuple[Record, ...]

    @property
    def evaluated(self) -> tuple[Record, ...]:
        """What has an accuracy."""
        return tuple(record for record in self.records if record.evaluation is not None)

    def front(self) -> list[Record]:
        """Those evaluated that no other beats in accuracy and latency, from fastest to slowest; all are within the budget."""
        return front(self.evaluated, _accuracy, lambda record: record.latency.ms)

    def best(self) -> Record:
        """The most accurate within the budget; of equals the fastest."""
        return self.front()[-1]

    def hypervolume(self) -> tuple[float, tuple[float, float]]:
        """Area that the front dominates, and its corner: the table's least accuracy, and the budget or the slowest row if that is less."""
        corner = float(self.table.accuracy.min()), min(self.budget.latency_ms, float(self.table.latency_ms.max()))
        values = [(-_accuracy(record), record.latency.ms) for record in self.evaluated]
        return hypervolume(values, (-corner[0], corner[1])), corner

    def json(self) -> JsonObject:
        """The front and the best within the budget, accuracy in the table's unit; the public interface of such a run."""
        area, corner = self.hypervolume()
        return {
            "schema": SCHEMA,
            "table": str(self.table.path),
            "table_digest": self.table.digest,
            "rows": self.table.size,
            "rows_within_budget": self.feasible,
            "genes": [gene.name for gene in self.table.genes],
            "budget": {_KEYS[metric]: limit for metric, limit in self.budget.limits.items()},
            "strategy": self.strategy,
            "seed": self.settings.seed,
            "trials": self.settings.trials,
            "evaluations": len(self.evaluated),
            "best": self._row(self.best()),
            "front": [self._row(record) for record in self.front()],
            "hypervolume": area,
            "hypervolume_reference": {"accuracy": corner[0], "latency_ms": corner[1]},
        }

    def _row(self, record: Record) -> JsonObject:
        row = self.table.row(record.architecture)
        known = {"latency_ms": record.latency.ms, "size_mb": record.costs.size_mb, "energy_mj": record.costs.energy_mj}
        figures = {name: value for name, value in known.items() if value is not None}
        return {"genes": dict(self.table.describe(row)), "accuracy": _accuracy(record), **figures, "line": row + 2}


_KEYS = {"latency": "latency_ms", "size": "size_mb", "memory": "memory_mb", "energy": "energy_mj"}


def _accuracy(record: Record) -> float:
    assert record.evaluation is not None, "only evaluated rows are compared"
    return record.evaluation.accuracy
