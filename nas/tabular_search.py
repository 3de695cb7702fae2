"""A search in a table (`--space tabular:TABLE.csv`): the study and the strategies of every search, without device, data or training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas import strategies, warm_start
from nas.accuracy import tabular
from nas.core import plugins
from nas.core.budget import Budget
from nas.core.objectives import KEYS, Objectives
from nas.core.pareto import hypervolume
from nas.display import Display
from nas.live_copy import LiveCopy
from nas.records import Record
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from nas.study import SearchStudy

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


def search(settings: RunSettings, fresh: bool, path: Path, command: str, display: Display, dashboard: str = "") -> "TabularResult":
    """Evaluates as many rows of the table as `settings` ask for, or as are within the budget, or what is left of them.

    `dashboard` is a storage of Optuna's that gets a live copy of the study; "" is none.

    Raises:
        DataError: the table cannot be read, or has no column for one of the limits or objectives.
        UnknownNameError: there is no strategy or objective of that name.
        InfeasibleBudgetError: no row is within the budget.
        StudyError: the folder holds another run, or one that was made with another version of the table.
    """
    budget, objectives = settings.budget, Objectives.parse(settings.objectives)
    table = tabular.read(settings.space.removeprefix(PREFIX))
    name = plugins.find("nas.strategies", settings.strategy, "strategy")
    feasible = table.feasible(budget)
    landscape = table.landscape(budget, objectives)
    warm = warm_start.read(settings, table.key, {}, path)
    if warm.said:
        display.say(warm.said)
    trials = min(settings.trials, feasible)
    if trials < settings.trials:
        display.say(f"{feasible:,} rows are within the budget: all of them are evaluated, not {settings.trials:,}.")
    folder = RunFolder(path)
    with folder.claim(settings, fresh) as claim:
        if claim.continues:
            display.say(f"Continuing the run in {path}.")
        folder.save(folder.command, command)
        sampling = strategies.load(name, landscape, settings.seed)
        study = SearchStudy(
            folder.path,
            table,
            table.costs,
            table.macs_of,
            budget,
            sampling,
            settings.trials,
            settings.seed,
            objectives=objectives,
            strategy_name=name,
            known=warm.known,
            first=warm.first,
            live=LiveCopy(dashboard, path.resolve().name, display.say) if dashboard else None,
            answers=feasible,
        )
        with display.bar("Searching", trials) as bar, folder.timed("search"):
            bar.at(min(study.evaluated, trials))
            while candidate := study.ask():
                study.tell(candidate.number, table.evaluation(candidate.architecture))
                bar.at(study.evaluated)
        result = TabularResult(settings, name, table, budget, objectives, feasible, tuple(study.records))
        folder.save(folder.path / RESULT, result.json())
    return result


@dataclass(frozen=True, slots=True, eq=False)
class TabularResult:
    """What a search in a table found. `feasible` is the number of rows within the budget; `records` are in order."""

    settings: RunSettings
    strategy: str
    table: tabular.Table
    budget: Budget
    objectives: Objectives
    feasible: int
    records: tuple[Record, ...]

    @property
    def evaluated(self) -> tuple[Record, ...]:
        """What has an accuracy and is within the budget."""
        return tuple(record for record in self.records if record.eligible)

    def front(self) -> list[Record]:
        """Those evaluated that no other beats in accuracy and costs, from the least first cost to the most; all are within the budget."""
        return self.objectives.front(self.evaluated, lambda record: record.accuracy, lambda record: record.costs)

    def best(self) -> Record:
        """The most accurate within the budget; of equals the one of least cost (the first in which they differ)."""
        return min(self.front(), key=lambda record: (-record.accuracy, *self.objectives.of(record.costs)))

    def hypervolume(self) -> tuple[float, dict[str, float]]:
        """Volume that the front dominates, and its corner by objective.

        The corner is the table's least accuracy, and of each cost the limit, or the most of the table if that is less.
        """
        most = self.table.figures(self.objectives).max(axis=0)
        limits = [self.budget.limits.get(name, float("inf")) for name in self.objectives.costs]
        corner = [float(self.table.accuracy.min()), *(min(limit, float(end)) for limit, end in zip(limits, most, strict=True))]
        values = [(-record.accuracy, *self.objectives.of(record.costs)) for record in self.evaluated]
        volume = hypervolume(values, (-corner[0], *corner[1:]))
        return volume, dict(zip((KEYS["accuracy"], *(KEYS[name] for name in self.objectives.costs)), corner, strict=True))

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
            "budget": {KEYS[metric]: limit for metric, limit in self.budget.limits.items()},
            "objectives": list(self.objectives.names),
            "strategy": self.strategy,
            "seed": self.settings.seed,
            "trials": self.settings.trials,
            "evaluations": sum(not record.learned for record in self.evaluated),
            "learned": sum(record.learned for record in self.evaluated),
            "best": self._row(self.best()),
            "front": [self._row(record) for record in self.front()],
            "hypervolume": area,
            "hypervolume_reference": corner,
        }

    def _row(self, record: Record) -> JsonObject:
        row = self.table.row(record.architecture)
        known = {KEYS[metric]: record.costs.value(metric) for metric in ("latency", "size", "energy", "macs")}
        figures = {name: value for name, value in known.items() if value is not None}
        return {"genes": dict(self.table.describe(row)), "accuracy": record.accuracy, **figures, "line": row + 2}
