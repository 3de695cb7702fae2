"""Random changes of training images, on whole batches of tensors, decided by a seed and a step alone.

Here are those of small images, which are shifted and mirrored, and the choice; those of photographs are in `nas/photographs.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SHIFT, PHOTO = "shift", "photo"
"""Ways to change images: shifted and perhaps mirrored; or cut, perhaps mirrored, and RandAugment."""

PHOTO_PX = 64
"""From this size on images of three channels are taken for photographs: there is something to cut, and colours to change."""
PHOTO_EPOCHS = 20
"""Shorter trainings hardly see an image often enough to learn it by heart, and strong changes slow them (an assumption)."""


def deserved(asked: str, images: Tensor, epochs: float) -> str:
    """The way `asked` for, or where that is "auto" the one that `images` (n, channels, height, width) deserve in so many `epochs`."""
    if asked != "auto":
        return asked
    _, channels, height, width = images.shape
    return PHOTO if channels == 3 and min(height, width) >= PHOTO_PX and epochs >= PHOTO_EPOCHS else SHIFT


@dataclass(frozen=True, slots=True)
class Changes:
    """What happens to each of n images, all of shape (n, 1): mirrored or not, and moved by rows and columns of padding."""

    mirrored: Tensor
    down: Tensor
    right: Tensor
    rows: int
    columns: int

    def of(self, chosen: slice) -> "Changes":
        """The same for some of the images."""
        return Changes(self.mirrored[chosen], self.down[chosen], self.right[chosen], self.rows, self.columns)


def draw(count: int, height: int, width: int, max_shift: float, mirror: bool, generator: torch.Generator) -> Changes:
    """Changes of `count` images of `height` x `width` pixels: mirrored with probability 1/2 if `mirror`, shifted by up to `max_shift`.

    Args:
        count: images.
        height: in pixels.
        width: in pixels.
        max_shift: share of an image's size, in each direction; rounded down to whole pixels.
        mirror: whether left and right may be swapped.
        generator: decides; the same state gives the same result.
    """
    rows, columns = int(height * max_shift), int(width * max_shift)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    down = torch.randint(0, 2 * rows + 1, (count, 1), generator=generator)
    right = torch.randint(0, 2 * columns + 1, (count, 1), generator=generator)
    return Changes(mirrored if mirror else torch.zeros_like(mirrored), down, right, rows, columns)


def apply(images: Tensor, changes: Changes) -> Tensor:
    """Images (n, channels, height, width) as `changes` say, zeros (the mean) moving in where they are shifted; a new tensor."""
    _, channels, height, width = images.shape
    rows = torch.arange(height) + changes.down
    columns = torch.arange(width)
    columns = torch.where(changes.mirrored, columns.flip(0), columns) + changes.right
    padded = functional.pad(images, (changes.columns, changes.columns, changes.rows, changes.rows))
    shifted = padded.gather(2, rows[:, None, :, None].expand(-1, channels, -1, padded.shape[3]))
    return shifted.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))


def may_mirror(classes: Sequence[str]) -> bool:
    """Whether a mirrored image is likely of its class still: not if all `classes` are called by a number or a single letter.

    Digits and letters change their meaning. Files without names (`idx:PATH`) number their classes, so they are taken for
    digits; `nas.train --flip` says otherwise.
    """
    return not all(name.isdecimal() or len(name) == 1 for name in classes)
