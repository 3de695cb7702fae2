"""Precision and pruning as genes of a search, so that a larger int8 network competes with a smaller fp32 one inside it.

The genes are those of a search space, then `precision` and `keep`: the numbers to compute with, and the share of hidden channels
that structured pruning (`nas.compressors.hidden_channels`) leaves. Shared weights, blocks and tables remain those of the space.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_models.pricing import BlockValues, GeneTable
from latency_models.pricing import canonical as without_unused_layers
from nas.compressors import MULTIPLE
from nas.compressors.hidden_channels import kept_channels
from nas.core.architecture import Architecture
from nas.core.errors import SpaceError, UnknownNameError
from nas.core.landscape import Genes
from nas.core.network import BlockSpec, NetworkSpec
from nas.core.space import Choice, Gene, SearchSpace
from nas.footprint import BYTES

PRUNED = "pruned"
"""How versions begin whose hidden channels were pruned: "pruned", "pruned_int8"."""


@dataclass(frozen=True)
class PrunedSpace(SearchSpace):
    """The networks of a space, each with the share `keep` of its hidden channels; its architectures are those of the space."""

    keep: float = 1.0

    @classmethod
    def of(cls, space: SearchSpace, keep: float) -> "SearchSpace":
        """`space` pruned; itself where all channels are kept."""
        return space if keep == 1.0 else cls(**_fields_of(space), keep=keep)

    @cached_property
    def digest(self) -> str:
        """That of the whole space."""
        return SearchSpace(**_fields_of(self)).digest

    def layer(self, stage_index: int, layer_index: int, choice: Choice, in_channels: int, out_channels: int, size: int) -> BlockSpec:
        """Layer `layer_index` of a stage, pruned."""
        whole = super().layer(stage_index, layer_index, choice, in_channels, out_channels, size)
        return replace(whole, hidden_channels=_kept(whole, self.keep))


@dataclass(frozen=True)  # without slots, for the cached properties
class JointSpace:
    """All networks of `base`, in each of `precisions`, with each share of `keeps` of their hidden channels.

    `keeps` fall. Where two of them leave the same channels of a network, the larger one is the canonical gene.

    Raises:
        SpaceError: there is no precision or share, one is named twice, or a share is not above 0 and up to 1.
        UnknownNameError: there is no such precision.
    """

    base: SearchSpace
    precisions: tuple[str, ...]
    keeps: tuple[float, ...]

    def __post_init__(self) -> None:
        for precision in self.precisions:
            if precision not in BYTES:
                raise UnknownNameError("precision", precision, BYTES)
        for what, options in (("precisions", self.precisions), ("shares of hidden channels to keep", self.keeps)):
            if not options or len(set(options)) < len(options):
                raise SpaceError(f"the {what} of a search are named once each, and there is one at least: {_listed(options) or 'none'}")
        for keep in self.keeps:
            if not 0.0 < keep <= 1.0:
                raise SpaceError(f"a share of hidden channels to keep is above 0 and up to 1, such as 1,0.75,0.5, not {keep:g}")
        if list(self.keeps) != sorted(self.keeps, reverse=True):
            raise SpaceError(f"shares of hidden channels to keep must fall, got {_listed(self.keeps)}")

    @property
    def name(self) -> str:
        """That of the space."""
        return self.base.name

    @cached_property
    def key(self) -> str:
        """What architectures are marked with: the key of the space, and the options of both genes."""
        return f"{self.base.key}+{_listed(self.precisions)}+keep={_listed(self.keeps)}"

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """Every decision, in the order of `Architecture.genes`."""
        return (*self.base.genes, Gene("precision", len(self.precisions)), Gene("keep", len(self.keeps)))

    @cached_property
    def size(self) -> int:
        """Number of distinct networks, each counted once for every precision."""
        repeats = sum(self._alike(more, less) for more, less in zip(self.keeps, self.keeps[1:], strict=False))
        return len(self.precisions) * (len(self.keeps) * self.base.size - repeats)

    @cached_property
    def spaces(self) -> tuple[SearchSpace, ...]:
        """The networks of the space as each of `keeps` leaves them."""
        return tuple(PrunedSpace.of(self.base, keep) for keep in self.keeps)

    def architecture(self, genes: Sequence[int]) -> Architecture:
        """The canonical architecture of `genes`.

        Raises:
            SpaceError: the number of genes is wrong or one is out of its range.
        """
        if len(genes) != len(self.genes):
            raise SpaceError(f"{self.name} with precision and keep has {len(self.genes)} genes, got {len(genes)}")
        for gene, value in zip(self.genes[-2:], genes[-2:], strict=True):
            if not 0 <= value < gene.options:
                raise SpaceError(f"gene {gene.name} goes from 0 to {gene.options - 1}, got {value}")
        found = self.canonical(np.array([[*self.base.architecture(genes[:-2]).genes, *genes[-2:]]], dtype=np.int32))[0]
        return Architecture(self.key, tuple(int(gene) for gene in found))

    def canonical(self, genes: NDArray[np.integer[Any]]) -> Genes:
        """`genes` (n, genes) in canonical form: layers beyond a stage's depth are 0, and of shares that leave the same the first."""
        found = np.array(genes, dtype=np.int32)
        without_unused_layers(self.base, found[:, :-2])
        kept = self._channels.values(found[:, :-2])
        found[:, -1] = (kept == np.take_along_axis(kept, found[:, -1:].astype(np.intp), axis=1)).argmax(axis=1)
        return found

    def plain(self, architecture: Architecture) -> Architecture:
        """The architecture of `base` that this is a version of.

        Raises:
            SpaceError: the architecture belongs to another space.
        """
        if architecture.space != self.key:
            raise SpaceError(f"architecture {architecture.id} is of {architecture.space}, not of {self.key}")
        return Architecture(self.base.key, architecture.genes[:-2])

    def precision(self, architecture: Architecture) -> str:
        """What it computes with."""
        return self.precisions[architecture.genes[-2]]

    def keep(self, architecture: Architecture) -> float:
        """The share of its hidden channels that it keeps."""
        return self.keeps[architecture.genes[-1]]

    def version(self, architecture: Architecture) -> str:
        """The version of a pick that it means: "fp32", "int8", "pruned", "pruned_int8"."""
        precision = self.precision(architecture)
        if self.keep(architecture) == 1.0:
            return precision
        return PRUNED if precision == "fp32" else f"{PRUNED}_{precision}"

    def network(self, architecture: Architecture, in_channels: int, classes: int) -> NetworkSpec:
        """The network that `architecture` stands for, pruned, on images of `in_channels` and with `classes` outputs.

        Raises:
            SpaceError: the architecture belongs to another space.
        """
        return self.spaces[architecture.genes[-1]].network(self.plain(architecture), in_channels, classes)

    def describe(self, architecture: Architecture) -> str:
        """One readable line: that of the space, then "int8, 75 % of hidden channels"."""
        keep = self.keep(architecture)
        pruned = f", {keep:.3g} of hidden channels" if keep < 1.0 else ""
        return f"{self.base.describe(self.plain(architecture))} | {self.precision(architecture)}{pruned}"

    @cached_property
    def _channels(self) -> GeneTable:
        """Hidden channels of all blocks together that each share leaves, which tells the networks that shares leave apart.

        A smaller share leaves no more channels of any block, so equal sums are equal networks.
        """
        return GeneTable.of(self.base, lambda block: tuple(float(_kept(block, keep)) for keep in self.keeps), "sum", 1, 1)

    def _alike(self, more: float, less: float) -> int:
        """Number of architectures of the space of which two shares leave the same, stage by stage."""
        values = BlockValues.of(self.base, lambda block: float(_kept(block, more) != _kept(block, less)), "sum", 1, 1)
        ways = [1]  # of all beginnings, by the width that they end with
        for stage, first, inner in zip(self.base.stages, values.first, values.inner, strict=True):
            begun, later = (first[0] == 0.0).sum(axis=-1), (inner[0] == 0.0).sum(axis=-1)  # choices that are left alike
            ways = [
                sum(count * int(begun[before, width]) for before, count in enumerate(ways))
                * sum(int(later[width]) ** (depth - 1) for depth in stage.depths)
                for width in range(len(stage.widths))
            ]
        return len(self.base.resolutions) * sum(ways)


def asked(precision: str, keep: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The precisions and shares of hidden channels in texts such as "fp32,int8" and "1,0.75,0.5"; no text is all channels.

    Shares have six digits after the point, so that they are written as they are read.

    Raises:
        SpaceError: a share is no number.
    """
    precisions = tuple(name.strip() for name in precision.split(","))
    try:
        keeps = sorted((round(float(share), 6) for share in keep.split(",")), reverse=True) if keep else [1.0]
    except ValueError:
        raise SpaceError(f"{keep!r} is no list of shares of hidden channels to keep: write it as 1,0.75,0.5") from None
    return precisions, tuple(keeps)


def joined(base: SearchSpace, precision: str, keep: str) -> JointSpace | None:
    """The joint space that a run asks for; None where it asks for one precision and all channels, which is `base` itself.

    Raises:
        NasError: as `asked` and `JointSpace`.
    """
    precisions, keeps = asked(precision, keep)
    return JointSpace(base, precisions, keeps) if is_joint(precisions, keeps) else None


def is_joint(precisions: Sequence[str], keeps: Sequence[float]) -> bool:
    """Whether there is anything to search beside a space: several precisions, or pruning."""
    return len(precisions) > 1 or tuple(keeps) != (1.0,)


def _kept(block: BlockSpec, keep: float) -> int:
    return block.hidden_channels if keep == 1.0 else kept_channels(block, keep, MULTIPLE)


def _fields_of(space: SearchSpace) -> dict[str, Any]:
    return {one.name: getattr(space, one.name) for one in fields(SearchSpace)}


def _listed(options: Iterable[str | float]) -> str:
    return ",".join(f"{option:g}" if isinstance(option, float) else option for option in options)
