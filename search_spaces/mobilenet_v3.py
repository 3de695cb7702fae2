"""Photographs (128 to 224 px): the space of Once-for-All on MobileNetV3 (Cai et al. 2020), at width 1.0.

Kernel 3, 5 or 7 and expansion 3, 4 or 6 in every layer, two to four layers a stage. The widths are MobileNetV3-Large's.
`python -m nas.train --init ofa:PATH` takes the weights that its authors publish.
"""

from nas.core.space import Choice, SearchSpace, Stage

_CHOICES = Choice.grid("mbconv", (3, 5, 7), (3, 4, 6))
_DEPTHS = (2, 3, 4)

PLUGIN = SearchSpace(
    name="mobilenet_v3",
    resolutions=tuple(range(128, 225, 16)),
    stem_width=16,
    stem_stride=2,
    stem_activation="hard_swish",
    stages=(
        Stage(widths=(16,), depths=(1,), stride=1, choices=(Choice("separable", 3, 1),), se=False, activation="relu"),
        Stage(widths=(24,), depths=_DEPTHS, stride=2, choices=_CHOICES, se=False, activation="relu"),
        Stage(widths=(40,), depths=_DEPTHS, stride=2, choices=_CHOICES, se=True, activation="relu"),
        Stage(widths=(80,), depths=_DEPTHS, stride=2, choices=_CHOICES, se=False, activation="hard_swish"),
        Stage(widths=(112,), depths=_DEPTHS, stride=1, choices=_CHOICES, se=True, activation="hard_swish"),
        Stage(widths=(160,), depths=_DEPTHS, stride=2, choices=_CHOICES, se=True, activation="hard_swish"),
    ),
    last_conv_width=960,
    head_kind="wide_head",
    head_width=1280,
    head_activation="hard_swish",
    kernel_transforms=True,
)
