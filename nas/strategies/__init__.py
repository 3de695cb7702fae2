"""One file a strategy: what to try next, never who evaluates it.

A strategy is a function from a problem (`Landscape`) and the run's seed to a function from the seed of one proposal to the
Optuna sampler that makes it. `stock` makes one of any sampler of Optuna's, `proposing` of a function that looks at what was
evaluated so far. Both see to it that a proposal is legal and, as long as there is one, new; `proposing` to its being within
the budget, too.

What a strategy remembers between proposals follows from the study and the seed alone, so that a search that was stopped
goes on as if it had not been.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nas.core import plugins

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.core.landscape import Landscape

Sampling = Callable[[int], "BaseSampler"]
"""From the seed of a proposal to the sampler that makes it."""

Strategy = Callable[["Landscape", int], Sampling]
"""From a problem and the seed of a run to how its proposals are made."""


def names() -> tuple[str, ...]:
    """Names of all strategies, sorted."""
    return plugins.names(__name__)


def load(name: str, landscape: "Landscape", seed: int) -> Sampling:
    """The strategy of that name, for one study.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    strategy: Strategy = plugins.load(__name__, name, "strategy")
    return strategy(landscape, seed)
