"""The file of a study: Optuna's journal format, one line an event, for a single writer and any number of readers.

Events are held back and written once a trial. A crash can tear the last line, after which Optuna alone could never read the
file again, or end the beginning of another study (`nas.study` says what for) half way: opening the file for writing cuts both off.
"""

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock

from nas.core.errors import StudyError
from nas.core.objectives import Objectives

FILE_NAME = "study.journal"
STUDY_NAME = "search"
"""Of the first study in a journal; those after it are "search-2", "search-3" and so on, and the newest counts."""
QUESTION = "question"
"""User attribute with what a study asks. It is set last of what a study begins with, and so is the mark of one that has begun."""

_CREATE_STUDY, _SET_STUDY_ATTRIBUTE = 0, 2
"""Optuna's numbers of two events."""


class Journal(BaseJournalBackend):
    """Optuna's journal for a single writer: events are held back until `write`, so that a trial costs one write, not 25.

    Raises:
        StudyError: a line in its middle is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unwritten: list[str] = []
        self._unread, _ = _repaired(path)
        self._first_unread = 0

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
    """Cuts off the journal at `path` a torn last line, and a study that had not wholly begun; returns the number of bytes cut.

    Raises:
        StudyError: a line in its middle is damaged.
    """
    return _repaired(path)[1]


def _repaired(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The events that are left, and the number of bytes cut."""
    found = events(path)
    if not path.exists():
        return found, 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    half = _half_begun(found)
    if half is not None:
        whole = sum(len(line) + 1 for line in data.split(b"\n")[:half])
        found = found[:half]
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
    return found, len(data) - whole


def _half_begun(found: Sequence[dict[str, Any]]) -> int | None:
    """Number of the event with which a study was created, after the first, that does not say what it asks; None if there is none."""
    created = [number for number, event in enumerate(found) if event.get("op_code") == _CREATE_STUDY]
    if not created or not str(found[created[-1]].get("study_name")).startswith(f"{STUDY_NAME}-"):
        return None
    told = [event.get("user_attr", {}) for event in found[created[-1] :] if event.get("op_code") == _SET_STUDY_ATTRIBUTE]
    return None if any(QUESTION in attribute for attribute in told) else created[-1]


def events(path: Path) -> list[dict[str, Any]]:
    """All events in the journal at `path` but a torn last one; none if there is no file.

    Raises:
        StudyError: a line in its middle is damaged.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise StudyError(f"line {number} of {path} is damaged ({error}): restore the file, or begin again with --fresh") from None
    return found


def create(storage: JournalStorage, name: str, objectives: Objectives) -> optuna.Study:
    """A new study in `storage`, which says by its metric names what its values are."""
    study = optuna.create_study(study_name=name, storage=storage, directions=list(objectives.directions))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # only names in plots depend on it
        study.set_metric_names(list(objectives.keys))
    return study


def names(storage: JournalStorage) -> list[str]:
    """Names of all studies in `storage` that have begun, the newest last."""
    return [one.study_name for one in storage.get_all_studies() if one.study_name == STUDY_NAME or QUESTION in one.user_attrs]


def load(run: str | Path) -> optuna.Study:
    """The study of the run folder `run`, for reading: trials, attributes, `best_trials`, `optuna.visualization`.

    Of several the newest, which asks what was asked last.

    Raises:
        StudyError: the folder holds no study, or a damaged one.
    """
    path = Path(run) / FILE_NAME
    if not path.exists():
        raise StudyError(f"{run} holds no study ({FILE_NAME} is missing): give the folder that `nas.search --out` wrote")
    events(path)
    storage = JournalStorage(JournalFileBackend(str(path), _Reader(str(path))))
    found = names(storage)
    if not found:
        raise StudyError(f"the study in {run} has not begun: give the run's command again")
    return optuna.load_study(study_name=found[-1], storage=storage)
