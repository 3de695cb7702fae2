"""How good an architecture is, one file a way of finding out.

`supernet.py` measures it with shared weights, `predictor.py` learns it from what was measured. The others are plug-ins that
need neither images nor training: a file that defines `PLUGIN`, a `Score`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from nas.core import plugins
from nas.core.architecture import Architecture
from nas.core.evaluation import Evaluation
from nas.core.network import NetworkSpec
from nas.core.space import SearchSpace


def _whole(space: SearchSpace) -> SearchSpace:
    return space


@dataclass(frozen=True, slots=True)
class Score:
    """A way to tell good networks from bad ones without data; more is better.

    `quantity` is what the number must be called wherever it is shown. Only where `is_accuracy` may it be shown as a share of
    images; the others have no unit, and compare networks of one space at most.
    """

    of: Callable[[NetworkSpec, int], float]
    """From a network and a seed to its score, a finite number; the same every time."""
    quantity: str
    is_accuracy: bool = False
    bounds: Callable[[NetworkSpec], tuple[float, float]] | None = None
    """Where the score is a prediction: what it was fitted to lies between these in nine of ten cases."""
    of_space: Callable[[SearchSpace], SearchSpace] = _whole
    """The part of a space that the score knows; raises SpaceError if there is none."""

    def text(self, value: float) -> str:
        """The number as a person reads it; per cent only if it is an accuracy."""
        return f"{value:.2%}" if self.is_accuracy else f"{value:.2f}"


def names() -> tuple[str, ...]:
    """Names of all scores, sorted."""
    return plugins.names(__name__)


def load(name: str) -> Score:
    """The score of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    score: Score = plugins.load(__name__, name, "score")
    return score


@dataclass(frozen=True, slots=True)
class Scoring:
    """A function from an architecture to an `Evaluation` whose accuracy is the score `name`; travels to any worker."""

    name: str
    space: SearchSpace
    in_channels: int
    classes: int
    seed: int

    def __call__(self, architecture: Architecture, accuracy_to_beat: float = float("-inf")) -> Evaluation:
        """Score and counts of `architecture`; nothing is stopped early, for nothing takes long.

        Raises:
            SpaceError: the score does not know such networks.
        """
        from search_spaces import blocks

        started = perf_counter()
        network = self.space.network(architecture, self.in_channels, self.classes)
        value = load(self.name).of(network, self.seed)
        return Evaluation(value, blocks.macs(network), blocks.weights(network), (), perf_counter() - started)
