"""Who evaluates, one file each; never what to try. An executor asks the study, evaluates, and tells it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.core import plugins
from nas.core.architecture import Architecture
from nas.core.evaluation import Evaluation

if TYPE_CHECKING:
    from nas.study import SearchStudy

MAX_RETRIES = 3
"""How often an evaluation is tried again whose worker died."""


@dataclass(frozen=True, slots=True)
class Job:
    """A search to execute. `told` is called after every evaluation; `folder` is the run's, for scratch files."""

    study: "SearchStudy"
    evaluate: Callable[[Architecture], Evaluation]
    told: Callable[[], None]
    workers: int
    ray_address: str | None
    folder: Path


Executor = Callable[[Job], None]


def names() -> tuple[str, ...]:
    """Names of all executors, sorted."""
    return plugins.names(__name__)


def load(name: str) -> Executor:
    """The executor of that name; a unique beginning is enough.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    executor: Executor = plugins.load(__name__, name, "executor")
    return executor
