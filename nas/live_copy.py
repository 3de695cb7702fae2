"""A copy of the study in any storage of Optuna's, kept while the search goes on: `optuna-dashboard URL` shows it live.

The journal in the run folder stays the one truth: nothing is ever read back from the copy but which trials it has, and a copy that
cannot be written is a warning, never the end of a search.
"""

import copy
from collections.abc import Callable

import optuna
from optuna.trial import TrialState

from nas.core.errors import StudyError

NUMBER = "number"
"""User attribute of a copied trial: its number in the run's study."""
BEGUN = "begun"
"""User attribute of a copy: when the first trial of the run's study began, by which a run is told from others of its name."""


def refuse_wrong(url: str) -> None:
    """Raises where no database could ever be reached at `url`; whether this one can be shows when it is written.

    Raises:
        StudyError: it is no URL, of no kind of database that SQLAlchemy knows, or its driver is not installed.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(url).get_dialect().import_dbapi()
    except (ArgumentError, ImportError) as error:  # an unknown kind of database is the first
        why = str(error).splitlines()[0]
        raise StudyError(f"--dashboard {url} is no storage of Optuna's ({why}): give a URL such as sqlite:///search.db") from None


class LiveCopy:
    """Writes finished trials to the storage at `url`, such as "sqlite:///search.db"; `warn` is told once why it cannot.

    A study of the name `name` holds those of the run's first study, "`name` search-2" those of its second, and so on. Where another
    run has such a copy in the storage already (a folder of the same name, or one that was begun anew), the time follows at which
    this one began.
    """

    def __init__(self, url: str, name: str, warn: Callable[[str], None]) -> None:
        self._url, self._name, self._warn = url, name, warn
        self._copy: optuna.Study | None = None
        self._of: str | None = None
        self._there: set[int] = set()
        self._ended = 0
        self._given_up = False

    def update(self, study: optuna.Study) -> None:
        """Adds the trials of `study` that have finished and are not in the copy."""
        if self._given_up:
            return
        try:
            self._add(study)
        except Exception as error:  # whatever a database or its driver raises: the search does not need it
            self._given_up = True
            self._warn(f"The live copy in {self._url} is given up ({type(error).__name__}: {error}); the search goes on without it.")

    def _add(self, study: optuna.Study) -> None:
        trials = study.get_trials(deepcopy=False)
        if not trials:
            return
        if self._copy is None or self._of != study.study_name:
            self._begin(study, f"{trials[0].datetime_start:%Y-%m-%d %H:%M:%S.%f}")
        assert self._copy is not None, "just begun"
        for trial in trials[self._ended :]:
            if trial.state.is_finished() and trial.number not in self._there:
                copied = copy.copy(trial)
                copied.user_attrs = {**trial.user_attrs, NUMBER: trial.number}
                self._copy.add_trial(copied)
                self._there.add(trial.number)
        while self._ended < len(trials) and trials[self._ended].state.is_finished():
            self._ended += 1

    def _begin(self, study: optuna.Study, begun: str) -> None:
        """Finds or makes the copy of `study`, which is known by the time at which it began."""
        name = self._name if study.study_name == "search" else f"{self._name} {study.study_name}"
        there = optuna.get_all_study_summaries(self._url, include_best_trial=False)
        if any(one.study_name == name and one.user_attrs.get(BEGUN) != begun for one in there):
            name = f"{name}, begun {begun}"
        self._copy = optuna.create_study(study_name=name, storage=self._url, directions=study.directions, load_if_exists=True)
        self._copy.set_user_attr(BEGUN, begun)
        names = study.metric_names
        if names and not self._copy.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            self._copy.set_user_attr("objectives", list(names))
        self._there = {trial.user_attrs.get(NUMBER, -1) for trial in self._copy.get_trials(deepcopy=False)}
        self._of, self._ended = study.study_name, 0
