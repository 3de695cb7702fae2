"""Whether a budget can be met, and whether it limits anything: answered before anything is trained."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import search_spaces
from latency_models.extremes import fastest, greatest, least, slowest
from latency_models.pricing import Combine
from nas import footprint
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.errors import DeviceError, InfeasibleBudgetError
from nas.core.latency import LatencyEstimate, LatencyModel, estimate
from nas.core.network import BlockSpec
from nas.core.space import SearchSpace
from nas.core.units import format_energy, format_latency, format_macs, format_size
from search_spaces import blocks

_STEPS = {1: 1, 2: 40, 3: 12}
"""Parts into which the weights of so many sums that are limited (time, size, operations) are divided."""

DRAWS = 2000
"""Networks drawn at random where no trade-off decides."""


def check(
    space: SearchSpace, model: LatencyModel, budget: Budget, in_channels: int, classes: int, power_w: float | None = None
) -> tuple[str, ...]:
    """Sentences that the user must know about the budget; none if some networks fit it and some do not.

    `power_w` was measured beside the latencies of `model`; without it energy cannot be limited.

    Raises:
        InfeasibleBudgetError: no network of the space is within one of the limits, or none was found within all of them.
    """
    question = _Question(space, model, budget, in_channels, classes, power_w)
    findings = [*_latency(question)]
    for limit in _LIMITS:
        if limit.metric in budget.limits:
            findings += _other(question, limit)
    if len(budget.limits) > 1:
        _together(question)
    return tuple(findings)


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked. `precision` is that of the latencies: sizes and memory are judged at it too."""

    space: SearchSpace
    model: LatencyModel
    budget: Budget
    in_channels: int
    classes: int
    power_w: float | None

    @property
    def precision(self) -> str:
        return self.model.target.precision

    def costs(self, architecture: Architecture) -> Costs:
        network = self.space.network(architecture, self.in_channels, self.classes)
        return footprint.costs(network, estimate(self.model, network).total, self.precision, self.power_w)

    def high_ms(self, block: BlockSpec) -> float:
        return self.model.block(block).interval.high_ms

    def block_mb(self, block: BlockSpec) -> float:
        return footprint.block_bytes(block, self.precision) / 1e6

    def block_macs(self, block: BlockSpec) -> float:
        return blocks.block_macs(block)

    def peak_mb(self, block: BlockSpec) -> float:
        return footprint.block_elements(block) * footprint.bytes_of(self.precision) / 1e6


Extremes = Callable[[_Question], tuple[Architecture, Architecture]]
"""The network that needs least of something, and the one that needs most."""


def _by(cost: Callable[[_Question, BlockSpec], float], combine: Combine) -> Extremes:
    def extremes(question: _Question) -> tuple[Architecture, Architecture]:
        given = (question.space, partial(cost, question), combine, question.in_channels, question.classes)
        return least(*given), greatest(*given)

    return extremes


def _by_time(question: _Question) -> tuple[Architecture, Architecture]:
    given = (question.space, question.model, question.in_channels, question.classes)
    return fastest(*given)[0], slowest(*given)[0]


@dataclass(frozen=True, slots=True)
class _Limit:
    """A metric that may be limited beside latency, in words: who needs least and most of it, and how a limit is typed.

    `unit` is what the first of `units` stands for, in the unit of the limit.
    """

    metric: str
    extremes: Extremes
    least: str
    most: str
    option: str
    say: Callable[..., str]
    units: tuple[str, str]
    unit: float = 1.0


_LIMITS = (
    _Limit("size", _by(_Question.block_mb, "sum"), "smallest", "largest", "--max-size", format_size, ("MB", "kB")),
    _Limit("memory", _by(_Question.peak_mb, "max"), "least demanding", "most demanding", "--max-memory", format_size, ("MB", "kB")),
    _Limit("energy", _by_time, "most frugal", "least frugal", "--max-energy", format_energy, ("mJ", "uJ")),
    _Limit("macs", _by(_Question.block_macs, "sum"), "least laborious", "most laborious", "--max-macs", format_macs, ("M", "k"), 1e6),
)


def _latency(question: _Question) -> Iterator[str]:
    """A remark on the latency limit where it limits nothing."""
    space, model, budget = question.space, question.model, question.budget
    quick, quick_latency = fastest(space, model, question.in_channels, question.classes)
    if quick_latency.total.high_ms > budget.latency_ms:
        close = budget.reads_like("latency", quick_latency.total.high_ms)
        raise InfeasibleBudgetError(
            f"budget {budget.say('latency', close)} is below the fastest network of {space.name} on {model.target.device}: "
            f"{format_latency(quick_latency.total.high_ms, close)} at its upper bound "
            f"({format_latency(quick_latency.total.ms)} expected, {quick_latency.origin}; {space.describe(quick)}). "
            f"Give --budget {_typed(quick_latency.total.high_ms, 'ms', 'us')} or more"
        )
    _, slow_latency = slowest(space, model, question.in_channels, question.classes)
    if slow_latency.total.high_ms <= budget.latency_ms:
        yield _unlimited(question, slow_latency)


def _unlimited(question: _Question, slow: LatencyEstimate) -> str:
    space, model, budget = question.space, question.model, question.budget
    return (
        f"The budget of {budget.say('latency')} limits nothing: even the slowest network of {space.name} takes at most "
        f"{format_latency(slow.total.high_ms)} on {model.target.device} ({slow.origin}). "
        + _advice(space, slow.total.high_ms, _others(space, model, question.in_channels, question.classes), budget)
    )


def _other(question: _Question, limit: _Limit) -> Iterator[str]:
    """A remark on a limit that limits nothing."""
    space, budget = question.space, question.budget
    small, large = limit.extremes(question)
    lowest, highest = question.costs(small).bound(limit.metric), question.costs(large).bound(limit.metric)
    assert lowest is not None and highest is not None, "what is limited is known"
    place = f"{space.name} {_place(question, limit.metric)}"
    if lowest > budget.limits[limit.metric]:
        close = budget.reads_like(limit.metric, lowest)
        raise InfeasibleBudgetError(
            f"the limit of {budget.say(limit.metric, close)} is below the {limit.least} network of {place}: {limit.say(lowest, close)} "
            f"({space.describe(small)}). Give {limit.option} {_typed(lowest / limit.unit, *limit.units)} or more"
        )
    if highest <= budget.limits[limit.metric]:
        yield f"The limit of {budget.say(limit.metric)} limits nothing: the {limit.most} network of {place} needs {limit.say(highest)}."


def _place(question: _Question, metric: str) -> str:
    if metric == "energy":
        target = question.model.target
        return f"on {target.device} (upper bound of its latency, {question.model.origin}, times {question.power_w:g} W, measured)"
    return "(counted)" if metric == "macs" else f"in {question.precision} (predicted)"


def _together(question: _Question) -> None:
    """Raises unless a network is found that is within all limits; says whether there is none, or none was found.

    Memory is a matter of single blocks, and energy is time: what is left is to trade time for size and operations. For any
    weights of these the least weighted sum over the space is exact, so one that is beyond the limits proves that nothing keeps all.
    """
    space, budget = question.space, question.budget
    limit_ms = budget.latency_ms
    if budget.energy_mj is not None and question.power_w is not None:
        limit_ms = min(limit_ms, budget.energy_mj / question.power_w)
    shares = cache(partial(_shares, question, limit_ms))
    weights = _weights(1 + (budget.size_mb is not None) + (budget.macs is not None))
    for weight in weights:

        def weighted(block: BlockSpec, weight: tuple[float, ...] = weight) -> float:
            return sum(one * share for one, share in zip(weight, shares(block), strict=True) if one) if shares(block) else float("inf")

        found = least(space, weighted, "sum", question.in_channels, question.classes)
        if budget.holds(question.costs(found)):
            return
        blocks = space.network(found, question.in_channels, question.classes).blocks
        if weight[0] * question.model.overhead.high_ms / limit_ms + sum(map(weighted, blocks)) > 1.0 + 1e-9:
            raise InfeasibleBudgetError(
                f"no network of {space.name} is within {budget} at the same time, although each limit can be met alone: widen at least one"
            )
    chance = random.Random(0)
    for _ in range(DRAWS):
        drawn = space.architecture([chance.randrange(gene.options) for gene in space.genes])
        if budget.holds(question.costs(drawn)):
            return
    raise InfeasibleBudgetError(
        f"no network of {space.name} within {budget} at the same time was found among {len(weights) + DRAWS}, the best "
        f"compromises among them, although each limit can be met alone. That there is none is likely, but not proven: "
        f"widen at least one"
    )


def _weights(sums: int) -> list[tuple[float, ...]]:
    """Weights of so many sums that add up to 1, in even steps, the most even first."""
    steps = _STEPS[sums]
    parts = [one for one in itertools.product(range(steps + 1), repeat=sums) if sum(one) == steps]
    found = [tuple(part / steps for part in one) for one in parts]
    return sorted(found, key=lambda one: max(one) - min(one))


def _shares(question: _Question, limit_ms: float, block: BlockSpec) -> tuple[float, ...]:
    """Time, size and operations of a block as shares of their limits; none where it needs more memory than there may be."""
    budget = question.budget
    if budget.memory_mb is not None and question.peak_mb(block) > budget.memory_mb:
        return ()
    found = [question.high_ms(block) / limit_ms]
    found += [question.block_mb(block) / budget.size_mb] if budget.size_mb is not None else []
    found += [question.block_macs(block) / budget.macs] if budget.macs is not None else []
    return tuple(found)


def _others(space: SearchSpace, model: LatencyModel, in_channels: int, classes: int) -> list[tuple[float, SearchSpace]]:
    """Every other space that the device can price, with the upper bound of its slowest network."""
    found = []
    for other in (search_spaces.load(name) for name in search_spaces.names() if name != space.name):
        try:
            found.append((slowest(other, model, in_channels, classes)[1].total.high_ms, other))
        except DeviceError:  # a table holds the blocks of the spaces that were measured: nothing to advise about the others
            continue
    return found


def _advice(space: SearchSpace, slowest_ms: float, others: Sequence[tuple[float, SearchSpace]], budget: Budget) -> str:
    """What to try instead: a space with slower networks for images of these sizes, or a tighter budget."""
    wider = [(ms, other) for ms, other in others if ms > budget.latency_ms and other.resolutions[0] <= space.resolutions[-1]]
    if wider:
        larger_ms, larger = min(wider, key=lambda one: one[0])
        return (
            f"For more accuracy within it try --space {larger.name} ({larger.resolutions[0]} to {larger.resolutions[-1]} px, "
            f"up to {format_latency(larger_ms)}); for a limit that binds give less than {format_latency(slowest_ms)}."
        )
    return f"For a limit that binds give less than {format_latency(slowest_ms)}."


def _typed(value: float, unit: str, small_unit: str) -> str:
    """A limit to type that is not below `value`, with two digits or in the smaller unit: "0.58ms", "12.4us"."""
    if value < 0.1:
        value, unit = 1e3 * value, small_unit
    digits = 2 if value < 10 else 1
    return f"{value + 0.5 * 10**-digits:.{digits}f}{unit}"
