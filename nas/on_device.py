"""The device in the loop (`--target`): after every few evaluations networks are timed on it, and all prices are fitted to that.

A search goes in rounds: it evaluates for a while, then the members of its front and the candidates whose prices are least certain
are timed as whole networks, then the model's calibration is fitted again (`latency_models.refitting`) and the study goes on
at the new prices. An architecture that was timed costs what was measured. What is timed is kept in the run's folder
(`nas.timed_networks`); a device that is lost ends a round, never the search.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from latency_models.fitting import mape_percent
from latency_models.refitting import Refit, Timed, known_networks, refit
from nas import timed_networks
from nas.bench import PASSES, Bench, time_networks, title
from nas.core.architecture import Architecture
from nas.core.errors import InfeasibleBudgetError, StudyError
from nas.core.latency import Interval, LatencyModel, estimate
from nas.core.pareto import spread
from nas.core.result import DeviceCheck, Pick, TimedResult
from nas.display import Display
from nas.measuring.journal import Found, conditions
from nas.problem import Problem
from nas.run_folder import RunFolder
from nas.timed_networks import Round, TimedNetwork, TimedNetworks

if TYPE_CHECKING:
    from nas.records import Record

ROUNDS = 4
"""Rounds of a search in which the user does not say how many evaluations one is to have."""

OF_FRONT, UNCERTAIN = 4, 2
"""Networks that are timed in a round at most: members of the front, and candidates of uncertain price."""

MUTANTS = 2000
"""Relatives of the front's members among which uncertain ones are sought."""

DRIFT = 0.05
"""Change of the sentinel network between rounds that a reader is told of."""

PARTIAL = "measured.partial"
"""What the round that goes on has timed so far, in the run's folder."""


def search(
    problem: Problem,
    bench: Bench | None,
    every: int | None,
    folder: RunFolder,
    display: Display,
    explore: "Callable[[Problem], Sequence[Record]]",
) -> "tuple[Problem, Sequence[Record]]":
    """Explores `problem`, in rounds where there is a bench, and returns it at its last prices with all records at these.

    `explore` evaluates until as many architectures are within the budget as the problem's settings ask for, and returns all
    records; it may be called again with other prices. `every` is the number of evaluations between rounds, by default a
    quarter of all. What the folder's run has timed before counts also where there is no bench now.

    Raises:
        InfeasibleBudgetError: the networks that were timed show that none is within the budget.
    """
    if bench is None:
        now = repriced(problem, timed_networks.read(folder.path))
        return now, explore(now)
    trials = problem.settings.trials
    every = every or math.ceil(trials / ROUNDS)
    history = timed_networks.begin(folder.path, title(problem, bench))
    again = bool(history.rounds and history.rounds[-1].lost)
    records = _told(folder)
    while True:
        now = repriced(problem, history)
        stuck = _exhausted(now, records, display) if history.networks else False
        before = _evaluated(records)
        within = sum(one.evaluation is not None and not one.learned and now.budget.holds(now.price(one.architecture)) for one in records)
        goal = within if stuck else min(trials, within + max(0, history.evaluated + every - before))
        records = explore(_asking(now, goal))
        done = _evaluated(records)
        enough = sum(one.eligible and not one.learned for one in records) >= trials
        finished = stuck or enough or (done == before and goal > within)
        due = done >= history.evaluated + every or (finished and (done > history.evaluated or again))
        again = False
        if not due:
            if finished:
                return now, records
            continue
        history = _round(now, bench, records, history, folder, display)


def repriced(problem: Problem, history: TimedNetworks) -> Problem:
    """`problem` at the prices that the timed networks of closed rounds give."""
    if not history.networks:
        return problem
    return problem.at(tuple(_refitted(problem, history, model)[0].model for model in problem.models), history.prices)


def _refitted(problem: Problem, history: TimedNetworks, model: LatencyModel) -> tuple[Refit, list[TimedNetwork]]:
    """`model` as the timed networks that it prices correct it, and which these are."""
    own = [one for one in history.networks if problem.model_of(one.architecture).target == model.target]
    timed = [Timed(problem.network(one.architecture), one.measured.ms) for one in own]
    return refit(model, timed, known_networks(problem.device, model, problem.space.key)), own


def check(problem: Problem, history: TimedNetworks) -> DeviceCheck | None:
    """Predicted against measured, for the report; None where nothing was ever timed. `problem` is at the prices of before."""
    if not history.rounds:
        return None
    fits = [_refitted(problem, history, model) for model in problem.models]
    left_out = {one.architecture: ms for found, own in fits for one, ms in zip(own, found.left_out_ms, strict=True)}
    before = [estimate(problem.model_of(one.architecture), problem.network(one.architecture)).total for one in history.networks]
    now = fits[0][0].model
    rows = tuple(
        TimedResult(
            one.architecture.id,
            problem.searched.describe(one.architecture),
            one.round,
            one.why,
            first,
            one.predicted,
            one.origin,
            one.measured,
            left_out[one.architecture],
            one.undisturbed,
            one.when,
            one.conditions,
        )
        for one, first in zip(history.networks, before, strict=True)
    )
    measured = np.array([one.measured.ms for one in rows])
    return DeviceCheck(
        str(history.title["target"]),
        str(history.title["machine"]),
        rows,
        len(history.rounds),
        mape_percent(np.array([one.ms for one in before]), measured) if rows else None,
        mape_percent(np.array([one.refitted_ms for one in rows]), measured) if rows else None,
        now.origin,
        now.confidence,
        _remarks(history),
    )


def is_forecast(pick: Pick) -> bool:
    """Whether a version of `pick` is still to be timed on the device."""
    return any(step.latency is not None and step.latency.origin != "measured" for step in pick.steps)


def _told(folder: RunFolder) -> "Sequence[Record]":
    """What the run's study holds, if it has begun."""
    from nas import study

    path = folder.path / study.FILE_NAME
    study.repair(path)
    try:
        return study.records(study.load(folder.path))
    except StudyError:  # there is none yet; a damaged one was refused by `repair`
        return ()


def _evaluated(records: "Sequence[Record]") -> int:
    return sum(one.evaluation is not None and not one.learned for one in records)


def _asking(problem: Problem, trials: int) -> Problem:
    return replace(problem, settings=problem.settings.model_copy(update={"trials": trials}))


def _exhausted(problem: Problem, records: "Sequence[Record]", display: Display) -> bool:
    """Whether, at the prices of today, nothing is left to propose within the budget, although something that is known is.

    Raises:
        InfeasibleBudgetError: nothing that is known is either.
    """
    try:
        problem.check()
    except InfeasibleBudgetError as error:
        if not any(one.evaluation and problem.budget.holds(problem.price(one.architecture)) for one in records):
            raise InfeasibleBudgetError(f"{len(problem.timed)} networks were timed on the device, and by that {error}") from None
        display.say(f"The search ends here: {len(problem.timed)} networks were timed on the device, and by that {error}.")
        return True
    return False


def _round(
    problem: Problem, bench: Bench, records: "Sequence[Record]", history: TimedNetworks, folder: RunFolder, display: Display
) -> TimedNetworks:
    """Times what the search is to know next, and keeps it."""
    number = len(history.rounds) + 1
    wanted = choose(problem, records, number)
    with display.bar(f"Timing networks on {problem.device.name}", PASSES * len(wanted)) as bar:
        found, sentinel_ms, lost = time_networks(problem, bench, list(wanted), number, folder.path / PARTIAL, bar.at)
    networks = [_timed(problem, bench, architecture, number, wanted[architecture], one) for architecture, one in found.items()]
    closed = Round(number, _evaluated(records), sentinel_ms, lost)
    timed_networks.close(folder.path, networks, closed)
    (folder.path / PARTIAL).unlink(missing_ok=True)
    after = timed_networks.read(folder.path)
    if lost:
        display.say(f"DEVICE LOST in round {number}: {lost}. The search goes on with what is known, and tries again in the next round.")
    if networks:
        then = mape_percent(np.array([one.predicted.ms for one in networks]), np.array([one.measured.ms for one in networks]))
        inside = sum(one.predicted.low_ms <= one.measured.ms <= one.predicted.high_ms for one in networks)
        display.say(
            f"Round {number}: {len(networks)} networks timed on {after.title['target']}; predictions were off by {then:.1f} % "
            f"on average, {inside} of {len(networks)} within their bounds. Prices are fitted again to {len(after.networks)} timed networks."
        )
    return after


def choose(problem: Problem, records: "Sequence[Record]", number: int) -> dict[Architecture, str]:
    """What round `number` is to time, and why: "front" or "uncertain"; nothing that was timed before."""
    fit = [one for one in records if one.evaluation and not one.rejected and problem.budget.holds(problem.price(one.architecture))]
    front = problem.objectives.front(fit, lambda one: one.accuracy, lambda one: one.costs)
    untimed = [one for one in front if one.architecture not in problem.timed]
    chosen = {one.architecture: "front" for one in spread(untimed, OF_FRONT, lambda one: one.latency.ms)}
    return chosen | dict.fromkeys(_uncertain(problem, [one.architecture for one in front], [*problem.timed, *chosen], number), "uncertain")


def _uncertain(problem: Problem, front: Sequence[Architecture], known: Sequence[Architecture], number: int) -> list[Architecture]:
    """Relatives of the front within the budget whose intervals are the widest; of equally wide ones those unlike what is known."""
    landscape, chance = problem.landscape(), np.random.default_rng([problem.settings.seed, number])
    genes = landscape.draw(MUTANTS, chance)
    if front:
        genes = np.array([one.genes for one in front], dtype=np.int32)[chance.integers(len(front), size=MUTANTS)]
        at = chance.integers(len(landscape.names), size=MUTANTS)
        genes[np.arange(MUTANTS), at] = chance.integers(np.array(landscape.options)[at])
        genes = landscape.nearest(genes)
    genes = np.unique(genes, axis=0)
    seen = {one.genes for one in known}
    genes = genes[landscape.price(genes).feasible & np.array([tuple(row) not in seen for row in genes.tolist()])]
    prices = problem.predicted(genes)
    width = np.round((prices.high_ms - prices.low_ms) / prices.ms, 2)
    reference = [math.log(estimate(problem.model_of(one), problem.network(one)).total.ms) for one in known]
    found: list[int] = []
    for _ in range(min(UNCERTAIN, len(genes))):
        others = np.array([*reference, *(math.log(prices.ms[one]) for one in found)] or [0.0])
        unlike = np.abs(np.log(prices.ms)[:, None] - others).min(axis=1)
        unlike[found] = -1.0
        found.append(int(np.lexsort((-unlike, np.where(unlike < 0, 1.0, -width)))[0]))
    return [problem.searched.architecture([int(gene) for gene in genes[one]]) for one in found]


def _timed(problem: Problem, bench: Bench, architecture: Architecture, number: int, why: str, found: Sequence[Found]) -> TimedNetwork:
    expected = estimate(problem.model_of(architecture), problem.network(architecture))
    times = [one.timing.p10_ms for one in found]
    return TimedNetwork(
        architecture,
        number,
        why,
        expected.total,
        expected.origin,
        Interval(statistics.median(times), min(times), max(times)),
        len(times),
        round(statistics.mean(one.undisturbed for one in found), 3),
        datetime.now(UTC).isoformat(timespec="seconds"),
        bench.target.runtime_version,
        conditions(found),
    )


def _remarks(history: TimedNetworks) -> tuple[str, ...]:
    """What a reader must know of the measurements: rounds that were cut short, and a device that changed its speed."""
    found = [
        f"Round {one.number} of measuring, after {one.evaluated} evaluations, was cut short: {one.lost}."
        for one in history.rounds
        if one.lost
    ]
    sentinels = [(one.number, one.sentinel_ms) for one in history.rounds if one.sentinel_ms]
    changes = [(number, ms / sentinels[0][1] - 1.0) for number, ms in sentinels[1:]]
    drifted = [f"{100 * change:+.0f} % in round {number}" for number, change in changes if abs(change) > DRIFT]
    if drifted:
        found.append(
            f"The sentinel network took {', '.join(drifted)}, against round {sentinels[0][0]}: the device changed its speed (heat, "
            f"clocks, other programs)."
        )
    return tuple(found)
