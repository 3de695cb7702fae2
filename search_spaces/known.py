"""Published networks as exact values, to compare with: MobileNetV2, MobileNetV3, ShuffleNetV2 and Single Path One-Shot's.

Multiply-accumulates and parameters are those of the papers, to the rounding of the papers; where two publications differ,
`KnownNetwork.note` says which one this is. Names are MobileNetV2 1.0, and so on: `load` gives them at 224 px for three colours,
`scaled` at any size and width. Slots are named as in the spaces, so that where a network is one of a space's the two are equal.
"""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import search_spaces
from nas.core.architecture import Architecture
from nas.core.errors import SpaceError, UnknownNameError
from nas.core.network import BlockSpec, NetworkSpec
from nas.core.space import make_divisible
from search_spaces import blocks

SMALL_IMAGES = 64
"""Up to this many pixels, the first two halvings of the picture are left out.

As usual where these networks are compared on 32 px images: the first convolution keeps the size, and so does the next halving
(in ShuffleNetV2 the pooling is gone). 32 px then reach the head as 4 px, where 224 px do as 7.
"""

WIDTHS = tuple(round(0.05 + 0.005 * step, 3) for step in range(591))
"""Width multipliers that `scaled` tries: 0.05 to 3."""

STEPS, NEAR, ALLOWED = (8, 4), 0.05, 0.1
"""Steps of channels that `scaled` tries: the second where the first does not come near, both relative to the MACs asked for.

Multiples of 8 are the networks' own rule, and the faster ones; on small images all narrow layers of one jump together.
"""

Build = Callable[[float, int, int, int, int], NetworkSpec]
"""Of a width multiplier, a step of channels, a resolution in px, input channels and classes."""


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """A published network of width 1.0.

    `macs` and `params` are as published, such as "300 M". `space` is the space that it is a network of, "" where it is of
    none, and `note` says why, and whatever else a comparison should know.
    """

    name: str
    title: str
    source: str
    macs: str
    params: str
    space: str
    note: str
    build: Build


def names() -> tuple[str, ...]:
    """Names of all known networks, sorted."""
    return tuple(sorted(_KNOWN))


def find(name: str) -> KnownNetwork:
    """The known network of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    if name not in _KNOWN:
        raise UnknownNameError("known network", name, names())
    return _KNOWN[name]


def load(name: str, classes: int = 1000, resolution: int = 224, in_channels: int = 3) -> NetworkSpec:
    """The known network of that name, of width 1.0.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    return find(name).build(1.0, STEPS[0], resolution, in_channels, classes)


def architecture(name: str) -> Architecture:
    """The point of its space that the known network of that name is, at 224 px.

    Raises:
        UnknownNameError: there is none of that name; the message names the nearest.
        SpaceError: it is in no space; the message says why.
    """
    known = find(name)
    if not known.space:
        raise SpaceError(f"{known.title} is a network of no space here: {known.note}")
    space = search_spaces.load(known.space)
    wanted = load(name)
    genes = [space.resolutions.index(wanted.resolution)]
    layers = dict(zip(wanted.slots, wanted.blocks, strict=True))
    for number, stage in enumerate(space.stages, start=1):
        found = [layers[slot] for slot in (f"stage{number}_layer{i}" for i in range(max(stage.depths))) if slot in layers]
        genes += [stage.depths.index(len(found)), stage.widths.index(found[0].out_channels)]
        for i, block in enumerate(found):
            ends = (block.in_channels, block.out_channels, block.in_height)
            genes.append([space.layer(number - 1, i, choice, *ends) for choice in stage.choices].index(block))
        genes += [0] * (max(stage.depths) - len(found))
    return space.architecture(genes)


def scaled(name: str, macs: float, resolution: int, in_channels: int, classes: int) -> NetworkSpec:
    """The known network of that name at the width multiplier whose multiply-accumulates are nearest to `macs`.

    Layers widen as in their authors' own code, but for ShuffleNetV2, whose published widths 0.5, 1.5 and 2 have channels of
    their own. As there, the last layer before the classifier is never narrower than at 1.0. See `STEPS` for the rounding.

    Raises:
        UnknownNameError: there is none of that name; the message names the nearest.
        SpaceError: no width comes within `ALLOWED`; the message says what there is.
    """
    known = find(name)
    for step in STEPS:

        def network(width: float, step: int = step) -> NetworkSpec:
            return known.build(width, step, resolution, in_channels, classes)

        above = bisect.bisect_left(WIDTHS, macs, key=lambda width: blocks.macs(network(width)))  # wider is never fewer
        around = [network(width) for width in WIDTHS[max(0, above - 1) : above + 1]]
        nearest = min(around, key=lambda found: abs(blocks.macs(found) - macs))
        if abs(blocks.macs(nearest) - macs) <= NEAR * macs:
            break
    if abs(blocks.macs(nearest) - macs) > ALLOWED * macs:
        least, most, found = (blocks.macs(one) / 1e6 for one in (network(WIDTHS[0]), network(WIDTHS[-1]), nearest))
        raise SpaceError(
            f"no width of {name} at {resolution} px has about {macs / 1e6:g} M MACs: they go from {least:.3g} to {most:.3g} M, "
            f"and the nearest has {found:.3g} M"
        )
    return nearest


class _Chain:
    """Blocks so far. Mutable: it lives inside one function call."""

    def __init__(self, resolution: int, in_channels: int) -> None:
        self.resolution, self.in_channels = resolution, in_channels
        self.channels, self.size = in_channels, resolution
        self.kept = 2 if resolution <= SMALL_IMAGES else 0  # halvings still to be left out
        self.slots: list[str] = []
        self.blocks: list[BlockSpec] = []

    def stride(self, wanted: int) -> int:
        """`wanted`, or 1 where this halving is left out."""
        if wanted == 1 or not self.kept:
            return wanted
        self.kept -= 1
        return 1

    def add(
        self, slot: str, kind: str, out: int, hidden: int = 0, kernel: int = 1, stride: int = 1, act: str = "", se: bool = False
    ) -> None:
        """Appends a block of `out` channels; `stride` as it stands."""
        block = BlockSpec(kind, self.channels, hidden or out, out, kernel, stride, se, act, self.size, self.size)
        self.slots.append(slot)
        self.blocks.append(block)
        self.channels, self.size = out, block.out_height

    def inverted(self, slot: str, out: int, hidden: int, kernel: int, stride: int, act: str, se: bool) -> None:
        """An inverted residual, which does not expand where `hidden` is what comes in."""
        kind = "separable" if hidden == self.channels else "mbconv"
        self.add(slot, kind, out, hidden, kernel, self.stride(stride), act, se)

    def network(self, classes: int) -> NetworkSpec:
        return NetworkSpec(self.resolution, self.in_channels, classes, tuple(self.slots), tuple(self.blocks))


def _mobilenet_v2(width: float, step: int, resolution: int, in_channels: int, classes: int) -> NetworkSpec:
    chain = _Chain(resolution, in_channels)
    chain.add("stem", "conv", make_divisible(32 * width, step), 0, 3, chain.stride(2), "relu6")
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for number, (ratio, out, depth, stride) in enumerate(table, start=1):
        for i in range(depth):
            slot, hidden = f"stage{number}_layer{i}", ratio * chain.channels
            chain.inverted(slot, make_divisible(out * width, step), hidden, 3, 1 if i else stride, "relu6", se=False)
    chain.add("head", "head", classes, make_divisible(1280 * max(1.0, width)), act="relu6")
    return chain.network(classes)


_Row = tuple[int, int, int, bool, str, int]

_LARGE: Sequence[_Row] = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hard_swish", 2),
    (3, 200, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1),
    (3, 480, 112, True, "hard_swish", 1),
    (3, 672, 112, True, "hard_swish", 1),
    (5, 672, 160, True, "hard_swish", 2),
    (5, 960, 160, True, "hard_swish", 1),
    (5, 960, 160, True, "hard_swish", 1),
)
_SMALL: Sequence[_Row] = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hard_swish", 2),
    (5, 240, 40, True, "hard_swish", 1),
    (5, 240, 40, True, "hard_swish", 1),
    (5, 120, 48, True, "hard_swish", 1),
    (5, 144, 48, True, "hard_swish", 1),
    (5, 288, 96, True, "hard_swish", 2),
    (5, 576, 96, True, "hard_swish", 1),
    (5, 576, 96, True, "hard_swish", 1),
)
"""Kernel, inner and output channels, squeeze-and-excitation, activation, stride: Howard et al. 2019, tables 1 and 2."""


def _mobilenet_v3(table: Sequence[_Row], last: int, head: int) -> Build:
    def build(width: float, step: int, resolution: int, in_channels: int, classes: int) -> NetworkSpec:
        chain = _Chain(resolution, in_channels)
        chain.add("stem", "conv", make_divisible(16 * width, step), 0, 3, chain.stride(2), "hard_swish")
        stage, layer, before, plain = 0, 0, 0, 16  # a stage is a run of rows of one width
        for kernel, inner, out, se, act, stride in table:
            new = out != before or stride == 2
            stage, layer, before = stage + new, 0 if new else layer + 1, out
            # the inner channels are a multiple of those that really come in, as in the authors' code
            hidden, plain = make_divisible(inner / plain * chain.channels, step), out
            chain.inverted(f"stage{stage}_layer{layer}", make_divisible(out * width, step), hidden, kernel, stride, act, se)
        chain.add("last_conv", "conv", make_divisible(last * width, step), act="hard_swish")
        chain.add("head", "wide_head", classes, int(head * max(1.0, width)), act="hard_swish")
        return chain.network(classes)

    return build


def _shuffle_stages(chain: _Chain, widths: Sequence[int], kinds: Sequence[Sequence[tuple[str, int]]]) -> None:
    """A stage of the blocks (kind and kernel) of each of `kinds`, the first of which halves the picture."""
    for number, (out, layers) in enumerate(zip(widths, kinds, strict=True), start=1):
        for i, (kind, kernel) in enumerate(layers):
            chain.add(f"stage{number}_layer{i}", kind, out, out // 2, kernel, 1 if i else chain.stride(2), "relu")


def _shufflenet_v2(width: float, step: int, resolution: int, in_channels: int, classes: int) -> NetworkSpec:
    chain = _Chain(resolution, in_channels)
    chain.add("stem", "conv", 24, 0, 3, chain.stride(2), "relu")
    if chain.stride(2) == 2:
        chain.add("stem_pool", "max_pool", 24, 0, 3, 2)
    first = make_divisible(116 * width, 4)
    _shuffle_stages(chain, (first, 2 * first, 4 * first), [[("shuffle_uneven", 3)] * depth for depth in (4, 8, 4)])
    chain.add("head", "head", classes, make_divisible(1024 * max(1.0, width)), act="relu")
    return chain.network(classes)


_ONE_SHOT = "2101 2020 20230000 3233"
"""Blocks of each stage: shuffle units of kernel 3 (0), 5 (1) and 7 (2), and the Xception unit (3)."""


def _single_path_one_shot(width: float, step: int, resolution: int, in_channels: int, classes: int) -> NetworkSpec:
    chain = _Chain(resolution, in_channels)
    chain.add("stem", "conv", make_divisible(16 * width, step), 0, 3, chain.stride(2), "relu")
    kinds = {"0": ("shuffle_uneven", 3), "1": ("shuffle_uneven", 5), "2": ("shuffle_uneven", 7), "3": ("shuffle_xception", 7)}
    widths = [make_divisible(out * width, step) for out in (64, 160, 320, 640)]
    _shuffle_stages(chain, widths, [[kinds[digit] for digit in stage] for stage in _ONE_SHOT.split()])
    chain.add("head", "head", classes, make_divisible(1024 * max(1.0, width)), act="relu")
    return chain.network(classes)


_V3 = "Howard et al. 2019, Searching for MobileNetV3"
_NOT_ON_THE_GRID = "its inner channels are no multiple of 3, 4 or 6 of those that come in"

_KNOWN = {
    known.name: known
    for known in (
        KnownNetwork(
            "mobilenet_v2",
            "MobileNetV2 1.0",
            "Sandler et al. 2018, tables 2 and 4",
            "300 M",
            "3.4 M",
            "mobile_minimalistic",
            "3.47 M are kernels and classifier, 3.49 M with folded batch norms; no expansion in the first block, as in the authors' code",
            _mobilenet_v2,
        ),
        KnownNetwork(
            "mobilenet_v3_large",
            "MobileNetV3-Large 1.0",
            f"{_V3}, table 1; 217 M on its authors' page of checkpoints, which is what it adds up to, and 219 M in a table of the paper",
            "217 M",
            "5.4 M",
            "",
            f"{_NOT_ON_THE_GRID} in three layers (200 and 184 of 80); mobilenet_v3 has its widths, depths and gates",
            _mobilenet_v3(_LARGE, 960, 1280),
        ),
        KnownNetwork(
            "mobilenet_v3_small",
            "MobileNetV3-Small 1.0",
            f"{_V3}, tables 2 and 3 of the final version",
            "56 M",
            "2.5 M",
            "",
            f"{_NOT_ON_THE_GRID}; 66 M and 2.9 M are published too: see mobilenet_v3_small_preprint",
            _mobilenet_v3(_SMALL, 576, 1024),
        ),
        KnownNetwork(
            "mobilenet_v3_small_preprint",
            "MobileNetV3-Small 1.0 of the preprint",
            f"{_V3}, table 2 of the first version: 1280 channels before the classifier, not 1024; figures of its authors' checkpoints",
            "66 M",
            "2.9 M",
            "",
            f"{_NOT_ON_THE_GRID}; the table adds up to 57 M, not to the 66 M that are published with it",
            _mobilenet_v3(_SMALL, 576, 1280),
        ),
        KnownNetwork(
            "shufflenet_v2",
            "ShuffleNetV2 1.0x",
            "Ma et al. 2018, tables 5 and 7",
            "146 M",
            "2.3 M",
            "",
            "146 M are those of the authors' code, whose first unit has uneven branches (144.9 M with the even ones of figure 3); "
            "the space shufflenet_v2 has the widths of Single Path One-Shot",
            _shufflenet_v2,
        ),
        KnownNetwork(
            "single_path_one_shot",
            "Single Path One-Shot",
            "Guo et al. 2020, the network that its authors publish: https://github.com/megvii-model/SinglePathOneShot",
            "323 M",
            "3.5 M",
            "shufflenet_v2",
            "",
            _single_path_one_shot,
        ),
    )
}
