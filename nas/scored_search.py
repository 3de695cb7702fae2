"""A search without images (`--accuracy NAME`): candidates are judged by a score that needs no training, and nothing is trained.

Its result is architectures, their scores and their prices on the device; a score that is no accuracy is never shown as one.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import accuracy, executors, strategies
from nas.core.errors import StudyError
from nas.core.pareto import front
from nas.core.units import format_latency
from nas.display import Display
from nas.pipeline import Execution
from nas.problem import Problem, ask
from nas.run_folder import RunFolder
from nas.settings import RunSettings

if TYPE_CHECKING:
    from rich.table import Table

    from nas.study import Record

CHANNELS, CLASSES = 3, 1000
"""What networks are priced and scored for, where no images say otherwise: ImageNet's."""
RESULT = "front.json"
SCHEMA = 1
"""Raised whenever a key changes its meaning or goes; new keys may come at any time."""


def search(settings: RunSettings, execution: Execution, path: Path, display: Display) -> "ScoredResult":
    """Scores as many architectures as `settings` ask for, or what is left of them, in the run folder `path`.

    Raises:
        UnknownNameError: there is no score of the name given.
        SpaceError: the score does not know the networks of the space.
        InfeasibleBudgetError: no network is within the budget.
        StudyError: the folder holds another run.
    """
    score = accuracy.load(settings.accuracy)
    executors.require(execution.executor)
    question = ask(settings)
    space = score.of_space(question.space)
    problem = replace(question, space=space).about(CHANNELS, CLASSES)
    for finding in problem.findings:
        display.say(finding)
    display.say(f"Candidates are judged by their {score.quantity}, for {CHANNELS} channels and {CLASSES} classes; nothing is trained.")
    folder = RunFolder(path)
    with folder.claim(settings, execution.fresh) as claim:
        if claim.continues:
            display.say(f"Continuing the run in {path}.")
        folder.save(folder.command, execution.command)
        with folder.timed("search"):
            records = _explore(problem, score, execution, folder, display)
        result = ScoredResult(problem, score, records)
        folder.save(folder.path / RESULT, result.json())
    return result


def _explore(problem: Problem, score: accuracy.Score, execution: Execution, folder: RunFolder, display: Display) -> "tuple[Record, ...]":
    from nas.study import SearchStudy

    settings = problem.settings
    proposing = strategies.load(settings.strategy, problem.landscape(), settings.seed)
    study = SearchStudy(folder.path, problem.space, problem.price, problem.macs, problem.budget, proposing, settings.trials, settings.seed)
    if study.records and study.records[0].architecture.space != problem.space.key:
        raise StudyError(
            f"the run in {folder.path} was begun with {study.records[0].architecture.space}, now it is {problem.space.key}: "
            f"give --fresh to start over, or another --out"
        )
    with display.bar("Searching", settings.trials) as bar:

        def told() -> None:
            best = max(record.evaluation.accuracy for record in study.records if record.evaluation)
            bar.at(study.evaluated, f"best {score.text(best)}")

        bar.at(min(study.evaluated, settings.trials))
        evaluate = accuracy.Scoring(settings.accuracy, problem.space, problem.channels, problem.classes, settings.seed)
        job = executors.Job(study, evaluate, told, execution.workers, execution.ray_address, folder.path)
        executors.load(execution.executor)(job)
    return study.records


@dataclass(frozen=True, slots=True, eq=False)
class ScoredResult:
    """What such a search found; `records` are all that it asked about, in order."""

    problem: Problem
    score: accuracy.Score
    records: "tuple[Record, ...]"

    def front(self) -> "list[Record]":
        """Those within the budget that no other beats in score and latency, from fastest to slowest."""
        return front([record for record in self.records if record.evaluation], _value, lambda record: record.latency.ms)

    def json(self) -> dict[str, Any]:
        """The front, and the best of it; the public interface of such a run."""
        settings, found = self.problem.settings, [self._row(record) for record in self.front()]
        return {
            "schema": SCHEMA,
            "judged_by": settings.accuracy,
            "quantity": self.score.quantity,
            "is_accuracy": self.score.is_accuracy,
            "device": self.problem.device.name,
            "runtime": self.problem.model.target.runtime,
            "precision": self.problem.model.target.precision,
            "space": self.problem.space.key,
            "channels": self.problem.channels,
            "classes": self.problem.classes,
            "budget_ms": self.problem.budget.latency_ms,
            "strategy": settings.strategy,
            "seed": settings.seed,
            "evaluations": sum(record.evaluation is not None for record in self.records),
            "best": found[-1] if found else None,
            "front": found,
        }

    def table(self) -> "Table":
        """The front for a terminal; what the architectures are made of is in `front.json`."""
        from rich.table import Table

        table = Table("latency", "at most", self.score.quantity, "MACs", "architecture")
        for record in self.front():
            interval = record.latency
            latency = format_latency(interval.ms), format_latency(interval.high_ms)
            figures = self.score.text(_value(record)), f"{record.macs / 1e6:.1f} M", record.architecture.id
            table.add_row(*latency, *figures)
        return table

    def _row(self, record: "Record") -> dict[str, Any]:
        assert record.evaluation is not None, "only scored candidates are on the front"
        bounds = self.score.bounds(self.problem.network(record.architecture)) if self.score.bounds else None
        return {
            "id": record.architecture.id,
            "genes": list(record.architecture.genes),
            "network": self.problem.space.describe(record.architecture),
            "score": record.evaluation.accuracy,
            **({"score_low": bounds[0], "score_high": bounds[1]} if bounds else {}),
            "latency_ms": record.latency.ms,
            "latency_low_ms": record.latency.low_ms,
            "latency_high_ms": record.latency.high_ms,
            "size_mb": record.costs.size_mb,
            "memory_mb": record.costs.memory_mb,
            "macs": record.macs,
            "params": record.evaluation.params,
        }


def _value(record: "Record") -> float:
    assert record.evaluation is not None, "only scored candidates are compared"
    return record.evaluation.accuracy
