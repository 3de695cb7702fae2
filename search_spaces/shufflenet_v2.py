"""Photographs (128 to 224 px): the space of Single Path One-Shot (Guo et al. 2020, table 1) on ShuffleNetV2's units.

Twenty layers, each one of four blocks: a shuffle unit of kernel 3, 5 or 7, or the Xception unit; 4^20 networks at every
resolution. The units are those of its authors' code (https://github.com/megvii-model/SinglePathOneShot), with the
inner channels that it starts with, half of the output; the paper's second search, for channels, is left to pruning. Beyond
it there are resolutions below 224 px, and the classifier has a bias.
"""

from nas.core.space import Choice, SearchSpace, Stage

_CHOICES = (Choice("shuffle_xception", 7), *Choice.grid("shuffle_uneven", (3, 5, 7)))
"""The Xception unit comes first: of two that see as far, the first counts as the largest, and it has more parameters."""

PLUGIN = SearchSpace(
    name="shufflenet_v2",
    resolutions=(128, 160, 192, 224),
    stem_width=16,
    stem_stride=2,
    stem_activation="relu",
    stages=tuple(
        Stage(widths=(width,), depths=(depth,), stride=2, choices=_CHOICES, se=False, activation="relu")
        for width, depth in ((64, 4), (160, 4), (320, 8), (640, 4))
    ),
    head_width=1024,
    head_activation="relu",
)
