"""How long work tells how far it is: a contract for libraries, which never print, and its picture in a terminal."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column


class Bar(Protocol):
    """One piece of long work."""

    def at(self, done: int, note: str = "") -> None:
        """Work stands at `done` units; `note` says in a few words how it goes."""


class Display(Protocol):
    """Where progress and remarks go."""

    def bar(self, what: str, total: int) -> AbstractContextManager[Bar]:
        """A context in which `what`, of `total` units, is worked on."""

    def say(self, sentence: str) -> None:
        """A remark that a person should see."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Bar]:
        """A bar that nobody sees."""
        yield _Unseen()

    def say(self, sentence: str) -> None:
        """Nothing."""


class _Unseen:
    def at(self, done: int, note: str = "") -> None:
        """Nothing."""


class Terminal:
    """Bars with the time left on a console; where there is no terminal, a line when a piece of work ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Bar]:
        """A live bar with what is done, elapsed and left."""
        whole = Column(no_wrap=True)
        columns = (
            SpinnerColumn(table_column=whole),
            TextColumn("{task.description}", table_column=whole),
            BarColumn(bar_width=16, table_column=whole),
            MofNCompleteColumn(table_column=whole),
            TimeElapsedColumn(table_column=whole),
            TextColumn("left", table_column=whole),
            TimeRemainingColumn(compact=True, table_column=whole),
            TextColumn("[dim]{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        )
        with Progress(*columns, console=self._console, refresh_per_second=4, expand=True) as progress:
            task = progress.add_task(what, total=total, note="")
            yield _Shown(progress, task)

    def say(self, sentence: str) -> None:
        """The sentence on a line of its own, on the console."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)


class _Shown:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def at(self, done: int, note: str = "") -> None:
        """Moves the bar."""
        self._progress.update(self._task, completed=done, note=note)
