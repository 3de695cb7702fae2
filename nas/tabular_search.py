"""A search in a table (`--space tabular:TABLE.csv`): the study and the strategies of every search, without device, data or training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas import warm_start
from nas.accuracy import tabular
from nas.core import plugins, survey
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.errors import StudyError
from nas.core.landscape import Landscape
from nas.core.objectives import KEYS, Objectives
from nas.core.pareto import hypervolume, non_dominated
from nas.core.search_result import Judged, SearchResult, Truth
from nas.core.survey import Survey
from nas.display import Display
from nas.opening import judged, live_copy, open_study
from nas.records import Record
from nas.run_folder import RunFolder
from nas.settings import RunSettings

DEVICE = "table"
"""What stands for the device in the settings of such a run: the table has its latencies in it."""
RESULT = "front.json"
SCHEMA = 1
"""Raised whenever a key changes its meaning or goes; new keys may come at any time."""

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class TableProblem:
    """A table and what is asked of it, as a study needs it. `feasible` is the number of rows within the budget."""

    settings: RunSettings
    searched: tabular.Table
    budget: Budget
    objectives: Objectives
    feasible: int
    price_list: str = ""

    def price(self, architecture: Architecture) -> Costs:
        """What the table says."""
        return self.searched.costs(architecture)

    def macs(self, architecture: Architecture) -> int:
        """Multiply-accumulates, 0 where the table does not tell them."""
        return self.searched.macs_of(architecture)

    def landscape(self) -> Landscape:
        """The table without its accuracies."""
        return self.searched.landscape(self.budget, self.objectives)

    def survey(self) -> Survey:
        """What the rows cost, and how many of them are within the budget."""
        return survey.of(self.searched.metrics, self.budget, whole=True)

    def truth(self) -> Truth:
        """What nobody beats of all rows within the budget."""
        table, objectives = self.searched, self.objectives
        fitting = np.flatnonzero(table.overrun(self.budget) <= 0.0)
        rows = np.column_stack([-table.accuracy[fitting], table.figures(objectives)[fitting]])
        front = rows[non_dominated(rows)]
        front = front[np.lexsort((-front[:, 0], front[:, 1]))]
        return Truth(len(fitting), tuple((-float(worth), *map(float, costs)) for worth, *costs in front), -float(rows[:, 0].min()))

    def findings(self) -> tuple[str, ...]:
        """Sentences that the user must know about the budget."""
        if self.feasible < self.searched.size:
            return ()
        return (f"The budget of {self.budget} limits nothing: every row of the table is within it.",)


def ask(settings: RunSettings) -> TableProblem:
    """The question that `settings` ask of a table.

    Raises:
        DataError: the table cannot be read, or has no column for one of the limits or objectives.
        UnknownNameError: there is no strategy or objective of that name.
        InfeasibleBudgetError: no row is within the budget.
    """
    budget, objectives = settings.budget, Objectives.parse(settings.objectives)
    strategy = plugins.find("nas.strategies", settings.strategy, "strategy")
    table = tabular.read(settings.table)
    table.figures(objectives)
    named = settings.model_copy(update={"strategy": strategy})
    return TableProblem(named, table, budget, objectives, table.feasible(budget))


def search(settings: RunSettings, fresh: bool, path: Path, command: str, display: Display, dashboard: str = "") -> "TabularResult":
    """Evaluates as many rows of the table as `settings` ask for, or as are within the budget, or what is left of them.

    `dashboard` is a storage of Optuna's that gets a live copy of the study; "" is none.

    Raises:
        NasError: as in `ask`.
        StudyError: the folder holds another run, or one that was made with another version of the table.
    """
    problem = ask(settings)
    table, feasible = problem.searched, problem.feasible
    warm = warm_start.read(settings, table.key, {}, path)
    title = f"{table.path.name}, {_count(table.size, 'row')} of {_count(len(table.genes), 'gene')}"
    for line in (*survey.lines(title, problem.survey(), problem.budget), *problem.findings(), *filter(None, (warm.said,))):
        display.say(line)
    trials = min(settings.trials, feasible)
    if trials < settings.trials:
        display.say(f"The budget leaves {_count(feasible, 'row')}: all of that is evaluated, not {settings.trials:,}.")
    folder = RunFolder(path)

    def moved(before: RunSettings) -> RunSettings:
        """`before` with the table's path of today, where what it evaluated is of the same table."""
        from nas.study import FILE_NAME, load, records

        told = records(load(path))[:1] if before.table and (path / FILE_NAME).exists() else []
        same = any(record.architecture.space == table.key for record in told)
        return before.model_copy(update={"space": settings.space}) if same else before

    with folder.claim(problem.settings, fresh, moved) as claim:
        if claim.continues:
            display.say(f"Continuing the run in {path}.")
        folder.save(folder.command, command)
        live = live_copy(dashboard, folder, display)
        study = open_study(problem, folder, settings.trials, warm.known, warm.first, live, answers=feasible)
        with display.bar("Searching", trials) as bar, folder.timed("search"):
            bar.at(min(study.evaluated, trials))
            while candidate := study.ask():
                study.tell(candidate.number, table.evaluation(candidate.architecture))
                bar.at(study.evaluated)
        result = TabularResult(problem, study.records)
        folder.save(folder.path / RESULT, result.json())
    return result


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def conclude_again(path: Path) -> "TabularResult":
    """What the run in `path` found, from its files and the table.

    Raises:
        DataError: the table is no longer there, or no longer one.
        StudyError: nothing is evaluated yet, or the table has changed since.
    """
    folder = RunFolder(path)
    problem = ask(RunSettings.read(folder.settings))
    records = judged(problem, folder)
    if records[0].architecture.space != problem.searched.key:
        raise StudyError(
            f"the run in {path} searched {records[0].architecture.space}, and {problem.searched.path} is {problem.searched.key} now: "
            f"put the table of then in its place, or search again with --fresh"
        )
    return TabularResult(problem, tuple(records))


@dataclass(frozen=True, slots=True, eq=False)
class TabularResult:
    """What a search in a table found; `records` are in order."""

    problem: TableProblem
    records: tuple[Record, ...]

    @property
    def evaluated(self) -> tuple[Record, ...]:
        """What has an accuracy and is within the budget."""
        return tuple(record for record in self.records if record.eligible)

    def front(self) -> list[Record]:
        """Those evaluated that no other beats in accuracy and costs, from the least first cost to the most; all are within the budget."""
        return self.problem.objectives.front(self.evaluated, lambda record: record.accuracy, lambda record: record.costs)

    def best(self) -> Record:
        """The most accurate within the budget; of equals the one of least cost (the first in which they differ)."""
        return min(self.front(), key=lambda record: (-record.accuracy, *self.problem.objectives.of(record.costs)))

    def corner(self) -> tuple[float, ...]:
        """What bounds hypervolumes: the table's least accuracy, and of each cost the limit, or the most of the table if that is less."""
        problem = self.problem
        most = problem.searched.figures(problem.objectives).max(axis=0)
        limits = [problem.budget.limits.get(name, float("inf")) for name in problem.objectives.costs]
        least = float(problem.searched.accuracy.min())
        return (least, *(min(limit, float(end)) for limit, end in zip(limits, most, strict=True)))

    def json(self) -> JsonObject:
        """The front and the best within the budget, accuracy in the table's unit; the public interface of such a run."""
        problem, settings, table, corner = self.problem, self.problem.settings, self.problem.searched, self.corner()
        values = [(-record.accuracy, *problem.objectives.of(record.costs)) for record in self.evaluated]
        return {
            "schema": SCHEMA,
            "table": str(table.path),
            "table_digest": table.digest,
            "rows": table.size,
            "rows_within_budget": problem.feasible,
            "genes": [gene.name for gene in table.genes],
            "budget": {KEYS[metric]: limit for metric, limit in problem.budget.limits.items()},
            "objectives": list(problem.objectives.names),
            "strategy": settings.strategy,
            "seed": settings.seed,
            "trials": settings.trials,
            "evaluations": sum(not record.learned for record in self.evaluated),
            "learned": sum(record.learned for record in self.evaluated),
            "best": self._row(self.best()),
            "front": [self._row(record) for record in self.front()],
            "hypervolume": hypervolume(values, (-corner[0], *corner[1:])),
            "hypervolume_reference": dict(zip((KEYS["accuracy"], *(KEYS[name] for name in problem.objectives.costs)), corner, strict=True)),
        }

    def found(self, folder: RunFolder) -> SearchResult:
        """Everything that the report of the run in `folder` shows."""
        from nas.conclusion import environment

        problem, settings, table = self.problem, self.problem.settings, self.problem.searched
        known = {record.architecture: self._judged(record) for record in self.records if record.evaluation}
        spread = f"{len(self.evaluated):,} of the {problem.feasible:,} rows within the budget were looked up, of {table.size:,} in all"
        return SearchResult(
            name=folder.path.resolve().name,
            title=f"The table {table.path.name}",
            lead=f"A search in the table {table.path}: {spread}. Accuracies and costs are the table's own; nothing was trained.",
            space=f"{table.name}@{table.digest}",
            quantity="accuracy",
            share=False,
            origin="given",
            budget=problem.budget,
            objectives=problem.objectives,
            strategy=settings.strategy,
            trials=settings.trials,
            seed=settings.seed,
            genes=tuple(gene.name for gene in table.genes),
            judged=tuple(known.values()),
            front=tuple(known[record.architecture] for record in self.front()),
            best=known[self.best().architecture],
            corner=self.corner(),
            truth=problem.truth(),
            survey=problem.survey(),
            remarks=problem.findings(),
            trust=("Accuracies are in the table's own unit, and whatever the table does not say of its figures is not known here.",),
            seconds=folder.seconds(),
            environment=environment(),
            command=folder.load(folder.command, str),
        )

    def _judged(self, record: Record) -> Judged:
        table = self.problem.searched
        row = table.row(record.architecture)
        genes = {name: str(value) for name, value in table.describe(row).items()}
        parts = tuple(genes.values()), ", ".join(f"{name}={value}" for name, value in genes.items())
        return Judged(f"line {table.line(row)}", *parts, record.accuracy, record.costs, record.within, record.learned)

    def _row(self, record: Record) -> JsonObject:
        table = self.problem.searched
        row = table.row(record.architecture)
        known = {KEYS[metric]: record.costs.value(metric) for metric in ("latency", "size", "energy", "macs")}
        figures = {name: value for name, value in known.items() if value is not None}
        return {"genes": dict(table.describe(row)), "accuracy": record.accuracy, **figures, "line": table.line(row)}
