"""A space, images and a device so small that tests can train on them and look at everything."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from nas.core.device import RuntimeTarget
from nas.core.latency import NO_SPILL, BlockPrice, Interval, Spill
from nas.core.network import BlockSpec
from nas.core.space import Choice, SearchSpace, Stage
from nas.data import ImageData, Split
from search_spaces import blocks

SPACE = SearchSpace(
    name="tiny",
    resolutions=(8, 12),
    stem_width=8,
    stem_stride=1,
    stem_activation="relu",
    stages=(
        Stage(
            widths=(8, 16),
            depths=(1, 2),
            stride=2,
            choices=(Choice("shuffle_unit", 3), Choice("mbconv", 3, 2), Choice("mbconv", 5, 3)),
            se=False,
            activation="relu",
        ),
        Stage(
            widths=(16, 24),
            depths=(1, 2),
            stride=2,
            choices=(Choice("mbconv", 5, 2), Choice("mbconv", 3, 3)),  # no block has both the most channels and the largest kernel
            se=True,
            activation="hard_swish",
        ),
    ),
    head_width=32,
    head_activation="hard_swish",
)
CLASSES = 3
TARGET = RuntimeTarget("abacus", "beads", "1", "fp32", 1)
OVERHEAD = Interval(0.5, 0.4, 0.6)


def architectures(space=SPACE):
    """Any architecture of `space`."""
    return st.tuples(*(st.integers(0, gene.options - 1) for gene in space.genes)).map(space.architecture)


def _split(count, seed):
    patterns = torch.rand(CLASSES, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randperm(count, generator=generator) % CLASSES
    noisy = 0.7 * patterns[labels] + 0.3 * torch.rand(count, 1, 12, 12, generator=generator)
    return Split((255 * noisy).to(torch.uint8), labels)


def images(train=96):
    """Gray images of 12 px in three classes, each a fixed pattern under noise."""
    return ImageData("tiny", ("a", "b", "c"), _split(train, 1), _split(60, 2), _split(30, 3), (0.5,), (0.25,), "0123456789ab")


@dataclass(frozen=True)
class Device:
    """A device on which a million MACs take a millisecond, give or take a tenth, and a network at least half of one."""

    target: RuntimeTarget = TARGET
    origin: str = "estimated"
    confidence: float = 0.9
    overhead: Interval = OVERHEAD
    spill: Spill = NO_SPILL

    def block(self, spec: BlockSpec) -> BlockPrice:
        ms = sum(operator.macs for operator in blocks.operators(spec)) / 1e6
        return BlockPrice(Interval(ms, 0.9 * ms, 1.1 * ms), ms)
