"""What networks that were found for one device would be on the others: the facts of a run for several devices as one value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nas.core.architecture import Architecture
from nas.core.comparison import Network, OnDevice
from nas.core.latency import estimate
from nas.core.result import Pick, RunResult
from nas.problem import Problem

if TYPE_CHECKING:
    from nas.records import Record

ONE_FOR_ALL = "one-for-all"
"""Folder of a run with the best single network: one folder in it for each device."""


def best_single(problems: Mapping[str, Problem], told: "Mapping[str, Sequence[Record]]") -> "Record | None":
    """Of all that was evaluated to the end for any device, the most accurate that is within the budgets of all of them.

    Of equals the one with fewest multiply-accumulates. None if nothing is.
    """
    found = [
        record
        for record in _evaluated(told).values()
        if not record.rejected and all(problem.budget.holds(problem.price(record.architecture)) for problem in problems.values())
    ]
    return max(found, key=lambda record: (record.accuracy, -record.macs, record.architecture.id), default=None)


def compare(
    problems: Mapping[str, Problem],
    told: "Mapping[str, Sequence[Record]]",
    results: Mapping[str, RunResult],
    single: Architecture | None,
    singles: Mapping[str, Pick],
) -> tuple[Network, ...]:
    """All picks, what is on the fronts of several devices, and `single`, on every device; the fastest on the first device first.

    Every mapping is by the names of the devices, in their order; `singles` has `single` as it was finished for each device
    that did not pick it.
    """
    known = {record.architecture.id: record for record in _evaluated(told).values()}
    networks = [_network(known[one], problems, results, singles) for one in _wanted(results, single) if one in known]
    first = next(iter(problems))
    return tuple(sorted(networks, key=lambda network: (network.places[first].latency.total.ms, network.id)))


def evaluations(told: "Mapping[str, Sequence[Record]]") -> int:
    """Number of architectures that were evaluated, by whichever search."""
    return len(_evaluated(told))


def _evaluated(told: "Mapping[str, Sequence[Record]]") -> "dict[Architecture, Record]":
    """Every architecture with an accuracy; with that of all images where one search stopped early and another did not."""
    found: dict[Architecture, Record] = {}
    for record in (record for records in told.values() for record in records if record.evaluation is not None):
        before = found.get(record.architecture)
        if before is None or (before.rejected and not record.rejected):
            found[record.architecture] = record
    return found


def _wanted(results: Mapping[str, RunResult], single: Architecture | None) -> Iterator[str]:
    """Ids of the architectures to compare, each once."""
    fronts = [_front(result) for result in results.values()]
    ids = [pick.architecture.id for result in results.values() for pick in result.picks]
    ids += [one for front in fronts for one in front if sum(one in other for other in fronts) > 1]
    yield from dict.fromkeys([*ids, *([single.id] if single else [])])


def _front(result: RunResult) -> dict[str, None]:
    """Ids of the search's front, in a fixed order."""
    return {one.id: None for one in result.candidates if one.on_front and one.feasible}


def _network(record: "Record", problems: Mapping[str, Problem], results: Mapping[str, RunResult], singles: Mapping[str, Pick]) -> Network:
    """The architecture of `record` on every device."""
    architecture = record.architecture
    places = {}
    for name, problem in problems.items():
        result = results[name]
        chosen = next((pick for pick in result.picks if pick.architecture == architecture), None)
        made = singles.get(name)
        spare = made if made is not None and made.architecture == architecture else None
        costs, latency = problem.price(architecture), estimate(problem.model, problem.network(architecture))
        if (timed := problem.timed.get(architecture)) is not None:
            latency = replace(latency, total=timed, origin="measured")
        places[name] = OnDevice(
            latency,
            costs,
            problem.budget.verdict(costs),
            architecture.id in _front(result),
            chosen is not None,
            chosen or spare,
            name if chosen else f"{ONE_FOR_ALL}/{name}" if spare else "",
        )
    space, resolution = problem.space, problem.network(architecture).resolution
    return Network(architecture, space.describe(architecture), resolution, record.macs, record.accuracy, places)
