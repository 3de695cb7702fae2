"""One file a strategy: a function from a seed to an Optuna sampler. What to try, never who evaluates it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nas.core import plugins

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

Strategy = Callable[[int], "BaseSampler"]


def names() -> tuple[str, ...]:
    """Names of all strategies, sorted."""
    return plugins.names(__name__)


def load(name: str) -> Strategy:
    """The strategy of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    strategy: Strategy = plugins.load(__name__, name, "strategy")
    return strategy
