"""Rows of a training: what is written is read back, however long it is and whatever a step lacks."""

import math

from nas.training_log import Row, TrainingLog, rows_until


def test_a_million_steps_are_counted_to_the_step(tmp_path):
    """A training that is continued reads the numbers of its steps."""
    path, last = tmp_path / "supernet.safetensors", 1_234_567
    with TrainingLog(path) as log:
        log.restart(0)
        log.add(Row(last - 1, 9.0, math.nan, math.nan, 0.75, 0.1, 1.0, 500.0))
        log.add(Row(last, 9.5, 0.25, 0.5, math.nan, 0.1, 1.0, 500.0))
    table = path.with_suffix(".csv")
    assert rows_until(table, last) == [f"{last - 1},9,,,0.75,0.1,1,500", f"{last},9.5,0.25,0.5,,0.1,1,500"]
    assert rows_until(table, last - 1) == [f"{last - 1},9,,,0.75,0.1,1,500"]
