"""Small images (up to 32 px): MobileNetV2/V3 inverted residuals and ShuffleNetV2 units mixed layer by layer.

The stem keeps the full resolution and each stage halves it. Later stages have squeeze-and-excitation and h-swish, as
in MobileNetV3, where they cost little; the first two stay with ReLU.
"""

from nas.core.space import Choice, SearchSpace, Stage

_KERNELS = (3, 5, 7)
_SHUFFLE = Choice.grid("shuffle_unit", _KERNELS)

PLUGIN = SearchSpace(
    name="mobile_shuffle_32",
    resolutions=(20, 24, 28, 32),
    stem_width=16,
    stem_stride=1,
    stem_activation="relu",
    stages=(
        Stage(
            widths=(16, 24),
            depths=(1, 2),
            stride=2,
            choices=_SHUFFLE + Choice.grid("mbconv", _KERNELS, (2, 3)),
            se=False,
            activation="relu",
        ),
        Stage(
            widths=(32, 48),
            depths=(1, 2, 3),
            stride=2,
            choices=_SHUFFLE + Choice.grid("mbconv", _KERNELS, (2, 4)),
            se=False,
            activation="relu",
        ),
        Stage(
            widths=(64, 96),
            depths=(1, 2, 3),
            stride=2,
            choices=_SHUFFLE + Choice.grid("mbconv", _KERNELS, (3, 6)),
            se=True,
            activation="hard_swish",
        ),
    ),
    head_width=256,
    head_activation="hard_swish",
)
