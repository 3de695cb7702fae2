"""What may be searched, as data: a file in `search_spaces/` is one `SearchSpace` value and nothing else."""

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property

from nas.core.architecture import Architecture
from nas.core.errors import SpaceError
from nas.core.network import BlockSpec, NetworkSpec

TABLE = "tabular:"
"""What stands before the path of a table that is searched in place of a space."""


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

    A network is a stem, a largest-pooling layer where `stem_pool` asks for one, the stages, a pointwise convolution to
    `last_conv_width` channels where that is above 0, and the block kind `head_kind`. `kernel_transforms` says that in shared
    weights a smaller depthwise kernel is a learned linear map of the larger one, as in Once-for-All, and not only its middle.

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
    stem_pool: bool = False
    last_conv_width: int = 0
    head_kind: str = "head"
    kernel_transforms: bool = False

    def __post_init__(self) -> None:
        if not (self.resolutions and self.stages) or len(set(self.resolutions)) < len(self.resolutions):
            raise SpaceError(f"{self.name} needs stages and distinct resolutions, got {self.resolutions}")
        if self.last_conv_width < 0:
            raise SpaceError(f"the last convolution of {self.name} has {self.last_conv_width} channels: write 0 for none")
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
        """Eight hexadecimal digits that change with anything in the space; a field at its default does not count.

        So a field that a later version adds leaves the digests, and with them tables and weights, of all spaces without it.
        """
        told = [field.name for field in fields(self) if field.default is MISSING or getattr(self, field.name) != field.default]
        text = f"SearchSpace({', '.join(f'{name}={getattr(self, name)!r}' for name in told)})"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

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

    def random(self, count: int, seed: int = 0) -> tuple[Architecture, ...]:
        """The first `count` distinct architectures that chance gives: a larger count has those of a smaller one, in the same order.

        Raises:
            SpaceError: the space has fewer.
        """
        if self.size < count:
            raise SpaceError(f"{self.name} has {self.size} networks, {count} were asked for")
        draw, genes = random.Random(seed), self.genes
        found: dict[Architecture, None] = {}
        while len(found) < count:  # ends: the space has that many
            found[self.architecture([draw.randrange(gene.options) for gene in genes])] = None
        return tuple(found)

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
        placed = self.beginning(in_channels, resolution)
        for s, (depth, width, layers) in enumerate(self._stage_genes(architecture.genes), start=1):
            stage = self.stages[s - 1]
            for i in range(stage.depths[depth]):
                _, last = placed[-1]
                block = self.layer(s - 1, i, stage.choices[layers[i]], last.out_channels, stage.widths[width], last.out_height)
                placed.append((f"stage{s}_layer{i}", block))
        _, last = placed[-1]
        placed += self.ending(last.out_channels, last.out_height, classes)
        slots, blocks = zip(*placed, strict=True)
        return NetworkSpec(resolution, in_channels, classes, slots, blocks)

    def beginning(self, in_channels: int, resolution: int) -> list[tuple[str, BlockSpec]]:
        """Slots and blocks before the stages, which `stem_width` channels leave: the first convolution, 3x3, and its pooling."""
        width, stride = self.stem_width, self.stem_stride
        stem = BlockSpec("conv", in_channels, width, width, 3, stride, False, self.stem_activation, resolution, resolution)
        if not self.stem_pool:
            return [("stem", stem)]
        size = stem.out_height
        return [("stem", stem), ("stem_pool", BlockSpec("max_pool", width, width, width, 3, 2, False, "", size, size))]

    def layer(self, stage_index: int, layer_index: int, choice: Choice, in_channels: int, out_channels: int, size: int) -> BlockSpec:
        """Layer `layer_index` of a stage, filled with `choice`, on `size` x `size` pixels."""
        stage = self.stages[stage_index]
        hidden = choice.hidden_channels(in_channels, out_channels)
        stride = stage.stride if layer_index == 0 else 1
        return BlockSpec(choice.kind, in_channels, hidden, out_channels, choice.kernel, stride, stage.se, stage.activation, size, size)

    def ending(self, in_channels: int, size: int, classes: int) -> list[tuple[str, BlockSpec]]:
        """Slots and blocks after the stages: the last convolution, where the space has one, and the head with the classifier."""
        act, width = self.head_activation, self.last_conv_width
        head = BlockSpec(self.head_kind, width or in_channels, self.head_width, classes, 1, 1, False, act, size, size)
        if not width:
            return [("head", head)]
        return [("last_conv", BlockSpec("conv", in_channels, width, width, 1, 1, False, act, size, size)), ("head", head)]

    def shared_blocks(self, in_channels: int, classes: int) -> Mapping[tuple[str, str], BlockSpec]:
        """For every (slot, kind), the block whose tensors contain those of all blocks that may stand there."""
        beginning = self.beginning(in_channels, self.resolutions[-1])
        shared = {(slot, block.kind): block for slot, block in beginning}
        before: tuple[int, ...] = (self.stem_width,)
        size = beginning[-1][1].out_height
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
        return shared | {(slot, block.kind): block for slot, block in self.ending(max(before), size, classes)}

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
            beginning = self.beginning(in_channels, resolution)
            found |= {block: None for _, block in beginning}
            before: tuple[int, ...] = (self.stem_width,)
            size = beginning[-1][1].out_height
            for s, stage in enumerate(self.stages):
                for i in range(min(2, max(stage.depths))):
                    pairs = itertools.product(before, stage.widths) if i == 0 else zip(stage.widths, stage.widths, strict=True)
                    for (c_in, c_out), choice in itertools.product(pairs, stage.choices):
                        found[self.layer(s, i, choice, c_in, c_out, size)] = None
                    size = -(-size // stage.stride) if i == 0 else size
                before = stage.widths
            for width in before:
                found |= {block: None for _, block in self.ending(width, size, classes)}
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
