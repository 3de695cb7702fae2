"""Images for a run, in three parts that never mix: the search sees train and validation, test is for the report."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from nas import data_sources
from nas.augmentation import may_mirror
from nas.core.errors import DataError
from nas.data_sources import Labelled, Parts

VALIDATION_SHARE = 0.2
"""Of the training images, where a source brings a test part but no validation part."""
MAX_VALIDATION = 10_000
CUT_SHARE = 0.15
"""Of all images, for validation and again for test, where a source brings neither."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images, uint8 (n, channels, height, width), and the class index of each, int64 (n,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, count: int) -> "Split":
        """At most `count` of the images, drawn once and for all: the same ones for the same number of images."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        chosen = order[:count].sort().values
        return Split(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class ImageData:
    """A data set, ready to be trained on.

    `mean` and `std` are those of the training pixels / 255, per channel. `fingerprint` is 12 hexadecimal digits of
    everything in it, the division into parts included: weights trained on one never meet another's validation images.
    `mirrors` says whether training may swap left and right.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    mirrors: bool = True

    @property
    def channels(self) -> int:
        """Channels of the images: 1 (gray) or 3 (RGB)."""
        return int(self.train.images.shape[1])

    def without_test(self) -> "ImageData":
        """The same without a single test image: what a search and a training get to see."""
        return replace(self, test=self.test.some(0))


def load(source: str, resolution: int, seed: int = 0) -> ImageData:
    """The data set that `source` names, divided into train, validation and test.

    A source's own parts are kept. Otherwise test is 15 % of the images (the same ones for every seed, so that results
    compare), and validation another 15 %; where only validation is missing it is 20 % of the training images, at most
    10,000. Every class has its share in every part.

    Args:
        source: "embedded", "idx:PATH", "folder:PATH" or "hf:NAME".
        resolution: size in pixels that photographs are cut to; images of one common size, such as 28 px, keep it.
        seed: chooses the validation images.

    Raises:
        DataError: there is no such source, or it is empty, damaged, too large, or has classes with too few images.
    """
    return divide(source, data_sources.read(source, resolution), seed)


def normalise(images: Tensor, data: ImageData, resolution: int) -> Tensor:
    """Images as networks eat them: float32 (n, channels, resolution, resolution), mean 0 and deviation 1 per channel.

    Args:
        images: uint8 (n, channels, height, width), of one of the parts of `data`.
        data: what `mean` and `std` are taken from.
        resolution: size of the result in pixels; bilinear with anti-aliasing where it differs.
    """
    scaled = images.float().div_(255.0)
    if scaled.shape[-2:] != (resolution, resolution):
        scaled = functional.interpolate(scaled, size=(resolution, resolution), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.std))
    return scaled.sub_(mean).div_(std)


def stratified(labels: npt.NDArray[np.int64], share: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of the images that stay and of those cut off, both rising; together they are all images, once.

    Each class loses `share` of its images, rounded, and at least one. The same arguments give the same indices.
    """
    random = np.random.default_rng(seed)
    cut = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        cut[members[: max(1, round(len(members) * share))]] = True
    return np.flatnonzero(~cut), np.flatnonzero(cut)


def divide(name: str, parts: Parts, seed: int) -> ImageData:
    """`parts` as `load` gives them: the data set `name`, with the parts that it did not bring cut off.

    Raises:
        DataError: it has classes with too few images, or a part without any.
    """
    _check(name, parts)
    train, validation, test = parts.train, parts.validation, parts.test
    share = min(VALIDATION_SHARE, MAX_VALIDATION / len(train.labels))
    if test is None:
        share = min(CUT_SHARE / (1 - CUT_SHARE), MAX_VALIDATION / len(train.labels))
        train, test = _cut(train, CUT_SHARE, seed=0)
    if validation is None:
        train, validation = _cut(train, share, seed)
    mean, std = _statistics(train.images)
    fingerprint = _fingerprint(parts.classes, (train, validation, test))
    mirrors = may_mirror(parts.classes)
    return ImageData(name, parts.classes, _split(train), _split(validation), _split(test), mean, std, fingerprint, mirrors)


def _check(name: str, parts: Parts) -> None:
    if len(parts.classes) < 2:
        raise DataError(f"{name} has only one class ({parts.classes[0]!r}): a classifier needs two or more")
    needed = 1 + (parts.validation is None) + (parts.test is None)
    counts = np.bincount(parts.train.labels, minlength=len(parts.classes))
    if counts.min() < needed:
        poorest = parts.classes[int(counts.argmin())]
        raise DataError(
            f"class {poorest!r} of {name} has {counts.min()} training images, {needed} or more are needed: add some, or remove it"
        )
    for part, labelled in (("validation", parts.validation), ("test", parts.test)):
        if labelled is not None and not len(labelled.labels):
            raise DataError(f"the {part} part of {name} has no images: add some, or remove it and it is cut from the training images")


def _cut(part: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    stay, cut = stratified(part.labels, share, seed)
    return Labelled(part.images[stay], part.labels[stay]), Labelled(part.images[cut], part.labels[cut])


def _split(part: Labelled) -> Split:
    return Split(torch.from_numpy(_own(part.images)), torch.from_numpy(_own(part.labels)))


def _own(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """`array`, contiguous and writable: torch cannot mark a tensor as read-only."""
    return np.require(array, requirements=("C", "W"))


def _statistics(images: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixels / 255 per channel, exact through counts; a deviation is at least 1/255."""
    values = np.arange(256) / 255.0
    mean, std = [], []
    for channel in range(images.shape[1]):
        counts = sum(np.bincount(chunk.ravel(), minlength=256) for chunk in np.array_split(images[:, channel], max(1, len(images) // 1000)))
        mean.append(float(np.average(values, weights=counts)))
        std.append(max(float(np.average((values - mean[-1]) ** 2, weights=counts)) ** 0.5, 1 / 255))
    return tuple(mean), tuple(std)


def _fingerprint(classes: tuple[str, ...], parts: tuple[Labelled, ...]) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for part in parts:
        digest.update(repr(part.images.shape).encode())
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(np.ascontiguousarray(part.labels).data)
    return digest.hexdigest()[:12]
