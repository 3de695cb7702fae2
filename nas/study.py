"""The one truth of a search: an Optuna study in the run folder. Asks, tells, and never evaluates.

The study is Optuna's journal format (`nas.study_journal`; `experiments/benchmarks/study_overhead.py` has the figures of it).
`RunFolder.claim` keeps a second writer out.

The n-th proposal comes from a sampler made anew with a seed for n, and says n in its trial. A search that was killed makes
the proposals again that have no result; with one worker they are those that the uninterrupted search would have made.

Raw metrics are trial attributes; values and constraints are computed from them when a trial is told.

**A study asks one question**: a budget, objectives, a strategy, and what architectures cost. Where the folder's study asked another
one, a new study is begun in the same file, and the newest is the one that counts. What was known is told to it at today's
prices, values and constraints, as trials that are complete from the start; nothing is evaluated again, but for one case: an
evaluation that was stopped early, since others were better under the question of then, and that would be on the front now. Such an
architecture is proposed first. An architecture that the budget of then ruled out, and that of now does not, is unknown.
What is within today's budget counts as evaluated. All of a beginning is written at once, and its last event, the question itself,
marks it as whole: a process that is killed before leaves the study of before.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import le
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.trial import Trial, TrialState, create_trial

from nas import study_journal
from nas.core import objectives as core_objectives
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.errors import StudyError
from nas.core.evaluation import Evaluation
from nas.core.landscape import Genes, Space
from nas.core.objectives import Objectives
from nas.live_copy import LiveCopy
from nas.records import Candidate, Record, from_attribute, to_attribute
from nas.study_journal import FILE_NAME, QUESTION, STUDY_NAME, Journal, load, repair

__all__ = ["FILE_NAME", "QUESTION", "STUDY_NAME", "Candidate", "Record", "SearchStudy", "load", "records", "repair"]

_STUCK = 50
"""Proposals in a row that bring nothing new, after which one is drawn at random instead."""
_GIVE_UP = 20 * _STUCK
"""Proposals in a row that bring nothing new, after which the search ends with an error."""
_DRAWS = 200
"""Random architectures that are looked at for one that is new and within the budget."""
_SAMPLED = 32
"""Architectures whose costs tell one price list from another, at most."""
_AGAIN = "again"
"""Study attribute: genes of what was only half evaluated under another question, and is to be evaluated first."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


class SearchStudy:
    """Asks a strategy for architectures until `trials` distinct ones within the budget are evaluated.

    Only architectures that need an evaluation leave `ask`: what the budget rules out is told at once, unevaluated,
    and what was evaluated before is told its known figures. The caller must have claimed the folder.

    A search may go in parts: opened with more `trials`, other prices or more `known` it goes on with all it has.

    Args:
        price: what an architecture costs on the device; its latency is known.
        macs: multiply-accumulates of an architecture.
        strategy: from the seed of a proposal to the sampler that makes it, for this very question.
        objectives: what is told to the strategy, in this order.
        strategy_name: marks the question; a study of another strategy is another study.
        known: evaluations that were made elsewhere. They are told on opening (marked "learned"), never evaluated here, and
            not counted in `trials`; what the study holds already is skipped. Of those that were stopped early only such are told
            as are on no front here.
        first: architectures to propose before the strategy is asked, as far as they are new and within the budget.
        price_list: marks the question where single prices changed (networks that were timed), which samples may not show.
        live: is told of every trial that has finished.
        draw: about so many genes (n, genes) at random, looked at where the strategy is stuck; best within the budget. None: any.
        answers: number of architectures within the budget, where it is known: when all of them are evaluated there is nothing left.

    Raises:
        StudyError: the study in the folder is damaged, or holds architectures of another space.
        ObjectivesError: one of the objectives is not known of the networks.
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
        *,
        objectives: Objectives = core_objectives.DEFAULT,
        strategy_name: str = "",
        known: Iterable[tuple[Architecture, Evaluation]] = (),
        first: Iterable[Architecture] = (),
        price_list: str = "",
        live: LiveCopy | None = None,
        draw: Callable[[int, np.random.Generator], Genes] | None = None,
        answers: int | None = None,
    ) -> None:
        self._folder, self._space, self._price, self._macs = folder, space, price, macs
        self._budget, self._objectives, self._strategy, self._trials, self._seed = budget, objectives, strategy, trials, seed
        self._distributions: dict[str, BaseDistribution] = {gene.name: IntDistribution(0, gene.options - 1) for gene in space.genes}
        self._size, self._answers = space.size, space.size if answers is None else answers
        self._waiting: dict[int, tuple[Trial, Candidate]] = {}
        self._records: dict[Architecture, Record] = {}
        self._evaluated, self._eligible = 0, 0
        self._front: list[tuple[tuple[float, ...], float]] = []  # costs and accuracy; estimates of rejected ones left out
        self._barren = 0
        self._made: set[int] = set()
        self._proposal = 0
        self._told = 0
        self._failed: set[Architecture] = set()
        self._live = live
        options = [gene.options for gene in space.genes]
        self._draw = draw or (lambda count, rng: rng.integers(0, options, size=(count, len(options)), dtype=np.int32))
        self._journal = Journal(folder / FILE_NAME)
        self.study = self._open(JournalStorage(self._journal), strategy_name, price_list)
        self._shift = 0 if self.study.study_name == STUDY_NAME else int(self.study.study_name.rpartition("-")[2]) * 7_368_787
        again = [Architecture(self._key, tuple(genes)) for genes in self.study.user_attrs.get(_AGAIN, [])]
        self._first = [one for one in (*again, *self._learn(known), *first) if self._budget.holds(self._price(one))]
        self._write(durable=True)

    @property
    def _key(self) -> str:
        """What architectures of the space are marked with."""
        return self._space.architecture([0] * len(self._distributions)).space

    def _open(self, storage: JournalStorage, strategy_name: str, price_list: str) -> optuna.Study:
        """The study in `storage` that asks what is asked now; begun, and told what is known, where there is none."""
        asked_now = question(self._budget, self._objectives, strategy_name)
        asked_now["prices"] = price_list + _digest(self._space, self._price)
        names = study_journal.names(storage)
        if not names:
            self.study = study_journal.create(storage, STUDY_NAME, self._objectives)
            self.study.set_user_attr(QUESTION, asked_now)
            return self.study
        self.study = optuna.load_study(study_name=names[-1], storage=storage)
        told = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        self._refuse_another_space(from_attribute(trial.user_attrs["candidate"]).architecture for trial in told[:1])
        asked = self.study.user_attrs.get(QUESTION)
        if asked is None and self._agrees(self.study):
            self.study.set_user_attr(QUESTION, asked_now)
        elif asked != asked_now:
            return self._begin_again(storage, f"{STUDY_NAME}-{len(names) + 1}", asked_now)
        self._resume()
        return self.study

    def _agrees(self, study: optuna.Study) -> bool:
        """Whether a study of version 0.1, which does not say what it asks, was told values and constraints as they are now."""
        told = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        pairs = [(trial, from_attribute(trial.user_attrs["candidate"])) for trial in told]
        return all(
            trial.values == self._objectives.values(record.accuracy, record.costs)
            and trial.constraints == dict(self._budget.violations(record.costs))
            for trial, record in pairs
        )

    def _begin_again(self, storage: JournalStorage, name: str, asked_now: Mapping[str, Any]) -> optuna.Study:
        """A new study that knows what the present one does. Nothing of it is written yet."""
        known = records(self.study)
        self.study = study_journal.create(storage, name, self._objectives)
        again = self._tell_known(known)
        self.study.set_user_attr(_AGAIN, [list(one.genes) for one in again])
        self.study.set_user_attr(QUESTION, asked_now)
        return self.study

    def _learn(self, known: Iterable[tuple[Architecture, Evaluation]]) -> list[Architecture]:
        """Tells what is known from elsewhere and not yet here; those that are to be evaluated here all the same."""
        new = {one: evaluation for one, evaluation in known if one not in self._records}
        self._refuse_another_space(new)
        return self._tell_known(Record(0, one, Costs(None), 0, evaluation, learned=True) for one, evaluation in new.items())

    def _refuse_another_space(self, known: Iterable[Architecture]) -> None:
        others = sorted({architecture.space for architecture in known} - {self._key})
        if others:
            raise StudyError(
                f"the run in {self._folder} was begun with {', '.join(others)}, now it is {self._key}: "
                f"give --fresh to start over, or another --out"
            )

    def _tell_known(self, known: Iterable[Record]) -> list[Architecture]:
        """Tells records at today's prices; those left out that were stopped early and would be on the front of what is known."""
        again = []
        for old in sorted(known, key=lambda record: record.rejected):  # whole evaluations first
            costs = self._price(old.architecture)
            within = self._budget.holds(costs)
            if old.evaluation is None and within:
                continue
            if old.rejected and within and old.accuracy > self._to_beat(costs):
                again.append(old.architecture)
                continue
            record = replace(old, number=self._told, costs=costs, macs=self._macs(old.architecture), within=within)
            trial = create_trial(
                values=self._objectives.values(record.accuracy, costs),
                params=dict(zip(self._distributions, record.architecture.genes, strict=True)),
                distributions=self._distributions,
                user_attrs={"candidate": to_attribute(record), ("learned" if record.learned else "told_again"): True},
                constraints=dict(self._budget.violations(costs)),
            )
            self.study.add_trial(trial)
            self._told += 1
            self._keep(record)
        return again

    @property
    def records(self) -> tuple[Record, ...]:
        """Every distinct architecture told so far, in order."""
        return tuple(self._records.values())

    @property
    def evaluated(self) -> int:
        """Number of distinct architectures within the budget that were evaluated for this run."""
        return self._evaluated

    def ask(self) -> Candidate | None:
        """The next architecture to evaluate, or None when enough are evaluated or on their way, or none is left.

        Raises:
            StudyError: the strategy keeps proposing what is known or out of budget.
        """
        try:
            while not self._has_enough():
                if self._barren >= _GIVE_UP:
                    if self._waiting:  # a result may bring the strategy on
                        return None
                    raise StudyError(
                        f"{self._barren} proposals in a row were known or beyond the budget of {self._budget}; {self._evaluated} "
                        f"architectures are evaluated, {self._trials} were asked for. "
                        f"Give fewer --trials, or wider limits"
                    )
                candidate = self._propose()
                if candidate is not None:
                    return candidate
            return None
        finally:
            self._write(durable=False)

    def tell(self, number: int, evaluation: Evaluation) -> None:
        """Records the evaluation of the candidate `number`, durably."""
        trial, candidate = self._take(number)
        self._tell(trial, self._record(candidate, evaluation))
        self._write(durable=True)

    def fail(self, number: int, reason: str) -> None:
        """Records that the candidate `number` could not be evaluated; it may be proposed again."""
        trial, candidate = self._take(number)
        self._failed.add(candidate.architecture)
        trial.set_user_attr("failure", reason)
        self.study.tell(trial, state=TrialState.FAIL)
        self._write(durable=True)

    def _has_enough(self) -> bool:
        waiting = len(self._waiting)
        all_known = len(self._records) + waiting >= self._size or self._eligible + waiting >= self._answers
        return all_known or self._evaluated + waiting >= self._trials

    def _write(self, durable: bool) -> None:
        self._journal.write(durable)
        if self._live:
            self._live.update(self.study)

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
        else:
            self._enqueue_first()
        self.study.sampler = self._strategy((self._seed * 1_000_003 + self._shift + proposal) % 2**31)
        trial = self.study.ask(self._distributions)
        trial.set_user_attr("proposal", proposal)
        params = trial.params
        architecture = self._space.architecture([params[name] for name in self._distributions])
        costs = self._price(architecture)
        candidate = Candidate(trial.number, architecture, costs, self._to_beat(costs))
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
        within = self._budget.holds(candidate.costs)
        return Record(candidate.number, candidate.architecture, candidate.costs, macs, evaluation, within)

    def _tell(self, trial: Trial, record: Record) -> None:
        """Attributes first, then the state: a trial that is complete has everything."""
        trial.set_user_attr("candidate", to_attribute(record))
        self.study.tell(trial, self._objectives.values(record.accuracy, record.costs))
        self._keep(record)

    def _keep(self, record: Record) -> None:
        if record.architecture not in self._records:
            self._records[record.architecture] = record
            self._eligible += record.eligible
            self._evaluated += record.eligible and not record.learned
            if record.eligible and not record.rejected and record.accuracy > self._to_beat(record.costs):
                costs, accuracy = self._objectives.of(record.costs), record.accuracy
                beaten = [point for point in self._front if point[1] <= accuracy and all(map(le, costs, point[0]))]
                self._front = [*(point for point in self._front if point not in beaten), (costs, accuracy)]

    def _to_beat(self, costs: Costs) -> float:
        """The best accuracy that a candidate has reached which is no worse in any other objective."""
        wanted = self._objectives.of(costs)
        return max((accuracy for reached, accuracy in self._front if all(map(le, reached, wanted))), default=float("-inf"))

    def _resume(self) -> None:
        """Takes over what the study holds. A trial that a dead process left behind is failed, its proposal made again."""
        trials = self.study.get_trials(deepcopy=False)
        self._told = len(trials)
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                self.study.tell(trial.number, state=TrialState.FAIL)
                continue
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "failure" in trial.user_attrs:
                self._made.add(trial.user_attrs.get("proposal", -1))
            if "failure" in trial.user_attrs and len(trial.params) == len(self._distributions):
                self._failed.add(self._space.architecture([trial.params[name] for name in self._distributions]))
            if trial.state == TrialState.COMPLETE:
                record = from_attribute(trial.user_attrs["candidate"])
                self._keep(record)
                if "proposal" in trial.user_attrs:
                    new = record.number == trial.number and record.evaluation is not None
                    self._barren = 0 if new else self._barren + 1

    def _enqueue_first(self) -> None:
        """Puts the next of the architectures that are to be looked at first before the strategy's own proposal."""
        self._first = [one for one in self._first if one not in self._records and one not in self._failed]
        waiting = {candidate.architecture for _, candidate in self._waiting.values()}
        wanted = next((one for one in self._first if one not in waiting), None)
        if wanted and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial(dict(zip(self._distributions, wanted.genes, strict=True)))

    def _enqueue_random(self, proposal: int) -> None:
        """Puts an architecture drawn at random before the strategy's own proposal: a new one that fits, if one turns up."""
        if self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):  # a process was killed right here
            return
        known = {*self._records, *(candidate.architecture for _, candidate in self._waiting.values())}
        for genes in self._draw(_DRAWS, np.random.default_rng((self._seed, proposal))):
            architecture = self._space.architecture(genes.tolist())
            if architecture not in known and self._budget.holds(self._price(architecture)):
                self.study.enqueue_trial(dict(zip(self._distributions, architecture.genes, strict=True)))
                return


def records(study: optuna.Study) -> list[Record]:
    """Every distinct architecture that `study` holds, in the order of its first trial."""
    found: dict[Architecture, Record] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        record = from_attribute(trial.user_attrs["candidate"])
        found.setdefault(record.architecture, record)
    return list(found.values())


def question(budget: Budget, objectives: Objectives, strategy_name: str) -> dict[str, Any]:
    """What a study asks, but for the prices, as its attribute `QUESTION` has it."""
    return {"budget": dict(budget.limits), "objectives": list(objectives.names), "strategy": strategy_name}


def _digest(space: Space, price: Callable[[Architecture], Costs]) -> str:
    """Twelve digits of what a few architectures cost, in which every option of every gene appears (of many options, some)."""
    count = min(max(gene.options for gene in space.genes), _SAMPLED)
    told = []
    for number in range(count):
        costs = price(space.architecture([number * gene.options // count for gene in space.genes]))
        interval = costs.latency
        latency = (interval.ms, interval.low_ms, interval.high_ms) if interval else ()
        told.append(
            [None if one is None else f"{one:.9g}" for one in (*latency, costs.size_mb, costs.memory_mb, costs.power_w, costs.macs)]
        )
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]
