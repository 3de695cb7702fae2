"""Whether a budget can be met, and whether it limits anything: answered before anything is trained."""

from collections.abc import Sequence

import search_spaces
from latency_models.extremes import fastest, slowest
from nas.core.budget import Budget
from nas.core.errors import DeviceError, InfeasibleBudgetError
from nas.core.latency import LatencyModel
from nas.core.space import SearchSpace
from nas.core.units import format_latency


def check(space: SearchSpace, model: LatencyModel, budget: Budget, in_channels: int, classes: int) -> tuple[str, ...]:
    """Sentences that the user must know about the budget; none if some networks fit it and some do not.

    Raises:
        InfeasibleBudgetError: not even the fastest network of the space is within the budget.
    """
    quick, quick_latency = fastest(space, model, in_channels, classes)
    if not budget.holds(quick_latency.total):
        raise InfeasibleBudgetError(
            f"budget {budget} is below the fastest network of {space.name} on {model.target.device}: "
            f"{format_latency(quick_latency.total.high_ms)} at its upper bound ({format_latency(quick_latency.total.ms)} expected, "
            f"{quick_latency.origin}; {space.describe(quick)}). Give --budget {_round_up(quick_latency.total.high_ms)} or more"
        )
    _, slow_latency = slowest(space, model, in_channels, classes)
    if not budget.holds(slow_latency.total):
        return ()
    return (
        f"The budget of {budget} limits nothing: even the slowest network of {space.name} takes at most "
        f"{format_latency(slow_latency.total.high_ms)} on {model.target.device} ({slow_latency.origin}). "
        + _advice(space, slow_latency.total.high_ms, _others(space, model, in_channels, classes), budget),
    )


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
    """What to try instead: a space with slower networks, or a tighter budget."""
    wider = [(ms, other) for ms, other in others if ms > budget.latency_ms]
    if wider:
        larger_ms, larger = min(wider, key=lambda one: one[0])
        return (
            f"For more accuracy within it try --space {larger.name} ({larger.resolutions[0]} to {larger.resolutions[-1]} px, "
            f"up to {format_latency(larger_ms)}); for a limit that binds give less than {format_latency(slowest_ms)}."
        )
    return f"For a limit that binds give less than {format_latency(slowest_ms)}."


def _round_up(latency_ms: float) -> str:
    """A budget to type, with two digits, that is not below `latency_ms`: "0.58ms"."""
    digits = 2 if latency_ms < 10 else 1
    return f"{latency_ms + 0.5 * 10**-digits:.{digits}f}ms"
