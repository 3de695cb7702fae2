"""One file a search space, one file a block. The file name is the name to ask for."""

from nas.core import plugins
from nas.core.space import SearchSpace


def names() -> tuple[str, ...]:
    """Names of all spaces, sorted."""
    return plugins.names(__name__)


def load(name: str) -> SearchSpace:
    """The space of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    space: SearchSpace = plugins.load(__name__, name, "search space")
    return space
