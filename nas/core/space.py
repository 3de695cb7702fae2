"""What may be searched, as data: a file in `search_spaces/` is one `SearchSpace` value and nothing else."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from nas.core.architecture import Architecture
from nas.core.errors import SpaceError
from nas.core.network import BlockSpec, NetworkSpec


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to fill a layer: a block kind with its kernel and, where the kind expands, its expand ratio."""

    kind: str
    kernel: int
    expand: float = 0.0

    @classmethod
    def grid(cls, kind: str, kernels: Sequence[int], expands: Sequence[float] = (0.0,)) -> "tuple[Choice, ...]":
        """Every kernel with every expand ratio, kernels rising within each ratio."""
        return tuple(cls(kind, kernel, expand) for expand in expands for kernel in kernels)

    def hidden_channels(self, in_channels: int, out_channels: int) -> int:
        """Inner channels: the expanded input, or half of the output for a kind that does not expand."""
        return make_divisible(in_channels * self.expand) if self.expand else out_channels // 2

    def __str__(self) -> str:
        return f"{self.kind}_k{self.kernel}" + (f"_e{self.expand:g}" if self.expand else "")


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers of one resolution: the first has the stride, all give the stage's width, `depths` says how many."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    stride: int
    choices: tuple[Choice, ...]
    se: bool
    activation: str


@dataclass(frozen=True, slots=True)
class Gene:
    """One decision: `name`, and how many options it has."""

    name: str
    options: int


@dataclass(frozen=True)  # without slots, so that digest and genes, which every architecture needs, are computed once
class SearchSpace:
    """All networks that a search may propose. Genes are, in order: resolution, then per stage depth, width, layers.

    Resolutions, widths and depths rise, so that a higher gene is a larger network; choices have any order.

    Raises:
        SpaceError: something is empty, an option is listed twice or out of order, or a shuffle unit would change its form
            with the width chosen before it.
    """

    name: str
    resolutions: tuple[int, ...]
    stem_width: int
    stem_stride: int
    stem_activation: str
    stages: tuple[Stage, ...]
    head_width: int
    head_activation: str

    def __post_init__(self) -> None:
        if not (self.resolutions and self.stages) or len(set(self.resolutions)) < len(self.resolutions):
            raise SpaceError(f"{self.name} needs stages and distinct resolutions, got {self.resolutions}")
        self._refuse_disorder("resolutions of", self.resolutions)
        before: tuple[int, ...] = (self.stem_width,)
        for number, stage in enumerate(self.stages, start=1):
            if not (stage.widths and stage.depths and stage.choices) or min(stage.depths) < 1:
                raise SpaceError(f"stage {number} of {self.name} needs widths, depths from 1 and choices")
            for options in (stage.widths, stage.depths, stage.choices):
                if len(set(options)) < len(options):
                    raise SpaceError(f"stage {number} of {self.name} lists an option twice: {', '.join(map(str, options))}")
            self._refuse_disorder(f"widths of stage {number} of", stage.widths)
            self._refuse_disorder(f"depths of stage {number} of", stage.depths)
            shuffles = any(not choice.expand for choice in stage.choices)
            if shuffles and stage.stride == 1 and set(before) & set(stage.widths):
                raise SpaceError(f"stage {number} of {self.name}: a shuffle unit of stride 1 needs other widths than the stage before")
            before = stage.widths

    def _refuse_disorder(self, what: str, options: tuple[int, ...]) -> None:
        rising = tuple(sorted(options))
        if options != rising:
            raise SpaceError(f"the {what} {self.name} must rise, got {options}: write {rising}")

    @cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with anything in the space."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]

    @cached_property
    def key(self) -> str:
        """`name@digest`, what architectures and checkpoints are marked with."""
        return f"{self.name}@{self.digest}"

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """Every decision of the space, in the order of `Architecture.genes`."""
        genes = [Gene("resolution", len(self.resolutions))]
        for s, stage in enumerate(self.stages, start=1):
            genes += [Gene(f"stage{s}_depth", len(stage.depths)), Gene(f"stage{s}_width", len(stage.widths))]
            genes += [Gene(f"stage{s}_layer{i}", len(stage.choices)) for i in range(max(stage.depths))]
        return tuple(genes)

    @property
    def size(self) -> int:
        """Number of distinct architectures."""
        count = len(self.resolutions)
        for stage in self.stages:
            count *= len(stage.widths) * sum(len(stage.choices) ** depth for depth in stage.depths)
        return count

    def architecture(self, genes: Sequence[int]) -> Architecture:
        """The canonical architecture of `genes`: layers beyond a stage's depth are set to 0.

        Raises:
            SpaceError: the number of genes is wrong or one is out of its range.
        """
        expected = self.genes
        if len(genes) != len(expected):
            raise SpaceError(f"{self.name} has {len(expected)} genes, got {len(genes)}")
        for gene, value in zip(expected, genes, strict=True):
            if not 0 <= value < gene.options:
                raise SpaceError(f"gene {gene.name} of {self.name} goes from 0 to {gene.options - 1}, got {value}")
        canonical = [int(genes[0])]
        for stage, (depth, width, layers) in zip(self.stages, self._stage_genes(genes), strict=True):
            used = stage.depths[depth]
            canonical += [int(depth), int(width)]
            canonical += [int(layer) if i < used else 0 for i, layer in enumerate(layers)]
        return Architecture(self.key, tuple(canonical))

    def smallest(self) -> Architecture:
        """The network of least resolution, depth and width, and in every layer of least expansion, then kernel."""
        return self._outermost(0, min)

    def largest(self) -> Architecture:
        """The network of most resolution, depth, width and expansion, then kernel, which teaches the others."""
        return self._outermost(-1, max)

    def _outermost(self, end: int, pick: Callable[..., Choice]) -> Architecture:
        """The first (0) or last (-1) of all options that rise, and of the choices those that `pick` picks."""
        genes = [range(len(self.resolutions))[end]]
        for stage in self.stages:
            picked = pick(stage.choices, key=lambda choice: (choice.expand, choice.kernel))
            layers = [stage.choices.index(picked)] * max(stage.depths)
            genes += [range(len(stage.depths))[end], range(len(stage.widths))[end], *layers]
        return self.architecture(genes)

    def network(self, architecture: Architecture, in_channels: int, classes: int) -> NetworkSpec:
        """The network that `architecture` stands for, on images of `in_channels` and with `classes` outputs.

        Raises:
            SpaceError: the architecture belongs to another space.
        """
        if architecture.space != self.key:
            raise SpaceError(f"architecture {architecture.id} is of {architecture.space}, not of {self.key}")
        resolution = self.resolutions[architecture.genes[0]]
        blocks = [self.stem(in_channels, resolution)]
        slots = ["stem"]
        for s, (depth, width, layers) in enumerate(self._stage_genes(architecture.genes), start=1):
            stage = self.stages[s - 1]
            for i in range(stage.depths[depth]):
                before = blocks[-1]
                blocks.append(self.layer(s - 1, i, stage.choices[layers[i]], before.out_channels, stage.widths[width], before.out_height))
                slots.append(f"stage{s}_layer{i}")
        last = blocks[-1]
        blocks.append(self.head(last.out_channels, last.out_height, classes))
        slots.append("head")
        return NetworkSpec(resolution, in_channels, classes, tuple(slots), tuple(blocks))

    def stem(self, in_channels: int, resolution: int) -> BlockSpec:
        """First convolution, 3x3."""
        return BlockSpec(
            "conv", in_channels, self.stem_width, self.stem_width, 3, self.stem_stride, False, self.stem_activation, resolution, resolution
        )

    def layer(self, stage_index: int, layer_index: int, choice: Choice, in_channels: int, out_channels: int, size: int) -> BlockSpec:
        """Layer `layer_index` of a stage, filled with `choice`, on `size` x `size` pixels."""
        stage = self.stages[stage_index]
        hidden = choice.hidden_channels(in_channels, out_channels)
        stride = stage.stride if layer_index == 0 else 1
        return BlockSpec(choice.kind, in_channels, hidden, out_channels, choice.kernel, stride, stage.se, stage.activation, size, size)

    def head(self, in_channels: int, size: int, classes: int) -> BlockSpec:
        """Pointwise convolution, global average pooling and the classifier."""
        return BlockSpec("head", in_channels, self.head_width, classes, 1, 1, False, self.head_activation, size, size)

    def shared_blocks(self, in_channels: int, classes: int) -> Mapping[tuple[str, str], BlockSpec]:
        """For every (slot, kind), the block whose tensors contain those of all blocks that may stand there."""
        size = self.resolutions[-1]
        stem = self.stem(in_channels, size)
        shared: dict[tuple[str, str], BlockSpec] = {("stem", stem.kind): stem}
        before: tuple[int, ...] = (self.stem_width,)
        size = stem.out_height
        for s, stage in enumerate(self.stages):
            for i in range(max(stage.depths)):
                inputs = before if i == 0 else stage.widths
                kinds = sorted({choice.kind for choice in stage.choices})
                for kind in kinds:
                    blocks = [
                        self.layer(s, i, choice, max(inputs), max(stage.widths), size) for choice in stage.choices if choice.kind == kind
                    ]
                    hidden, kernel = max(block.hidden_channels for block in blocks), max(block.kernel for block in blocks)
                    shared[f"stage{s + 1}_layer{i}", kind] = replace(blocks[0], hidden_channels=hidden, kernel=kernel)
                size = -(-size // stage.stride) if i == 0 else size
            before = stage.widths
        head = self.head(max(before), size, classes)
        shared["head", head.kind] = head
        return shared

    def describe(self, architecture: Architecture) -> str:
        """One readable line: "28px | 2x16 mbconv_k3_e2 shuffle_unit_k5 | ..."."""
        parts = [f"{self.resolutions[architecture.genes[0]]}px"]
        for stage, (depth, width, layers) in zip(self.stages, self._stage_genes(architecture.genes), strict=True):
            used = layers[: stage.depths[depth]]
            parts.append(f"{len(used)}x{stage.widths[width]} " + " ".join(str(stage.choices[layer]) for layer in used))
        return " | ".join(parts)

    def unique_blocks(self, in_channels: int, classes: int) -> tuple[BlockSpec, ...]:
        """Every distinct block that any network of the space contains, in a fixed order: what a table must hold."""
        found: dict[BlockSpec, None] = {}
        for resolution in self.resolutions:
            stem = self.stem(in_channels, resolution)
            found[stem] = None
            before: tuple[int, ...] = (self.stem_width,)
            size = stem.out_height
            for s, stage in enumerate(self.stages):
                for i in range(min(2, max(stage.depths))):
                    pairs = itertools.product(before, stage.widths) if i == 0 else zip(stage.widths, stage.widths, strict=True)
                    for (c_in, c_out), choice in itertools.product(pairs, stage.choices):
                        found[self.layer(s, i, choice, c_in, c_out, size)] = None
                    size = -(-size // stage.stride) if i == 0 else size
                before = stage.widths
            for width in before:
                found[self.head(width, size, classes)] = None
        return tuple(found)

    def _stage_genes(self, genes: Sequence[int]) -> Iterator[tuple[int, int, Sequence[int]]]:
        """(depth, width, layers) indices of each stage."""
        at = 1
        for stage in self.stages:
            layers = max(stage.depths)
            yield genes[at], genes[at + 1], genes[at + 2 : at + 2 + layers]
            at += 2 + layers


def make_divisible(channels: float, divisor: int = 8) -> int:
    """`channels` rounded to a multiple of `divisor`, never more than 10 % below it.

    Source: the rule of the MobileNet reference networks (Howard et al. 2019, section 6).
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
