"""Photographs (128 to 224 px): `mobilenet_v3` with every width times 1.2, Once-for-All's space for faster devices."""

from dataclasses import replace

from nas.core.space import make_divisible
from search_spaces.mobilenet_v3 import PLUGIN as NARROW


def _wider(channels: int) -> int:
    return make_divisible(1.2 * channels)


PLUGIN = replace(
    NARROW,
    name="mobilenet_v3_w12",
    stem_width=_wider(NARROW.stem_width),
    stages=tuple(replace(stage, widths=tuple(map(_wider, stage.widths))) for stage in NARROW.stages),
    last_conv_width=_wider(NARROW.last_conv_width),
    head_width=_wider(NARROW.head_width),
)
