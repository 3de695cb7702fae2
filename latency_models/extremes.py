"""The fastest and the slowest network of a space, exactly and without sampling: prices add up, so stages can be solved in turn."""

from collections.abc import Callable
from dataclasses import dataclass

from nas.core.architecture import Architecture
from nas.core.latency import LatencyEstimate, LatencyModel, estimate
from nas.core.network import BlockSpec
from nas.core.space import SearchSpace, Stage

Cost = Callable[[BlockSpec], float]


@dataclass(frozen=True, slots=True)
class _Partial:
    """The cheapest beginning of a network that ends with a given width: its cost and its genes so far."""

    cost: float
    genes: tuple[int, ...]


def fastest(space: SearchSpace, model: LatencyModel, in_channels: int, classes: int) -> tuple[Architecture, LatencyEstimate]:
    """The network of `space` with the least upper bound of its latency, and that latency."""
    return _optimum(space, model, in_channels, classes, sign=1.0)


def slowest(space: SearchSpace, model: LatencyModel, in_channels: int, classes: int) -> tuple[Architecture, LatencyEstimate]:
    """The network of `space` with the greatest upper bound of its latency, and that latency."""
    return _optimum(space, model, in_channels, classes, sign=-1.0)


def _optimum(space: SearchSpace, model: LatencyModel, in_channels: int, classes: int, sign: float) -> tuple[Architecture, LatencyEstimate]:
    def cost(spec: BlockSpec) -> float:
        return sign * model.block(spec).interval.high_ms

    ends = (_best_of_resolution(space, number, in_channels, classes, cost) for number in range(len(space.resolutions)))
    architecture = space.architecture(min(ends, key=lambda end: end.cost).genes)
    return architecture, estimate(model, space.network(architecture, in_channels, classes))


def _best_of_resolution(space: SearchSpace, number: int, in_channels: int, classes: int, cost: Cost) -> _Partial:
    """The cheapest whole network at one resolution."""
    stem = space.stem(in_channels, space.resolutions[number])
    size = stem.out_height
    best = {stem.out_channels: _Partial(cost(stem), (number,))}
    for s, stage in enumerate(space.stages):
        best = {stage.widths[width]: _best_stage(space, s, width, best, size, cost) for width in range(len(stage.widths))}
        size = -(-size // stage.stride)
    ends = (_Partial(part.cost + cost(space.head(width, size, classes)), part.genes) for width, part in best.items())
    return min(ends, key=lambda end: end.cost)


def _best_stage(space: SearchSpace, s: int, width: int, before: dict[int, _Partial], size: int, cost: Cost) -> _Partial:
    """The cheapest beginning that ends with stage `s` at its width number `width`, over all widths before it."""
    stage = space.stages[s]
    channels = stage.widths[width]
    inner_size = -(-size // stage.stride)
    first = min(
        (
            _Partial(part.cost + cost(space.layer(s, 0, choice, c_in, channels, size)), (*part.genes, number))
            for c_in, part in before.items()
            for number, choice in enumerate(stage.choices)
        ),
        key=lambda found: found.cost,
    )
    inner_cost, inner = _best_inner(space, s, channels, inner_size, cost)
    depth = min(range(len(stage.depths)), key=lambda i: (stage.depths[i] - 1) * inner_cost)
    genes, first_layer = first.genes[:-1], first.genes[-1]
    return _Partial(
        first.cost + (stage.depths[depth] - 1) * inner_cost, (*genes, depth, width, first_layer, *[inner] * (max(stage.depths) - 1))
    )


def _best_inner(space: SearchSpace, s: int, channels: int, size: int, cost: Cost) -> tuple[float, int]:
    """Cost and number of the cheapest choice for each layer after a stage's first: they are all alike."""
    stage: Stage = space.stages[s]
    return min((cost(space.layer(s, 1, choice, channels, channels, size)), number) for number, choice in enumerate(stage.choices))
