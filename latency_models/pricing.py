"""Many networks priced in one call: each block of a space is priced once, into arrays that genes index.

What a block costs is known from its stage, the resolution, the widths before and after it and its choice. So a space has
few distinct blocks (hundreds) and any number of networks, each of which is one look-up a layer and a sum, or a maximum.
What a model says of weights beyond the cache (`Spill`) follows from one more sum.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.core.errors import SpaceError, UnknownNameError
from nas.core.latency import LatencyModel
from nas.core.network import BlockSpec
from nas.core.space import SearchSpace
from search_spaces.blocks import operators

Combine = Literal["sum", "max"]
"""How the values of blocks make that of a network: a latency or a size is a sum, a peak of memory a maximum."""

BlockValue = Callable[[BlockSpec], float | Sequence[float]]
"""What a block is worth: a number, or as many numbers for every block."""

Floats = NDArray[np.float64]
IntegerT = TypeVar("IntegerT", bound=np.integer[Any])

CHUNK = 8192
"""Networks worked on at a time: their indices and sums stay in the processor's cache, and memory stays bounded."""

_WAYS: dict[str, tuple[np.ufunc, float]] = {"sum": (np.add, 0.0), "max": (np.maximum, -np.inf)}


def way(combine: str) -> tuple[np.ufunc, float]:
    """The function that combines two values, and the value of no block at all.

    Raises:
        UnknownNameError: `combine` is neither "sum" nor "max".
    """
    if combine not in _WAYS:
        raise UnknownNameError("way to combine blocks", combine, _WAYS)
    return _WAYS[combine]


@dataclass(frozen=True, slots=True, eq=False)
class BlockValues:
    """A value of every block that a space can contain, as arrays; `...` is the shape of one value, () for a number.

    `stem` is (resolutions, ...), `first[s]` the first layer of stage `s`: (resolutions, widths before, widths, choices, ...),
    `inner[s]` any later layer of it, all alike: (resolutions, widths, choices, ...) with no choices where the stage has no
    later layer, and `head` (resolutions, widths of the last stage, ...). Stem and head are all blocks before and after the
    stages, combined.
    """

    stem: Floats
    first: tuple[Floats, ...]
    inner: tuple[Floats, ...]
    head: Floats

    @classmethod
    def of(cls, space: SearchSpace, value: BlockValue, combine: Combine, in_channels: int, classes: int) -> "BlockValues":
        """The values of all blocks of `space`; `value` is asked once for each distinct block.

        Raises:
            NasError: whatever `value` raises, such as a DeviceError where a table lacks the block, and an UnknownNameError for
                another `combine`.
        """
        join, _ = way(combine)
        known = {block: np.asarray(value(block), dtype=np.float64) for block in space.unique_blocks(in_channels, classes)}
        beginnings = [[block for _, block in space.beginning(in_channels, resolution)] for resolution in space.resolutions]
        shape = known[beginnings[0][0]].shape
        sizes = [blocks[-1].out_height for blocks in beginnings]
        before: tuple[int, ...] = (space.stem_width,)
        first, inner = [], []
        for s, stage in enumerate(space.stages):
            places = itertools.product(sizes, before, stage.widths, stage.choices)
            layers = [known[space.layer(s, 0, choice, c_in, c_out, size)] for size, c_in, c_out, choice in places]
            first.append(np.reshape(layers, (len(sizes), len(before), len(stage.widths), len(stage.choices), *shape)))
            sizes, before = [-(-size // stage.stride) for size in sizes], stage.widths
            choices = stage.choices if max(stage.depths) > 1 else ()
            layers = [known[space.layer(s, 1, choice, c, c, size)] for size, c, choice in itertools.product(sizes, before, choices)]
            inner.append(np.reshape(layers, (len(sizes), len(before), len(choices), *shape)))
        endings = [[[block for _, block in space.ending(width, size, classes)] for width in before] for size in sizes]
        stems = np.array([join.reduce([known[block] for block in blocks]) for blocks in beginnings])
        heads = np.array([[join.reduce([known[block] for block in blocks]) for blocks in row] for row in endings])
        return cls(stems, tuple(first), tuple(inner), heads)

    def weighted(self, weights: Sequence[float]) -> "BlockValues":
        """Single numbers in place of as many as there are `weights`: their sum, each times its weight."""
        stem, *stages, head = (values @ np.asarray(weights) for values in (self.stem, *self.first, *self.inner, self.head))
        return BlockValues(stem, tuple(stages[: len(self.first)]), tuple(stages[len(self.first) :]), head)


@dataclass(frozen=True, slots=True, eq=False)
class GeneTable:
    """One value of any network of a space, from its genes; made by `GeneTable.of`.

    `stages[s][i]` holds the values of layer `i` of stage `s` as rows. Those of a first layer, to which stem and head are
    added, stand in the order (resolution, width before, width, choice); those of a later one in the order (resolution,
    width, depth, choice), where a depth that does not reach the layer has the value of nothing. `shape` is that of a value.
    """

    space: SearchSpace
    combine: Combine
    shape: tuple[int, ...]
    stages: tuple[tuple[Floats, ...], ...]

    @classmethod
    def of(cls, space: SearchSpace, value: BlockValue, combine: Combine, in_channels: int, classes: int) -> "GeneTable":
        """The table of `value`, combined over the blocks of a network by `combine`.

        Raises:
            NasError: whatever `value` raises, and an UnknownNameError for another `combine`.
        """
        join, nothing = way(combine)
        values = BlockValues.of(space, value, combine, in_channels, classes)
        shape = values.stem.shape[1:]
        firsts = list(values.first)
        firsts[0] = join(firsts[0], values.stem[:, None, None, None])
        firsts[-1] = join(firsts[-1], values.head[:, None, :, None])
        stages = []
        for stage, first, inner in zip(space.stages, firsts, values.inner, strict=True):
            reached = [np.reshape([depth > i for depth in stage.depths], (-1, 1, *[1] * len(shape))) for i in range(1, max(stage.depths))]
            layers = [first, *(np.where(depths, inner[:, :, None], nothing) for depths in reached)]
            stages.append(tuple(layer.reshape(-1, math.prod(shape)) for layer in layers))
        return cls(space, combine, shape, tuple(stages))

    def values(self, genes: ArrayLike) -> Floats:
        """Values (n, ...) of `genes`, integers (n, genes), of which those of layers beyond a stage's depth do not count.

        Raises:
            SpaceError: the array has another shape or type, or a gene is out of its range; the message says which.
        """
        array = _checked(self.space, genes)
        found = np.empty((len(array), math.prod(self.shape)))
        for begin in range(0, len(array), CHUNK):
            self._fill(array[begin : begin + CHUNK], found[begin : begin + CHUNK], begin)
        return found.reshape(len(array), *self.shape)

    def _fill(self, genes: NDArray[np.integer[Any]], found: Floats, begin: int) -> None:
        """Sets the rows of `found` to the values of those of `genes`, which are number `begin` and following."""
        join, nothing = way(self.combine)
        by_gene = np.ascontiguousarray(genes.T, dtype=np.intp)
        _refuse_out_of_range(self.space, by_gene, begin)
        found[:] = nothing
        rows, one = np.empty(len(genes), dtype=np.intp), np.empty_like(found)
        resolution, place, at = by_gene[0], by_gene[0], 1
        for stage, layers in zip(self.space.stages, self.stages, strict=True):
            depth, width = by_gene[at], by_gene[at + 1]
            place = (place * len(stage.widths) + width) * len(stage.choices)  # of the first layer
            later = ((resolution * len(stage.widths) + width) * len(stage.depths) + depth) * len(stage.choices)
            for i, layer in enumerate(layers):
                np.add(place if i == 0 else later, by_gene[at + 2 + i], out=rows)
                np.take(layer, rows, axis=0, out=one, mode="clip")  # clip: the only mode that writes to `out` directly
                join(found, one, out=found)
            place = resolution * len(stage.widths) + width
            at += 2 + len(layers)


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Latencies of n networks in milliseconds with their bounds, and the share of each that is covered; all of shape (n,)."""

    ms: Floats
    low_ms: Floats
    high_ms: Floats
    coverage: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PriceTable:
    """What `nas.core.latency.estimate` says of any network of a space, from its genes; made by `PriceTable.of`."""

    model: LatencyModel
    table: GeneTable

    @classmethod
    def of(cls, space: SearchSpace, model: LatencyModel, in_channels: int, classes: int) -> "PriceTable":
        """The table of all networks of `space` on images of `in_channels` and with `classes` outputs.

        Raises:
            DeviceError: the model has no price for a block of the space.
        """
        spills = model.spill.per_mb.high_ms > 0

        def prices(block: BlockSpec) -> tuple[float, ...]:
            price = model.block(block)
            found = (price.interval.ms, price.interval.low_ms, price.interval.high_ms, price.covered_ms)
            return (*found, price.weights_mb) if spills else found

        return cls(model, GeneTable.of(space, prices, "sum", in_channels, classes))

    def price(self, genes: ArrayLike) -> Prices:
        """Prices of `genes`, integers (n, genes), of which those of layers beyond a stage's depth do not count.

        Raises:
            SpaceError: the array has another shape or type, or a gene is out of its range; the message says which.
        """
        ms, low_ms, high_ms, covered_ms, *weights_mb = self.table.values(genes).T
        extra, spill = self.model.overhead, self.model.spill
        for values, once, per_mb in (
            (ms, extra.ms, spill.per_mb.ms),
            (low_ms, extra.low_ms, spill.per_mb.low_ms),
            (high_ms, extra.high_ms, spill.per_mb.high_ms),
            (covered_ms, extra.ms, spill.per_mb.ms),
        ):
            values += once
            for sums in weights_mb:  # one, of a model in which weights beyond the cache cost something
                values += per_mb * np.maximum(0.0, sums - spill.cached_mb)
        return Prices(ms, low_ms, high_ms, np.minimum(1.0, covered_ms / ms))


def macs(space: SearchSpace, in_channels: int, classes: int) -> GeneTable:
    """Multiply-accumulates of networks, as `search_spaces.blocks.macs`."""
    return GeneTable.of(space, lambda block: sum(operator.macs for operator in operators(block)), "sum", in_channels, classes)


def weights(space: SearchSpace, in_channels: int, classes: int) -> GeneTable:
    """Parameters of networks after batch norms are folded, as `search_spaces.blocks.weights`."""
    return GeneTable.of(space, lambda block: sum(operator.weights for operator in operators(block)), "sum", in_channels, classes)


def sample(space: SearchSpace, n: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Genes (n, genes) of `n` architectures: every gene uniform over its options, then 0 for layers beyond the depth."""
    genes = np.empty((n, len(space.genes)), dtype=np.int16)
    for number, gene in enumerate(space.genes):
        genes[:, number] = rng.integers(0, gene.options, size=n, dtype=np.int16)
    return canonical(space, genes)


def canonical(space: SearchSpace, genes: NDArray[IntegerT]) -> NDArray[IntegerT]:
    """`genes` (n, genes) with those of layers beyond a stage's depth set to 0, in place."""
    at = 1
    for stage in space.stages:
        depths = np.array(stage.depths)[genes[:, at]]
        for i in range(min(stage.depths), max(stage.depths)):
            genes[depths <= i, at + 2 + i] = 0
        at += 2 + max(stage.depths)
    return genes


def _checked(space: SearchSpace, genes: ArrayLike) -> NDArray[np.integer[Any]]:
    array = np.asarray(genes)
    if array.ndim != 2 or array.shape[1] != len(space.genes) or array.dtype.kind not in "iu":
        raise SpaceError(
            f"architectures of {space.name} are integers of shape (n, {len(space.genes)}), not {array.dtype} of shape {array.shape}"
        )
    return array


def _refuse_out_of_range(space: SearchSpace, by_gene: NDArray[np.intp], begin: int) -> None:
    greatest = by_gene.view(np.uintp).max(axis=1)  # a negative number is greater than any other
    for gene, found, values in zip(space.genes, greatest, by_gene, strict=True):
        if found >= gene.options:
            row = int(np.argmax(values.view(np.uintp)))
            raise SpaceError(f"gene {gene.name} of {space.name} goes from 0 to {gene.options - 1}, row {begin + row} has {values[row]}")
