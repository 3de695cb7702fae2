"""What a run takes over from another one (`--warm-start RUN`).

Where both judge candidates alike (the same images, supernet, seed and judge), the other's evaluations hold here too: they are told to
the study as known, and the trained supernet is copied. Otherwise only the architectures of the other's front are taken, which are
evaluated here before anything else.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.core.architecture import Architecture
from nas.core.errors import StudyError
from nas.core.evaluation import Evaluation
from nas.core.objectives import Objectives
from nas.core.result import InputFormat
from nas.run_folder import RunFolder
from nas.settings import RunSettings

if TYPE_CHECKING:
    from nas.records import Record

_ALIKE = ("data", "accuracy", "seed", "supernet", "weights", "retrain", "calibration_images", "validation_images")
"""Settings of which an evaluation is made; where they are the same, it is."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What is taken over: evaluations that hold here, architectures to evaluate first, and a trained supernet; `said` tells of it."""

    known: tuple[tuple[Architecture, Evaluation], ...] = ()
    first: tuple[Architecture, ...] = ()
    checkpoint: Path | None = None
    said: str = ""

    def lend(self, folder: RunFolder) -> None:
        """Copies the trained supernet into `folder`, which the caller has claimed, unless it has one."""
        if self.checkpoint is not None and not folder.checkpoint.exists():
            unfinished = folder.checkpoint.with_suffix(".copy")
            shutil.copyfile(self.checkpoint, unfinished)
            os.replace(unfinished, folder.checkpoint)


NOTHING = WarmStart()


def read(settings: RunSettings, space: str, eats: Mapping[str, int], path: Path) -> WarmStart:
    """What a run in the folder `path` with `settings` takes over from `settings.warm_start`.

    `space` is the key of its space (`name@digest`), `eats` the number of "channels" and "classes" of its images, empty for a table,
    whose evaluations hold for whoever searches it.

    Raises:
        StudyError: there is no run, or one in another space or for images of another form; names both sides. Or it is this run.
    """
    if not settings.warm_start:
        return NOTHING
    other = RunFolder(Path(settings.warm_start))
    if other.path.resolve() == path.resolve():
        raise StudyError(f"--warm-start {other.path} is the run itself, which goes on with what it has without being told: leave it out")
    if not other.settings.exists():
        raise StudyError(
            f"--warm-start {other.path} holds no run (settings.toml is missing): give the folder that `nas.search --out` wrote"
        )
    before = RunSettings.read(other.settings)
    told = _records(other)
    if not told:
        raise StudyError(f"the run in {other.path} has evaluated nothing yet: leave --warm-start out, or let it begin")
    _refuse_another_form(other, told, space, eats)
    if not eats or all(getattr(before, name) == getattr(settings, name) for name in _ALIKE):
        known = tuple((record.architecture, record.evaluation) for record in told if record.evaluation)
        checkpoint = other.checkpoint if other.checkpoint.exists() else None
        said = f"{len(known)} evaluations of the run in {other.path} hold here too" + (", and so does its supernet." if checkpoint else ".")
        return WarmStart(known, (), checkpoint, said)
    different = ", ".join(name for name in _ALIKE if getattr(before, name) != getattr(settings, name))
    first = tuple(record.architecture for record in _front(told, Objectives.parse(before.objectives)))
    said = f"The run in {other.path} judged otherwise ({different}): the {len(first)} architectures of its front are evaluated here first."
    return WarmStart((), first, None, said)


def _records(other: RunFolder) -> "list[Record]":
    from nas.study import load, records

    return records(load(other.path))


def _front(told: "list[Record]", objectives: Objectives) -> "list[Record]":
    """Those within the other run's budget that nobody beats."""
    eligible = [record for record in told if record.eligible and not record.rejected]
    return objectives.front(eligible, lambda record: record.accuracy, lambda record: record.costs)


def _refuse_another_form(other: RunFolder, told: "list[Record]", space: str, eats: Mapping[str, int]) -> None:
    theirs = told[0].architecture.space
    if theirs != space:
        raise StudyError(
            f"--warm-start {other.path} searched {theirs}, this run searches {space}: architectures of one are none of the other"
        )
    if not eats or not other.input_format.exists():
        return
    found = other.load(other.input_format, InputFormat)
    shown = {"channels": found.channels, "classes": len(found.classes)}
    if shown != eats:
        sides = " and this run ".join(f"{one['channels']} channels and {one['classes']} classes" for one in (shown, eats))
        raise StudyError(f"--warm-start {other.path} was about images of {sides}: give a run on images of the same form")
