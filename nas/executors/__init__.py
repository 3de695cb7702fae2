"""Who evaluates, one file each; never what to try. An executor asks the study, evaluates, and tells it."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nas.core import plugins
from nas.core.architecture import Architecture
from nas.core.evaluation import Evaluation

if TYPE_CHECKING:
    from nas.study import Candidate

MAX_RETRIES = 3
"""How often an evaluation is tried again whose worker died."""


class Asked(Protocol):
    """What an executor sees of a search: `nas.study.SearchStudy`, or several of them that take turns."""

    def ask(self) -> "Candidate | None":
        """The next candidate; None at the end, and while only the results of what was asked before can bring more."""

    def tell(self, number: int, evaluation: Evaluation) -> None:
        """Records the evaluation of the candidate `number`, durably."""

    def fail(self, number: int, reason: str) -> None:
        """Records that the candidate `number` could not be evaluated."""


@dataclass(frozen=True, slots=True)
class Job:
    """A search to execute. `told` is called after every evaluation; `folder` is the run's, for scratch files.

    `evaluate` gets an architecture and the accuracy that it has to beat to be of use.
    """

    study: Asked
    evaluate: Callable[[Architecture, float], Evaluation]
    told: Callable[[], None]
    workers: int
    ray_address: str | None
    folder: Path


Executor = Callable[[Job], None]
"""Evaluates until the study has enough. An evaluation that raises ends the search with an ExecutorError, at once and for
every executor alike: it would raise again. What was told before is kept."""


def explain(architecture: Architecture, error: Exception) -> str:
    """Why the evaluation of `architecture` failed with `error`, and where."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"the evaluation of {architecture.id} failed with {type(error).__name__}: {error} ({Path(place.filename).name}, line "
        f"{place.lineno}); what was evaluated before is kept, and the same command continues"
    )


def died(architecture: Architecture) -> str:
    """That the workers died over `architecture` once too often."""
    return (
        f"a worker died {MAX_RETRIES + 1} times while it evaluated {architecture.id}: out of memory? "
        f"Give fewer --workers; what was evaluated is kept, and the same command continues"
    )


def names() -> tuple[str, ...]:
    """Names of all executors, sorted."""
    return plugins.names(__name__)


def require(name: str) -> None:
    """Raises unless there is an executor of that name; imports none.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    plugins.find(__name__, name, "executor")


def load(name: str) -> Executor:
    """The executor of that name; a unique beginning is enough.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    executor: Executor = plugins.load(__name__, name, "executor")
    return executor
