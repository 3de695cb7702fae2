"""A search without images (`--accuracy NAME`): candidates are judged by a score that needs no training, and nothing is trained.

Its result is architectures, their scores and their prices on the device; a score that is no accuracy is never shown as one.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas import accuracy, executors, warm_start
from nas.conclusion import environment
from nas.core.errors import StudyError
from nas.core.objectives import KEYS
from nas.core.search_result import Judged, SearchResult
from nas.display import Display
from nas.opening import judged, live_copy, open_study
from nas.pipeline import Execution
from nas.problem import Problem, ask, named
from nas.run_folder import RunFolder
from nas.settings import RunSettings

if TYPE_CHECKING:
    from nas.records import Record

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
    executors.require(execution.executor)
    problem, score = _problem(settings)
    warm = warm_start.read(settings, problem.space.key, {"channels": CHANNELS, "classes": CLASSES}, path)
    for line in (*problem.overview(), *problem.findings, *filter(None, (warm.said,))):
        display.say(line)
    display.say(f"Candidates are judged by their {score.quantity}, for {CHANNELS} channels and {CLASSES} classes; nothing is trained.")
    folder = RunFolder(path)
    with folder.claim(problem.settings, execution.fresh, named) as claim:
        if claim.continues:
            display.say(f"Continuing the run in {path}.")
        folder.save(folder.command, execution.command)
        with folder.timed("search"):
            records = _explore(problem, score, execution, folder, display, warm)
        result = ScoredResult(problem, score, records)
        folder.save(folder.path / RESULT, result.json())
    return result


def conclude_again(path: Path) -> "ScoredResult":
    """What the run in `path` found, from its files alone.

    Raises:
        StudyError: nothing is evaluated yet.
    """
    folder = RunFolder(path)
    problem, score = _problem(RunSettings.read(folder.settings))
    return ScoredResult(problem, score, tuple(judged(problem, folder)))


def _problem(settings: RunSettings) -> tuple[Problem, accuracy.Score]:
    """What is asked, of the part of the space that the score knows, and the score."""
    score = accuracy.load(settings.accuracy)
    question = ask(settings)
    if question.joint:
        raise StudyError(
            f"--accuracy {settings.accuracy} says nothing of precision and pruning: "
            f"give one --precision and no --keep, or judge by supernet"
        )
    return replace(question, space=score.of_space(question.space)).about(CHANNELS, CLASSES), score


def _explore(
    problem: Problem, score: accuracy.Score, execution: Execution, folder: RunFolder, display: Display, warm: warm_start.WarmStart
) -> "tuple[Record, ...]":
    settings = problem.settings
    live = live_copy(execution.dashboard, folder, display)
    study = open_study(problem, folder, settings.trials, warm.known, warm.first, live)
    with display.bar("Searching", settings.trials) as bar:

        def told() -> None:
            best = max(record.accuracy for record in study.records if record.eligible)
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
        """Those within the budget that no other beats in score and costs, from the least first cost to the most."""
        eligible = [record for record in self.records if record.eligible]
        return self.problem.objectives.front(eligible, lambda record: record.accuracy, lambda record: record.costs)

    def json(self) -> dict[str, Any]:
        """The front, and the best of it; the public interface of such a run."""
        settings, members = self.problem.settings, self.front()
        found = [self._row(record) for record in members]
        best = max(range(len(members)), key=lambda place: members[place].accuracy, default=None)
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
            "budget": {KEYS[metric]: limit for metric, limit in self.problem.budget.limits.items()},
            "objectives": list(self.problem.objectives.names),
            "strategy": settings.strategy,
            "seed": settings.seed,
            "evaluations": sum(record.eligible and not record.learned for record in self.records),
            "learned": sum(record.eligible and record.learned for record in self.records),
            "best": None if best is None else found[best],
            "front": found,
        }

    def found(self, folder: RunFolder) -> SearchResult:
        """Everything that the report of the run in `folder` shows."""
        problem, settings, score = self.problem, self.problem.settings, self.score
        known = {record.architecture: self._judged(record) for record in self.records if record.evaluation}
        front = []
        for record in self.front():
            one = known[record.architecture]
            bounds = score.bounds(problem.network(record.architecture)) if score.bounds else None
            front.append(replace(one, bounds=bounds))
        target, form = problem.model.target, f"{problem.channels} channels and {problem.classes} classes"
        kind = "a prediction, not a measurement" if score.is_accuracy else "no accuracy: it only compares networks of this space"
        return SearchResult(
            name=folder.path.resolve().name,
            title=f"Networks for {problem.device.title}",
            lead=f"A search in {problem.space.name} ({problem.space.size:,} networks), priced for {target}, for images of {form}. "
            f"Networks were judged by their {score.quantity}; nothing was trained or exported.",
            space=problem.space.key,
            quantity=score.quantity,
            share=score.is_accuracy,
            origin=problem.model.origin,
            budget=problem.budget,
            objectives=problem.objectives,
            strategy=settings.strategy,
            trials=settings.trials,
            seed=settings.seed,
            genes=(),
            judged=tuple(known.values()),
            front=tuple(front),
            best=max(front, key=lambda one: one.worth, default=None),
            corner=self._corner(),
            truth=None,
            survey=problem.survey(),
            remarks=problem.findings,
            trust=(f"The {score.quantity} is {kind}.",),
            seconds=folder.seconds(),
            environment=environment(),
            command=folder.load(folder.command, str),
        )

    def _corner(self) -> tuple[float, ...]:
        """The least score that was found, and of each cost the limit, or the most that was found if that is less."""
        eligible = [record for record in self.records if record.eligible]
        costs = np.array([self.problem.objectives.of(record.costs) for record in eligible])
        limits = [self.problem.budget.limits.get(name, np.inf) for name in self.problem.objectives.costs]
        return (min(record.accuracy for record in eligible), *map(float, np.minimum(costs.max(axis=0), limits)))

    def _judged(self, record: "Record") -> Judged:
        name, made_of = record.architecture.id, self.problem.space.describe(record.architecture)
        return Judged(name, (), made_of, record.accuracy, record.costs, record.within, record.learned)

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
