"""Random changes of photographs, on whole batches of tensors: a random part of the picture, mirrored or not, then RandAugment.

Everything is decided by a generator alone and computed without a loop over images, on whatever device the images are. Sources:
Szegedy et al. 2015 (random resized crops, as in torchvision but never rejected); Cubuk et al. 2020, RandAugment, with the
operations and ranges of AutoAugment (Cubuk et al. 2019, table 6); Pillow for what each of them does to a pixel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

AREA, RATIO = (0.35, 1.0), (3 / 4, 4 / 3)
"""Of a random crop: its share of the picture, and width over height. Small networks want larger crops than the 0.08 of large ones."""

ROUNDS, MAGNITUDE = 2, 9 / 30
"""Operations on each image, and how strong they are from 0 to 1. Source: Cubuk et al. 2020, section 4.3, ResNet-50 on ImageNet."""

FILL = 128.0
"""What moves in from outside of the picture."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`apply(images, strengths)`: whole numbers 0 to 255 as float32 (n, c, h, w), and `most` times the magnitude (n,), to the same.

    A `signed` strength is negative for half of the images. `most` is None where there is nothing to be strong about.
    """

    name: str
    apply: Callable[[Tensor, Tensor], Tensor]
    most: float | None
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """What happens to each of n images.

    `boxes` (n, 4): centre and size of the crop, x before y, from -1 to 1 as `functional.affine_grid` has it; a negative width
    mirrors. `operations` and `signs`, both (rounds, n): places in `OPERATIONS`, and -1 or 1.
    """

    boxes: Tensor
    operations: Tensor
    signs: Tensor

    def of(self, chosen: slice) -> "Changes":
        """The same for some of the images."""
        return Changes(self.boxes[chosen], self.operations[:, chosen], self.signs[:, chosen])


def draw(count: int, height: int, width: int, mirror: bool, generator: torch.Generator, rounds: int = ROUNDS) -> Changes:
    """Changes of `count` images of `height` x `width` pixels; they are mirrored with probability 1/2 if `mirror`.

    Args:
        count: images.
        height: in pixels.
        width: in pixels.
        mirror: whether left and right may be swapped.
        generator: decides, of a CPU; the same state gives the same result.
        rounds: operations on each image.
    """
    area, ratio, x, y, mirrored = torch.rand(5, count, generator=generator)
    area = AREA[0] + (AREA[1] - AREA[0]) * area
    ratio = torch.exp(math.log(RATIO[0]) + (math.log(RATIO[1]) - math.log(RATIO[0])) * ratio) * height / width
    wide, high = (area * ratio).sqrt().clamp(max=1.0), (area / ratio).sqrt().clamp(max=1.0)
    side = torch.where(mirrored < 0.5, -1.0, 1.0) if mirror else torch.ones(count)
    boxes = torch.stack([(2 * x - 1) * (1 - wide), (2 * y - 1) * (1 - high), side * wide, high], dim=1)
    operations = torch.randint(0, len(OPERATIONS), (rounds, count), generator=generator)
    signs = 2.0 * torch.randint(0, 2, (rounds, count), generator=generator) - 1.0
    return Changes(boxes, operations, signs)


def apply(images: Tensor, changes: Changes, magnitude: float = MAGNITUDE) -> Tensor:
    """`images`, uint8 (n, 1 or 3, height, width), as `changes` say: of the same shape, type and device; a new tensor."""
    boxes = changes.boxes.to(images.device)
    left_out = torch.zeros_like(boxes[:, 0])
    rows = [torch.stack([boxes[:, 2], left_out, boxes[:, 0]], dim=1), torch.stack([left_out, boxes[:, 3], boxes[:, 1]], dim=1)]
    pixels = _moved(images.float(), torch.stack(rows, dim=1), "border")
    return rand_augment(pixels, changes, magnitude).to(torch.uint8)


def rand_augment(pixels: Tensor, changes: Changes, magnitude: float) -> Tensor:
    """`pixels`, whole numbers 0 to 255 as float32 (n, c, h, w), after the operations of `changes`; the argument stays as it is."""
    pixels = pixels.clone()
    for operations, signs in zip(changes.operations.to(pixels.device), changes.signs.to(pixels.device), strict=True):
        for number, operation in enumerate(OPERATIONS):
            at = (operations == number).nonzero().squeeze(1)
            if len(at):
                strengths = magnitude * (operation.most or 0.0) * (signs[at] if operation.signed else torch.ones_like(signs[at]))
                pixels[at] = operation.apply(pixels[at], strengths)
    return pixels


def _moved(images: Tensor, matrices: Tensor, outside: str = "zeros") -> Tensor:
    """`images` (n, c, h, w), each pixel taken from where `matrices` (n, 2, 3) put it, from -1 to 1 in both axes; whole numbers."""
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    taken = functional.grid_sample(images - FILL, grid, mode="bilinear", padding_mode=outside, align_corners=False)
    return (taken + FILL).round_().clamp_(0, 255)


def _affine(entries: Callable[[Tensor, float], dict[tuple[int, int], Tensor]]) -> Callable[[Tensor, Tensor], Tensor]:
    """The operation that moves pixels by the identity with some `entries` changed, of strengths (n,) and height over width."""

    def apply(images: Tensor, strengths: Tensor) -> Tensor:
        matrices = torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)
        for (row, column), values in entries(strengths, images.shape[2] / images.shape[3]).items():
            matrices[:, row, column] = values
        return _moved(images, matrices)

    return apply


def _turned(angle: Tensor, tall: float) -> dict[tuple[int, int], Tensor]:
    """A turn by `angle` (n,), in radians, in pixels and not in shares of either side."""
    cosine, sine = angle.cos(), angle.sin()
    return {(0, 0): cosine, (0, 1): -sine * tall, (1, 0): sine / tall, (1, 1): cosine}


def _gray(images: Tensor) -> Tensor:
    """Brightness as the eye has it (ITU-R 601-2), whole numbers (n, 1, h, w)."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True).round_()


def _smooth(images: Tensor) -> Tensor:
    """Each pixel averaged with its neighbours, itself counting five times; those at the edge as they are."""
    if min(images.shape[2:]) < 3:
        return images
    channels = images.shape[1]
    kernel = torch.ones(channels, 1, 3, 3, device=images.device)
    kernel[:, :, 1, 1] = 5.0
    found = images.clone()
    found[:, :, 1:-1, 1:-1] = functional.conv2d(images, kernel / 13, groups=channels).round_()
    return found


def _black(images: Tensor) -> Tensor:
    return torch.zeros_like(images)


def _average(images: Tensor) -> Tensor:
    """The mean brightness of each image, (n, 1, 1, 1)."""
    return _gray(images).mean(dim=(1, 2, 3), keepdim=True).round_()


def _away_from(plain: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The operation that moves images away from what `plain` makes of them, or towards it where the strength is negative."""

    def apply(images: Tensor, strengths: Tensor) -> Tensor:
        return torch.lerp(plain(images).expand_as(images), images, 1 + strengths.view(-1, 1, 1, 1)).round_().clamp_(0, 255)

    return apply


def _posterize(images: Tensor, bits_less: Tensor) -> Tensor:
    """Images with fewer bits a channel, rounded to whole bits."""
    step = 2.0 ** bits_less.round().view(-1, 1, 1, 1)
    return (images / step).floor_() * step


def _solarize(images: Tensor, strengths: Tensor) -> Tensor:
    """Images with all values inverted that are not below 256 less the strength."""
    return torch.where(images >= 256 - strengths.view(-1, 1, 1, 1), 255 - images, images)


def _auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Each channel stretched from 0 to 255; one of a single value stays."""
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    stretched = (images - low) * (255 / (high - low).clamp(min=1))
    return torch.where(high > low, stretched.round_().clamp_(0, 255), images)


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    """Each channel with its values spread as evenly as they can be, as Pillow's `ImageOps.equalize` does it."""
    values = images.flatten(2).long()
    counts = torch.zeros(*values.shape[:2], 256, dtype=torch.long, device=images.device).scatter_add_(2, values, torch.ones_like(values))
    step = (values.shape[2] - counts.gather(2, values.amax(dim=2, keepdim=True))) // 255
    before = counts.cumsum(dim=2) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp_(max=255)
    return torch.where(step > 0, table.gather(2, values), values).view_as(images).to(images.dtype)


OPERATIONS = (
    Operation("identity", lambda images, _: images, None),
    Operation("shear_x", _affine(lambda shear, tall: {(0, 1): shear * tall}), 0.3, signed=True),
    Operation("shear_y", _affine(lambda shear, tall: {(1, 0): shear / tall}), 0.3, signed=True),
    Operation("translate_x", _affine(lambda share, _: {(0, 2): 2 * share}), 150 / 331, signed=True),
    Operation("translate_y", _affine(lambda share, _: {(1, 2): 2 * share}), 150 / 331, signed=True),
    Operation("rotate", _affine(_turned), math.radians(30), signed=True),
    Operation("brightness", _away_from(_black), 0.9, signed=True),
    Operation("color", _away_from(_gray), 0.9, signed=True),
    Operation("contrast", _away_from(_average), 0.9, signed=True),
    Operation("sharpness", _away_from(_smooth), 0.9, signed=True),
    Operation("posterize", _posterize, 4),
    Operation("solarize", _solarize, 256),
    Operation("auto_contrast", _auto_contrast, None),
    Operation("equalize", _equalize, None),
)
"""All operations, and what each of them does at magnitude 1."""
