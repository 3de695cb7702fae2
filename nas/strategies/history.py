"""What a study holds, as arrays that grow with it: reading a thousand trials again for each proposal would cost more than it."""

import weakref
from dataclasses import dataclass

import numpy as np
from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from nas.core.landscape import Floats, Genes, Landscape, Mask


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Distinct architectures of a study that were evaluated, in the order of their trials, and whatever is known beside them.

    `genes` (n, genes), `accuracy` (n,) and `costs` (n, k), the objectives that are to be small, are of those evaluated. `within`
    (n,) says which of them are within the budget: what was evaluated under another one may teach, but is no answer. `seen` are
    keys (`key`) of these and of what is being evaluated, is beyond the budget, or could not be evaluated; `waiting` counts those
    being evaluated.
    """

    genes: Genes
    accuracy: Floats
    costs: Floats
    within: Mask
    seen: frozenset[bytes] | set[bytes]
    waiting: int

    def first(self, count: int) -> "History":
        """What was known after the first `count` evaluations."""
        return History(self.genes[:count], self.accuracy[:count], self.costs[:count], self.within[:count], frozenset(), 0)


def key(genes: Genes) -> bytes:
    """One architecture as a value that can be looked up."""
    return np.ascontiguousarray(genes, dtype=np.int32).tobytes()


class Reader:
    """Reads one study again and again; what has ended is read once."""

    def __init__(self, landscape: Landscape) -> None:
        self._landscape = landscape
        self._study: weakref.ref[Study] | None = None
        self._begin()

    def _begin(self) -> None:
        self._ended = 0
        self._seen: set[bytes] = set()
        self._told: set[bytes] = set()
        self._count = 0
        self._genes = np.empty((256, len(self._landscape.options)), dtype=np.int32)
        self._values = np.empty((256, len(self._landscape.objectives.names)))
        self._within = np.empty(256, dtype=np.bool_)

    def read(self, study: Study, current: int) -> History:
        """The history of `study` before its trial number `current`, which is the one being proposed."""
        if self._study is None or self._study() is not study:
            self._study = weakref.ref(study)
            self._begin()
        trials = study.get_trials(deepcopy=False)
        while self._ended < len(trials) and trials[self._ended].state.is_finished():
            self._take(trials[self._ended])
            self._ended += 1
        running, later = set(), []
        for trial in trials[self._ended :]:
            if trial.number == current or trial.state == TrialState.WAITING:
                continue
            if trial.state.is_finished():
                later.append(trial)
            elif len(trial.params) == len(self._landscape.names):
                running.add(key(self._of(trial)))
        if not later:
            return self._history(running)
        kept = self._count, set(self._seen), set(self._told)  # these are taken for good when all before them have ended
        for trial in later:
            self._take(trial)
        history = self._history(running)
        self._count, self._seen, self._told = kept
        return history

    def _history(self, running: set[bytes]) -> History:
        genes, values, within = self._genes[: self._count].copy(), self._values[: self._count].copy(), self._within[: self._count].copy()
        place = self._landscape.objectives.place
        costs = np.delete(values, place, axis=1)
        return History(genes, values[:, place], costs, within, self._seen | running if running else self._seen, len(running))

    def _of(self, trial: FrozenTrial) -> Genes:
        raw = np.array([[trial.params[name] for name in self._landscape.names]], dtype=np.int32)
        return np.asarray(self._landscape.nearest(raw)[0], dtype=np.int32)

    def _take(self, trial: FrozenTrial) -> None:
        if trial.state == TrialState.FAIL and "failure" not in trial.user_attrs:  # a process ended here: proposed again
            return
        if len(trial.params) < len(self._landscape.names):
            return
        genes = self._of(trial)
        name = key(genes)
        self._seen.add(name)
        if trial.state != TrialState.COMPLETE or not np.isfinite(trial.values[self._landscape.objectives.place]) or name in self._told:
            return
        self._told.add(name)
        if self._count == len(self._values):
            self._genes, self._values = np.concatenate([self._genes] * 2), np.concatenate([self._values] * 2)
            self._within = np.concatenate([self._within] * 2)
        self._genes[self._count], self._values[self._count] = genes, trial.values
        self._within[self._count] = all(overrun <= 0.0 for overrun in trial.constraints.values())
        self._count += 1
