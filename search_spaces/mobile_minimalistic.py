"""Photographs (96 to 224 px) on integer-only devices: MobileNetV2's layers alone, ReLU6, without squeeze-and-excitation.

"Minimalistic" as MobileNetV3's authors call their variant for DSPs and microcontrollers: 3x3 kernels, no gates and no h-swish,
whose ranges 8-bit integers represent badly and which accelerators leave to the processor. MobileNetV2 1.0 at 224 px is one
of its networks (`search_spaces.known`), with the greatest width and expansion of every stage.
"""

from nas.core.space import Choice, SearchSpace, Stage

_EXPANDED = Choice.grid("mbconv", (3,), (3, 4, 6))


def _stage(widths: tuple[int, ...], depths: tuple[int, ...], stride: int, choices: tuple[Choice, ...] = _EXPANDED) -> Stage:
    return Stage(widths, depths, stride, choices, se=False, activation="relu6")


PLUGIN = SearchSpace(
    name="mobile_minimalistic",
    resolutions=(96, 128, 160, 192, 224),
    stem_width=32,
    stem_stride=2,
    stem_activation="relu6",
    stages=(
        _stage((8, 16), (1,), 1, (Choice("separable", 3, 1),)),
        _stage((16, 24), (1, 2, 3), 2),
        _stage((24, 32), (1, 2, 3, 4), 2),
        _stage((40, 64), (1, 2, 3, 4), 2),
        _stage((64, 96), (1, 2, 3, 4), 1),
        _stage((112, 160), (1, 2, 3, 4), 2),
        _stage((192, 320), (1,), 1),
    ),
    head_width=1280,
    head_activation="relu6",
)
