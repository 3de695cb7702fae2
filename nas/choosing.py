"""Which of the candidates become picks, and which version of a pick is to be shipped."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.objectives import DEFAULT, Objectives
from nas.core.pareto import spread
from nas.core.result import Step

if TYPE_CHECKING:
    from nas.records import Record


ALLOWED_LOSS = 0.01
"""Validation accuracy that a compressed version may lose against fp32 and still be recommended."""
PRICE = 0.1
"""What of it a latency of nothing would be worth: a version that is a tenth faster than fp32 may lose a point, one as fast none."""


def _itself(architecture: Architecture) -> Architecture:
    return architecture


def choose(
    records: "Sequence[Record]",
    picks: int,
    objectives: Objectives = DEFAULT,
    plain: Callable[[Architecture], Architecture] = _itself,
) -> "list[Record]":
    """At most `picks` candidates within the budget, evenly spread over the first cost of `objectives`, both ends among them.

    They come from the front of validation accuracy and costs, and are given from the fastest to the slowest. If the front has too
    few members, that of what is left is added, and so on: fine-tuning may still change who is best. Those whose evaluation was
    stopped early come last. `plain` gives what a candidate is a version of (another precision, pruned): of chosen versions of
    the same network, all of which are made of it anyway, the most accurate stays, and others are chosen in place of the rest.
    """
    left = list(records)
    while True:
        chosen = _chosen(left, picks, objectives)
        best: dict[Architecture, Record] = {}
        for record in chosen:
            before = best.setdefault(plain(record.architecture), record)
            if (record.rejected, -record.accuracy) < (before.rejected, -before.accuracy):
                best[plain(record.architecture)] = record
        worse = {record.architecture for record in chosen} - {record.architecture for record in best.values()}
        if not worse:
            return chosen
        left = [record for record in left if record.architecture not in worse]


def _chosen(records: "Sequence[Record]", picks: int, objectives: Objectives) -> "list[Record]":
    """The same where every candidate is a network of its own."""

    def cost(record: "Record") -> float:
        return objectives.of(record.costs)[0]

    pool: list[Record] = []
    for rejected in (False, True):
        left = [record for record in records if record.eligible and record.rejected == rejected]
        while left and len(pool) < picks:
            members = objectives.front(left, lambda record: record.accuracy, lambda record: record.costs)
            pool += spread(members, picks - len(pool), cost)
            left = [record for record in left if record not in members]
    return sorted(pool, key=lambda record: record.latency.ms)


def recommend(steps: Sequence[Step], budget: Budget, precision: str, meant: str = "") -> str:
    """Name of the fastest version that keeps the fp32 version's validation accuracy, or is worth what it loses; fp32 leads ties.

    It may lose a point at most, and one that is less than a tenth faster so much less of it.

    The version that the search `meant`, where precision and pruning were searched for, is it unless it is beyond the budget or
    could not be made.

    Of the versions within all of `budget`, if there are any; else of those that would be if they were as slow as fp32. A
    `precision` other than fp32 was asked for: versions of it go first.
    Should none of them keep the accuracy, or none have a known latency, it is the most accurate.
    """
    if any(step.name == meant and budget.verdict(step.costs) is not False for step in steps):
        return meant
    floor = steps[0].validation_accuracy - ALLOWED_LOSS
    fitting = [step for step in steps if budget.holds(step.costs)]
    likely = [step for step in steps if step.latency is None and budget.holds(_as_slow_as(steps[0], step))]
    pool = fitting or likely or steps
    good = [step for step in pool if step.latency is not None and step.validation_accuracy >= floor]
    if precision == "fp32":
        good = [step for step in good if _worth_it(steps[0], step)]
    else:
        good = [step for step in good if step.latency and step.latency.target.precision == precision] or good
    if good:
        return min(good, key=lambda step: step.latency.total.high_ms if step.latency else float("inf")).name
    return max(pool, key=lambda step: step.validation_accuracy).name if pool is not steps else steps[0].name


def _worth_it(base: Step, step: Step) -> bool:
    """Whether what `step` loses against `base` is no more than its speed is worth; yes where the speed of either is not known."""
    if base.latency is None or step.latency is None:
        return True
    faster = max(0.0, 1.0 - step.latency.total.high_ms / base.latency.total.high_ms)
    return base.validation_accuracy - step.validation_accuracy <= PRICE * faster + 1e-9


def _as_slow_as(base: Step, step: Step) -> Costs:
    return replace(step.costs, latency=base.costs.latency, power_w=base.power_w)
