"""One file a block: what it executes (`operators`, cheap to ask) and what it computes (`build`, which imports torch)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from nas.core import plugins
from nas.core.network import BlockSpec, NetworkSpec
from nas.core.operators import Operator

if TYPE_CHECKING:
    from torch import nn


def _nothing(spec: BlockSpec) -> tuple[int, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Block:
    """A block kind.

    `held` gives, for each operator, the numbers that wait in memory for a later operator while it runs, beside what it
    reads and writes itself: a shortcut, or another branch. A chain of operators holds nothing.

    `hidden_axes` says which axis of which parameter runs over the hidden channels: pruning needs nothing else. Keys
    are parameter names up to the last dot ("expand.conv"); batch norms count as their convolution ("expand.norm": 0).
    """

    operators: Callable[[BlockSpec], tuple[Operator, ...]]
    build: Callable[[BlockSpec], "nn.Module"]
    hidden_axes: Mapping[str, int]
    held: Callable[[BlockSpec], tuple[int, ...]] = _nothing


def names() -> tuple[str, ...]:
    """Names of all block kinds, sorted."""
    return plugins.names(__name__)


@cache
def load(kind: str) -> Block:
    """The block kind of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    block: Block = plugins.load(__name__, kind, "block")
    return block


@lru_cache(maxsize=65_536)
def operators(spec: BlockSpec) -> tuple[Operator, ...]:
    """What `spec` executes, in order."""
    return load(spec.kind).operators(spec)


@lru_cache(maxsize=65_536)
def held(spec: BlockSpec) -> tuple[int, ...]:
    """Numbers that wait while each operator of `spec` runs, in the order of `operators`."""
    return load(spec.kind).held(spec) or (0,) * len(operators(spec))


def macs(network: NetworkSpec) -> int:
    """Multiply-accumulates of a whole network, from its operators alone."""
    return sum(map(block_macs, network.blocks))


def block_macs(block: BlockSpec) -> int:
    """Multiply-accumulates of a block."""
    return sum(operator.macs for operator in operators(block))


def weights(network: NetworkSpec) -> int:
    """Parameters of a whole network once batch norms are folded into the convolutions."""
    return sum(operator.weights for block in network.blocks for operator in operators(block))
