"""What a training went through, step by step: a CSV file and TensorBoard events beside the checkpoint.

Both continue with the training: steps that it repeats after a stop or a roll-back replace those of before.
"""

import math
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from nas.files import atomic_write


@dataclass(frozen=True, slots=True)
class Row:
    """One step. `epoch` is a fraction, `images_per_s` counts images of the batch once, however many networks saw them.

    Losses that the step does not have are NaN: an empty cell, and no event.
    """

    step: int
    epoch: float
    largest_loss: float
    smallest_loss: float
    sampled_loss: float
    learning_rate: float
    gradient_norm: float
    images_per_s: float


_COLUMNS = tuple(field.name for field in fields(Row))


class TrainingLog:
    """Rows of a training whose checkpoint is at `checkpoint`: a file .csv and a folder .tensorboard; None writes nothing.

    A context, which begins with `restart`: rows are on disk when it ends, or after `flush`.
    """

    def __init__(self, checkpoint: Path | None) -> None:
        self._checkpoint = checkpoint
        self._outputs: tuple[TextIO, Any] | None = None

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def restart(self, step: int) -> None:
        """Begins, or goes back: forgets the rows of all steps after `step`."""
        if self._checkpoint is None:
            return
        from tensorboardX import SummaryWriter

        self._close()
        table = self._checkpoint.with_suffix(".csv")
        atomic_write(table, "".join(f"{line}\n" for line in (",".join(_COLUMNS), *rows_until(table, step))))
        events = str(self._checkpoint.with_suffix(".tensorboard"))
        # without the suffix a second start within a second would write over the first one's file
        self._outputs = table.open("a"), SummaryWriter(events, purge_step=step + 1, filename_suffix=f".{time.time_ns()}")

    def add(self, row: Row) -> None:
        """One more row."""
        if self._outputs is None:
            return
        file, writer = self._outputs
        there = {name: value for name, value in zip(_COLUMNS, astuple(row), strict=True) if not math.isnan(value)}
        cells = {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in there.items()}
        file.write(",".join(cells.get(name, "") for name in _COLUMNS) + "\n")
        for name, value in there.items():
            if name != "step":
                writer.add_scalar(name, value, row.step)

    def flush(self) -> None:
        """Brings all rows to disk."""
        for output in self._outputs or ():
            output.flush()

    def _close(self) -> None:
        for output in self._outputs or ():
            output.close()
        self._outputs = None


def rows_until(table: Path, step: int) -> list[str]:
    """Lines of the CSV file at `table` up to `step`, without the heading; none of a file that is not there."""
    if not table.exists():
        return []
    lines = table.read_text().splitlines()[1:]
    return [line for line in lines if line.count(",") == len(_COLUMNS) - 1 and int(line.partition(",")[0]) <= step]
