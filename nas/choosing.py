"""Which of the candidates become picks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.core.pareto import front, spread

if TYPE_CHECKING:
    from nas.study import Record


def choose(records: "Sequence[Record]", picks: int) -> "list[Record]":
    """At most `picks` candidates, evenly spread over latency, both ends of the front among them; fastest first.

    They come from the front of validation accuracy and latency. If it has too few members, the front of what is left
    is added, and so on: fine-tuning may still change who is best. Those whose evaluation was stopped early come last.
    """
    pool: list[Record] = []
    for rejected in (False, True):
        left = [record for record in records if record.evaluation is not None and bool(record.evaluation.rejected_after) == rejected]
        while left and len(pool) < picks:
            members = front(left, _accuracy, _latency_ms)
            pool += spread(members, picks - len(pool), _latency_ms)
            left = [record for record in left if record not in members]
    return sorted(pool, key=_latency_ms)


def _accuracy(record: "Record") -> float:
    assert record.evaluation is not None, "only evaluated candidates are compared"
    return record.evaluation.accuracy


def _latency_ms(record: "Record") -> float:
    return record.latency.ms
