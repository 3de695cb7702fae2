"""The one truth of a search: an Optuna study in the run folder. Asks, tells, and never evaluates.

The study is Optuna's journal format, one line an event, written once a trial (`experiments/benchmarks/study_overhead.py`
has the figures). A crash can tear its last line, after which Optuna alone could never read it again, so opening it cuts
a torn end off. `RunFolder.claim` keeps a second writer out.

The n-th proposal comes from a sampler made anew with a seed for n, and says n in its trial. A search that was killed makes
the proposals again that have no result; with one worker they are those that the uninterrupted search would have made.

Raw metrics are trial attributes; values and constraints are computed from them when a trial is told.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.errors import StudyError
from nas.core.evaluation import Evaluation
from nas.core.landscape import Space
from nas.core.latency import Interval

FILE_NAME = "study.journal"
STUDY_NAME = "search"
_STUCK = 50
"""Proposals in a row that bring nothing new, after which one is drawn at random instead."""
_GIVE_UP = 20 * _STUCK
"""Proposals in a row that bring nothing new, after which the search ends with an error."""
_DRAWS = 200
"""Random architectures that are looked at for one that is new and within the budget."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that waits for its evaluation, under the number of its trial.

    `accuracy_to_beat` is the best of those that are at least as fast: with less it will be on no front.
    """

    number: int
    architecture: Architecture
    costs: Costs
    accuracy_to_beat: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Record:
    """What the study holds of one distinct architecture; `evaluation` is None where the budget ruled it out."""

    number: int
    architecture: Architecture
    costs: Costs
    macs: int
    evaluation: Evaluation | None

    @property
    def latency(self) -> Interval:
        """Its latency, which a search always knows."""
        assert self.costs.latency is not None, "whatever is asked about is priced"
        return self.costs.latency


class _Journal(BaseJournalBackend):
    """Optuna's journal for a single writer: events are held back until `write`, so that a trial costs one write, not 25."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unwritten: list[str] = []
        repair(path)
        self._unread, self._first_unread = _events(path), 0

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Takes events, to be written by the next `write`."""
        self._unread += logs
        self._unwritten += [json.dumps(log, separators=(",", ":")) + "\n" for log in logs]

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Events from number `log_number_from` on; those before are never asked for again."""
        del self._unread[: log_number_from - self._first_unread]
        self._first_unread = log_number_from
        return iter(self._unread)

    def write(self, durable: bool) -> None:
        """Writes the events held back; `durable` waits until the disk has them."""
        data = memoryview("".join(self._unwritten).encode())
        with self._path.open("ab", buffering=0) as file:
            whole = file.tell()
            try:
                while data:
                    data = data[file.write(data) :]
                if durable:
                    os.fsync(file.fileno())
                self._unwritten.clear()
            except BaseException:  # a full disk: nothing may ever stand behind half a line
                file.truncate(whole)
                raise


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
    """Cuts a torn last line off the journal at `path`, if there is one, and returns the number of bytes cut."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    torn = len(data) - (data.rfind(b"\n") + 1)
    if torn:
        with path.open("r+b") as file:
            file.truncate(len(data) - torn)
    return torn


def load(run: str | Path) -> optuna.Study:
    """The study of the run folder `run`, for reading: trials, attributes, `best_trials`, `optuna.visualization`.

    Raises:
        StudyError: the folder holds no study, or a damaged one.
    """
    path = Path(run) / FILE_NAME
    if not path.exists():
        raise StudyError(f"{run} holds no study ({FILE_NAME} is missing): give the folder that `nas.search --out` wrote")
    _events(path)
    storage = JournalStorage(JournalFileBackend(str(path), _Reader(str(path))))
    try:
        return optuna.load_study(study_name=STUDY_NAME, storage=storage)
    except KeyError:
        raise StudyError(f"the study in {run} has not begun: give the run's command again") from None


class SearchStudy:
    """Asks a strategy for architectures until `trials` distinct ones within the budget are evaluated.

    Only architectures that need an evaluation leave `ask`: what the budget rules out is told at once, unevaluated,
    and what was evaluated before is told its known figures. The caller must have claimed the folder.

    Args:
        price: what an architecture costs on the device; its latency is known.
        macs: multiply-accumulates of an architecture.

    Raises:
        StudyError: the study in the folder is damaged.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        price: Callable[[Architecture], Costs],
        macs: Callable[[Architecture], int],
        budget: Budget,
        strategy: Callable[[int], optuna.samplers.BaseSampler],
        trials: int,
        seed: int,
    ) -> None:
        self._space, self._price, self._macs = space, price, macs
        self._budget, self._strategy, self._trials, self._seed = budget, strategy, trials, seed
        self._distributions: dict[str, BaseDistribution] = {gene.name: IntDistribution(0, gene.options - 1) for gene in space.genes}
        self._size = space.size
        self._waiting: dict[int, tuple[Trial, Candidate]] = {}
        self._journal = _Journal(folder / FILE_NAME)
        self.study = _open(JournalStorage(self._journal))
        self._records: dict[Architecture, Record] = {}
        self._evaluated = 0
        self._front: list[tuple[float, float]] = []  # latency in ms and accuracy, both rising; estimates of rejected ones left out
        self._barren = 0
        self._made: set[int] = set()
        self._proposal = 0
        self._resume()
        self._journal.write(durable=True)

    @property
    def records(self) -> tuple[Record, ...]:
        """Every distinct architecture told so far, in order."""
        return tuple(self._records.values())

    @property
    def evaluated(self) -> int:
        """Number of distinct architectures with an accuracy."""
        return self._evaluated

    def ask(self) -> Candidate | None:
        """The next architecture to evaluate, or None when enough are evaluated or on their way, or none is left.

        Raises:
            StudyError: the strategy keeps proposing what is known or out of budget.
        """
        try:
            while self._evaluated + len(self._waiting) < self._trials and len(self._records) + len(self._waiting) < self._size:
                if self._barren >= _GIVE_UP:
                    if self._waiting:  # a result may bring the strategy on
                        return None
                    raise StudyError(
                        f"{self._barren} proposals in a row were known or beyond the budget of {self._budget}; {self._evaluated} "
                        f"architectures are evaluated, {self._trials} were asked for. "
                        f"Give fewer --trials, or wider limits with another --out"
                    )
                candidate = self._propose()
                if candidate is not None:
                    return candidate
            return None
        finally:
            self._journal.write(durable=False)

    def tell(self, number: int, evaluation: Evaluation) -> None:
        """Records the evaluation of the candidate `number`, durably."""
        trial, candidate = self._take(number)
        self._tell(trial, self._record(candidate, evaluation))
        self._journal.write(durable=True)

    def fail(self, number: int, reason: str) -> None:
        """Records that the candidate `number` could not be evaluated; it may be proposed again."""
        trial, _ = self._take(number)
        trial.set_user_attr("failure", reason)
        self.study.tell(trial, state=TrialState.FAIL)
        self._journal.write(durable=True)

    def _take(self, number: int) -> tuple[Trial, Candidate]:
        if number not in self._waiting:
            raise StudyError(f"trial {number} waits for no result: it was told before, or never asked")
        return self._waiting.pop(number)

    def _propose(self) -> Candidate | None:
        """One proposal of the strategy: a candidate, or None where it needs no evaluation and is told already."""
        while self._proposal in self._made:
            self._proposal += 1
        proposal, self._proposal = self._proposal, self._proposal + 1
        if self._barren and self._barren % _STUCK == 0:
            self._enqueue_random(proposal)
        self.study.sampler = self._strategy((self._seed * 1_000_003 + proposal) % 2**31)
        trial = self.study.ask(self._distributions)
        trial.set_user_attr("proposal", proposal)
        params = trial.params
        architecture = self._space.architecture([params[name] for name in self._distributions])
        costs = self._price(architecture)
        candidate = Candidate(trial.number, architecture, costs, self._to_beat(costs.latency.ms if costs.latency else 0.0))
        for metric, overrun in self._budget.violations(candidate.costs).items():
            trial.set_constraint(metric, overrun)
        self._barren += 1
        if architecture in self._records:
            self._tell(trial, self._records[architecture])
            return None
        if any(waiting.architecture == architecture for _, waiting in self._waiting.values()):
            self.study.tell(trial, state=TrialState.PRUNED)
            return None
        if not self._budget.holds(candidate.costs):
            self._tell(trial, self._record(candidate, None))
            return None
        self._barren = 0
        self._waiting[trial.number] = (trial, candidate)
        return candidate

    def _record(self, candidate: Candidate, evaluation: Evaluation | None) -> Record:
        macs = self._macs(candidate.architecture)
        return Record(candidate.number, candidate.architecture, candidate.costs, macs, evaluation)

    def _tell(self, trial: Trial, record: Record) -> None:
        """Attributes first, then the state: a trial that is complete has everything."""
        trial.set_user_attr("candidate", _to_attribute(record))
        accuracy = record.evaluation.accuracy if record.evaluation else float("-inf")
        self.study.tell(trial, [accuracy, record.latency.ms])
        self._keep(record)

    def _keep(self, record: Record) -> None:
        if record.architecture not in self._records:
            self._records[record.architecture] = record
            self._evaluated += record.evaluation is not None
            if record.evaluation and not record.evaluation.rejected_after:
                at, accuracy = record.latency.ms, record.evaluation.accuracy
                if accuracy > self._to_beat(at):
                    self._front = sorted([*(point for point in self._front if point[0] < at or point[1] > accuracy), (at, accuracy)])

    def _to_beat(self, latency_ms: float) -> float:
        """The best accuracy that a candidate of at most that latency has reached."""
        return max((accuracy for at, accuracy in self._front if at <= latency_ms), default=float("-inf"))

    def _resume(self) -> None:
        """Takes over what the study holds. A trial that a dead process left behind is failed, its proposal made again."""
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state == TrialState.RUNNING:
                self.study.tell(trial.number, state=TrialState.FAIL)
                continue
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "failure" in trial.user_attrs:
                self._made.add(trial.user_attrs["proposal"])
            if trial.state == TrialState.COMPLETE:
                record = _from_attribute(trial)
                self._keep(record)
                new = record.number == trial.number and record.evaluation is not None
                self._barren = 0 if new else self._barren + 1

    def _enqueue_random(self, proposal: int) -> None:
        """Puts a uniformly drawn architecture before the strategy's own proposal: a new one that fits, if one turns up."""
        if self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):  # a process was killed right here
            return
        random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=(self._seed * 7919 + proposal) % 2**31))
        known = {*self._records, *(candidate.architecture for _, candidate in self._waiting.values())}
        for _ in range(_DRAWS):
            params = random.ask(self._distributions).params
            architecture = self._space.architecture([params[name] for name in self._distributions])
            if architecture not in known and self._budget.holds(self._price(architecture)):
                self.study.enqueue_trial(params)
                return


def records(study: optuna.Study) -> list[Record]:
    """Every distinct architecture that `study` holds, in the order of its first trial."""
    found: dict[Architecture, Record] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        record = _from_attribute(trial)
        found.setdefault(record.architecture, record)
    return list(found.values())


def _open(storage: JournalStorage) -> optuna.Study:
    """The study in `storage`, begun if there is none."""
    if storage.get_all_studies():
        return optuna.load_study(study_name=STUDY_NAME, storage=storage)
    study = optuna.create_study(study_name=STUDY_NAME, storage=storage, directions=["maximize", "minimize"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # only names in plots depend on it
        study.set_metric_names(["accuracy", "latency_ms"])
    return study


def _events(path: Path) -> list[dict[str, Any]]:
    """All events in the journal at `path` but a torn last one; none if there is no file.

    Raises:
        StudyError: a line in its middle is damaged.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(json.loads(line))
        except ValueError as error:
            raise StudyError(f"line {number} of {path} is damaged ({error}): restore the file, or begin again with --fresh") from None
    return events


def _to_attribute(record: Record) -> Mapping[str, Any]:
    return {
        "number": record.number,
        "id": record.architecture.id,
        "space": record.architecture.space,
        "genes": list(record.architecture.genes),
        "latency_ms": record.latency.ms,
        "latency_low_ms": record.latency.low_ms,
        "latency_high_ms": record.latency.high_ms,
        "size_mb": record.costs.size_mb,
        "memory_mb": record.costs.memory_mb,
        "power_w": record.costs.power_w,
        "macs": record.macs,
        "evaluation": asdict(record.evaluation) if record.evaluation else None,
    }


def _costs(told: Mapping[str, Any]) -> Costs:
    """The costs in an attribute; runs of version 0.1 told the latency alone."""
    latency = Interval(told["latency_ms"], told["latency_low_ms"], told["latency_high_ms"])
    return Costs(latency, told.get("size_mb"), told.get("memory_mb"), told.get("power_w"))


def _from_attribute(trial: FrozenTrial) -> Record:
    told = trial.user_attrs["candidate"]
    evaluation = told["evaluation"]
    return Record(
        told["number"],
        Architecture(told["space"], tuple(told["genes"])),
        _costs(told),
        told["macs"],
        Evaluation(**{**evaluation, "uncounted": tuple(evaluation["uncounted"])}) if evaluation else None,
    )
