"""The study of a problem in its run folder: the one place where a `SearchStudy` is made of a `Problem`."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from nas.core.errors import StudyError
from nas.display import Display
from nas.run_folder import RunFolder

if TYPE_CHECKING:
    from nas.core.architecture import Architecture
    from nas.core.budget import Budget, Costs
    from nas.core.evaluation import Evaluation
    from nas.core.landscape import Landscape, Space
    from nas.core.objectives import Objectives
    from nas.live_copy import LiveCopy
    from nas.records import Record
    from nas.settings import RunSettings
    from nas.study import SearchStudy


class Searchable(Protocol):
    """What a study needs of a problem: `nas.problem.Problem` has it, and so has a search in a table."""

    @property
    def settings(self) -> "RunSettings":
        """What the run was told."""

    @property
    def searched(self) -> "Space":
        """What architectures are of."""

    @property
    def budget(self) -> "Budget":
        """The limits."""

    @property
    def objectives(self) -> "Objectives":
        """What is to be bettered."""

    @property
    def price_list(self) -> str:
        """Tells prices apart that differ in a few architectures alone."""

    def price(self, architecture: "Architecture") -> "Costs":
        """What an architecture costs."""

    def macs(self, architecture: "Architecture") -> int:
        """Its multiply-accumulates."""

    def landscape(self) -> "Landscape":
        """All of them as strategies see them."""


def open_study(
    problem: Searchable,
    folder: RunFolder,
    trials: int | None = None,
    known: "Iterable[tuple[Architecture, Evaluation]]" = (),
    first: "Iterable[Architecture]" = (),
    live: "LiveCopy | None" = None,
    landscape: "Landscape | None" = None,
    answers: int | None = None,
) -> "SearchStudy":
    """The study of `problem` in `folder`, which the caller has claimed, to go on until it has `trials` evaluations of its own.

    Without `trials` it is as many as the settings ask for. `landscape` is the problem's, if the caller has it already; the rest is
    as in `SearchStudy`.

    Raises:
        StudyError: the study is damaged, or holds architectures of another space.
    """
    from nas import strategies
    from nas.strategies.moves import feasible
    from nas.study import SearchStudy

    settings, landscape = problem.settings, landscape or problem.landscape()
    return SearchStudy(
        folder.path,
        problem.searched,
        problem.price,
        problem.macs,
        problem.budget,
        strategies.load(settings.strategy, landscape, settings.seed),
        settings.trials if trials is None else trials,
        settings.seed,
        objectives=problem.objectives,
        strategy_name=settings.strategy,
        price_list=problem.price_list,
        known=known,
        first=first,
        live=live,
        draw=partial(feasible, landscape),
        answers=answers,
    )


def answered(problem: Searchable, folder: RunFolder) -> "list[Record]":
    """What the study in `folder` holds, for reading.

    Raises:
        StudyError: there is none, it is damaged, or it does not ask what `problem` does: its search was not begun after a change.
    """
    from nas.study import QUESTION, load, question, records

    study = load(folder.path)
    asked = study.user_attrs.get(QUESTION, {})  # runs of version 0.1 have none
    now = question(problem.budget, problem.objectives, problem.settings.strategy)
    if any(asked.get(name, value) != value for name, value in now.items()):
        raise StudyError(
            f"the run in {folder.path} was told to look for something else, and has not begun to (it found networks within "
            f"{', '.join(f'{metric} {limit:g}' for metric, limit in asked['budget'].items())}): give its command again"
        )
    return records(study)


def judged(problem: Searchable, folder: RunFolder) -> "list[Record]":
    """The same where there must be an answer.

    Raises:
        StudyError: as in `answered`, or nothing within the budget is evaluated yet.
    """
    found = answered(problem, folder)
    if not any(record.eligible for record in found):
        raise StudyError(f"the run in {folder.path} has evaluated nothing within {problem.budget} yet: give its command again")
    return found


def live_copy(url: str, folder: RunFolder, display: Display) -> "LiveCopy | None":
    """The live copy of the study in `folder` at `url`, named as the folder; None where `url` is ""."""
    if not url:
        return None
    from nas.live_copy import LiveCopy

    return LiveCopy(url, folder.path.resolve().name, display.say)
