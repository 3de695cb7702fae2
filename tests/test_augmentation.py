"""Random changes of images: decided by a generator, alike for a part of a batch, and nothing but shifts and mirrors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas import augmentation


def generator(seed):
    return torch.Generator().manual_seed(seed)


def changed(images, seed, max_shift=1 / 32, mirror=True):
    return augmentation.apply(images, augmentation.draw(len(images), *images.shape[-2:], max_shift, mirror, generator(seed)))


def test_the_generator_alone_decides():
    images = torch.rand(8, 1, 64, 64)
    assert torch.equal(changed(images, 1), changed(images, 1)) and not torch.equal(changed(images, 1), changed(images, 2))


@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    max_shift=st.sampled_from([0.0, 1 / 32, 0.1]),
    seed=st.integers(0, 999),
)
def test_every_image_is_a_shifted_perhaps_mirrored_original(channels, height, width, max_shift, seed):
    images = torch.rand(3, channels, height, width, generator=generator(seed)) + 1
    down, right = int(height * max_shift), int(width * max_shift)
    padded = torch.nn.functional.pad(images, (right, right, down, down))
    for original, found in zip(padded, changed(images, seed, max_shift), strict=True):
        windows = [original[:, y : y + height, x : x + width] for y in range(2 * down + 1) for x in range(2 * right + 1)]
        mirrored = [
            torch.nn.functional.pad(original[:, :, right : right + width].flip(2), (right, right))[:, y : y + height, x : x + width]
            for y in range(2 * down + 1)
            for x in range(2 * right + 1)
        ]
        assert any(torch.equal(found, one) for one in (*windows, *mirrored))


def test_half_of_the_images_are_mirrored_unless_that_is_ruled_out():
    images = torch.arange(8.0).expand(400, 1, 8, 8)
    mirrored = (changed(images, 0)[:, 0, 0, 0] == 7).float().mean()
    assert 0.4 < mirrored < 0.6
    assert torch.equal(changed(images, 0, mirror=False), images)


def test_a_part_of_a_batch_is_changed_as_it_is_in_the_batch():
    images = torch.rand(12, 1, 40, 40)
    changes = augmentation.draw(12, 40, 40, 0.1, True, generator(5))
    part = slice(4, 8)
    assert torch.equal(augmentation.apply(images, changes)[part], augmentation.apply(images[part], changes.of(part)))


@pytest.mark.parametrize(
    ("classes", "may"),
    [(tuple("0123456789"), False), (("a", "b", "c"), False), (("10", "11"), False), (("cat", "dog"), True), (("0", "shirt"), True)],
)
def test_digits_and_letters_are_not_mirrored(classes, may):
    assert augmentation.may_mirror(classes) is may
