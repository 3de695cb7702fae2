"""Photographs (128 to 224 px): the layers of `mobile_shuffle_32` at the widths and depths of the ImageNet networks."""

from nas.core.space import Choice, SearchSpace, Stage

_KERNELS = (3, 5, 7)
_SHUFFLE = Choice.grid("shuffle_unit", _KERNELS)

PLUGIN = SearchSpace(
    name="mobile_shuffle",
    resolutions=(128, 160, 192, 224),
    stem_width=16,
    stem_stride=2,
    stem_activation="hard_swish",
    stages=(
        Stage(
            widths=(24, 32),
            depths=(1, 2),
            stride=2,
            choices=_SHUFFLE + Choice.grid("mbconv", _KERNELS, (3, 4)),
            se=False,
            activation="relu",
        ),
        Stage(
            widths=(40, 48),
            depths=(2, 3, 4),
            stride=2,
            choices=_SHUFFLE + Choice.grid("mbconv", _KERNELS, (3, 6)),
            se=True,
            activation="relu",
        ),
        Stage(
            widths=(80, 96),
            depths=(2, 3, 4),
            stride=2,
            choices=_SHUFFLE + Choice.grid("mbconv", _KERNELS, (3, 6)),
            se=False,
            activation="hard_swish",
        ),
        Stage(
            widths=(112, 128),
            depths=(2, 3, 4),
            stride=1,
            choices=_SHUFFLE + Choice.grid("mbconv", _KERNELS, (3, 6)),
            se=True,
            activation="hard_swish",
        ),
        Stage(
            widths=(160, 192),
            depths=(2, 3, 4),
            stride=2,
            choices=_SHUFFLE + Choice.grid("mbconv", _KERNELS, (3, 6)),
            se=True,
            activation="hard_swish",
        ),
    ),
    head_width=960,
    head_activation="hard_swish",
)
