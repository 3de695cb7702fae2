"""The one truth of a search: an Optuna study in the run folder. Asks, tells, and never evaluates.

The study is a journal file: one appended line an event, 12 ms a trial where SQLite takes over 100 (see
`experiments/benchmarks/study_overhead.py`). A crash can tear its last line, after which Optuna alone could never read
it again, so opening it cuts a torn end off. `RunFolder.claim` keeps a second writer out.

Raw metrics are trial attributes; values and constraints are computed from them when a trial is told.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.core.architecture import Architecture
from nas.core.budget import Budget
from nas.core.errors import StudyError
from nas.core.evaluation import Evaluation
from nas.core.latency import Interval, LatencyEstimate
from nas.core.space import SearchSpace

FILE_NAME = "study.journal"
STUDY_NAME = "search"
_STUCK = 50
"""Proposals in a row that bring nothing new, after which one is drawn at random instead."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that waits for its evaluation, under the number of its trial."""

    number: int
    architecture: Architecture
    latency: LatencyEstimate


@dataclass(frozen=True, slots=True)
class Record:
    """What the study holds of one distinct architecture; `evaluation` is None where the budget ruled it out."""

    number: int
    architecture: Architecture
    latency: Interval
    macs: int
    evaluation: Evaluation | None


class _SingleWriter(JournalFileOpenLock):
    """No lock file, which a killed process would leave behind: whoever has claimed the run folder is the only writer."""

    def acquire(self) -> bool:
        """True."""
        return True

    def release(self) -> None:
        """Nothing to release."""


class _Reader(JournalFileOpenLock):
    """A reader never writes."""

    def acquire(self) -> bool:
        """Never granted.

        Raises:
            StudyError: always.
        """
        raise StudyError("this study was opened for reading: `nas.search` is its only writer")

    def release(self) -> None:
        """Nothing to release."""


def repair(path: Path) -> int:
    """Cuts a torn last line off the journal at `path`, and returns the number of bytes cut."""
    data = path.read_bytes()
    torn = len(data) - (data.rfind(b"\n") + 1)
    if torn:
        with path.open("r+b") as file:
            file.truncate(len(data) - torn)
            os.fsync(file.fileno())
    return torn


def load(run: str | Path) -> optuna.Study:
    """The study of the run folder `run`, for reading: trials, attributes, `best_trials`, `optuna.visualization`.

    Raises:
        StudyError: the folder holds no study.
    """
    path = Path(run) / FILE_NAME
    if not path.exists():
        raise StudyError(f"{run} holds no study ({FILE_NAME} is missing): give the folder that `nas.search --out` wrote")
    storage = JournalStorage(JournalFileBackend(str(path), _Reader(str(path))))
    return optuna.load_study(study_name=STUDY_NAME, storage=storage)


class SearchStudy:
    """Asks a strategy for architectures until `trials` distinct ones within the budget are evaluated.

    Only architectures that need an evaluation leave `ask`: what the budget rules out is told at once, unevaluated,
    and what was evaluated before is told its known figures. Trials that a dead process left behind are asked again.
    The caller must have claimed the folder.

    Args:
        price: latency of an architecture on the device.
        macs: multiply-accumulates of an architecture.
    """

    def __init__(
        self,
        folder: Path,
        space: SearchSpace,
        price: Callable[[Architecture], LatencyEstimate],
        macs: Callable[[Architecture], int],
        budget: Budget,
        strategy: Callable[[int], optuna.samplers.BaseSampler],
        trials: int,
        seed: int,
    ) -> None:
        self._space, self._price, self._macs = space, price, macs
        self._budget, self._strategy, self._trials, self._seed = budget, strategy, trials, seed
        self._distributions: dict[str, BaseDistribution] = {gene.name: IntDistribution(0, gene.options - 1) for gene in space.genes}
        self._waiting: dict[int, tuple[Trial, Candidate]] = {}
        path = folder / FILE_NAME
        if path.exists():
            repair(path)
        storage = JournalStorage(JournalFileBackend(str(path), _SingleWriter(str(path))))
        self.study = optuna.create_study(study_name=STUDY_NAME, storage=storage, directions=["maximize", "minimize"], load_if_exists=True)
        self.study.set_metric_names(["accuracy", "latency_ms"])
        self._records = {record.architecture: record for record in records(self.study)}
        self._reap()
        self._proposals = sum(trial.state != TrialState.FAIL for trial in self.study.get_trials(deepcopy=False))

    @property
    def records(self) -> tuple[Record, ...]:
        """Every distinct architecture told so far, in order."""
        return tuple(self._records.values())

    @property
    def evaluated(self) -> int:
        """Number of distinct architectures with an accuracy."""
        return sum(record.evaluation is not None for record in self._records.values())

    def ask(self) -> Candidate | None:
        """The next architecture to evaluate, or None when enough are evaluated or on their way.

        Raises:
            StudyError: the strategy keeps proposing what is known or out of budget.
        """
        barren = 0
        while self.evaluated + len(self._waiting) < min(self._trials, self._space.size):
            if barren and barren % _STUCK == 0:
                self._enqueue_random(barren)
            if barren > 20 * _STUCK:
                raise StudyError(
                    f"{barren} proposals in a row were known or beyond the budget of {self._budget}; {self.evaluated} architectures "
                    f"are evaluated. Give fewer --trials or a wider --budget"
                )
            candidate = self._propose()
            if candidate is not None:
                return candidate
            barren += 1
        return None

    def tell(self, number: int, evaluation: Evaluation) -> None:
        """Records the evaluation of the candidate `number`, durably."""
        trial, candidate = self._waiting.pop(number)
        self._tell(trial, self._record(candidate, evaluation))

    def fail(self, number: int, reason: str) -> None:
        """Records that the candidate `number` could not be evaluated; it may be proposed again."""
        trial, _ = self._waiting.pop(number)
        trial.set_user_attr("failure", reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def _propose(self) -> Candidate | None:
        """One proposal of the strategy: a candidate, or None where it needs no evaluation and is told already."""
        self.study.sampler = self._strategy((self._seed * 1_000_003 + self._proposals) % 2**31)
        self._proposals += 1
        trial = self.study.ask(self._distributions)
        architecture = self._space.architecture([trial.params[gene.name] for gene in self._space.genes])
        candidate = Candidate(trial.number, architecture, self._price(architecture))
        trial.set_constraint("latency", self._budget.violation(candidate.latency.total))
        if architecture in self._records:
            self._tell(trial, self._records[architecture])
            return None
        if any(waiting.architecture == architecture for _, waiting in self._waiting.values()):
            self.study.tell(trial, state=TrialState.PRUNED)
            return None
        if not self._budget.holds(candidate.latency.total):
            self._tell(trial, self._record(candidate, None))
            return None
        self._waiting[trial.number] = (trial, candidate)
        return candidate

    def _record(self, candidate: Candidate, evaluation: Evaluation | None) -> Record:
        macs = self._macs(candidate.architecture)
        return Record(candidate.number, candidate.architecture, candidate.latency.total, macs, evaluation)

    def _tell(self, trial: Trial, record: Record) -> None:
        """Attributes first, then the state: a trial that is complete has everything."""
        trial.set_user_attr("candidate", _to_attribute(record))
        accuracy = record.evaluation.accuracy if record.evaluation else float("-inf")
        self.study.tell(trial, [accuracy, record.latency.ms])
        self._records.setdefault(record.architecture, record)

    def _reap(self) -> None:
        """Closes trials that no living process evaluates, and asks for them again first. We are the only writer."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)
            if len(trial.params) == len(self._distributions):
                self.study.enqueue_trial(trial.params, skip_if_exists=True)

    def _enqueue_random(self, salt: int) -> None:
        """Puts a uniformly drawn architecture before the strategy's own proposals."""
        random = optuna.samplers.RandomSampler(seed=(self._seed * 7919 + self._proposals + salt) % 2**31)
        probe = optuna.create_study(sampler=random).ask(self._distributions)
        self.study.enqueue_trial(probe.params)


def records(study: optuna.Study) -> list[Record]:
    """Every distinct architecture that `study` holds, in the order of its first trial."""
    found: dict[Architecture, Record] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        record = _from_attribute(trial)
        found.setdefault(record.architecture, record)
    return list(found.values())


def _to_attribute(record: Record) -> Mapping[str, Any]:
    return {
        "number": record.number,
        "id": record.architecture.id,
        "space": record.architecture.space,
        "genes": list(record.architecture.genes),
        "latency_ms": record.latency.ms,
        "latency_low_ms": record.latency.low_ms,
        "latency_high_ms": record.latency.high_ms,
        "macs": record.macs,
        "evaluation": asdict(record.evaluation) if record.evaluation else None,
    }


def _from_attribute(trial: FrozenTrial) -> Record:
    told = trial.user_attrs["candidate"]
    evaluation = told["evaluation"]
    return Record(
        told["number"],
        Architecture(told["space"], tuple(told["genes"])),
        Interval(told["latency_ms"], told["latency_low_ms"], told["latency_high_ms"]),
        told["macs"],
        Evaluation(**{**evaluation, "uncounted": tuple(evaluation["uncounted"])}) if evaluation else None,
    )
