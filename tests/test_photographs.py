"""Random changes of photographs: what each operation does to a pixel is Pillow's, and a generator alone decides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from nas import augmentation, photographs
from nas.core.errors import CheckpointError
from nas.data import Split, normalise
from nas.display import Silent
from nas.distributed import Team
from nas.photographs import OPERATIONS, Changes
from nas.settings import SupernetSettings, TrainingSettings
from nas.supernet import Supernet
from nas.supernet_training import train_resumably
from nas.training import training_batch
from nas.tuning import Tuner
from tests.tiny import CLASSES, SPACE
from tests.tiny import images as images_of_a_task

BY_NAME = {operation.name: (number, operation) for number, operation in enumerate(OPERATIONS)}
DATA = images_of_a_task()
WHOLE = torch.tensor([0.0, 0.0, 1.0, 1.0])


def generator(seed):
    return torch.Generator().manual_seed(seed)


def pictures(count=6, channels=3, height=20, width=24, seed=0):
    """Smooth pictures with noise, uint8; the last one of a single value."""
    ramp = torch.linspace(0, 200, width).expand(count, channels, height, width)
    noise = torch.randint(0, 56, (count, channels, height, width), generator=generator(seed))
    found = (ramp * torch.rand(count, channels, 1, 1, generator=generator(seed + 1)) + noise).to(torch.uint8)
    found[-1] = 77
    return found


def only(name, count, signs=1.0):
    """Whole pictures, with that operation alone."""
    return Changes(WHOLE.repeat(count, 1), torch.full((1, count), BY_NAME[name][0]), torch.full((1, count), signs))


sizes = {"channels": st.sampled_from((1, 3)), "height": st.integers(1, 40), "width": st.integers(1, 40), "seed": st.integers(0, 999)}


@given(magnitude=st.floats(0, 1), mirror=st.booleans(), rounds=st.integers(0, 4), **sizes)
@settings(max_examples=60)
def test_shape_type_and_range_stay_and_the_original_is_untouched(magnitude, mirror, rounds, channels, height, width, seed):
    images = torch.randint(0, 256, (5, channels, height, width), generator=generator(seed), dtype=torch.uint8)
    before = images.clone()
    changes = photographs.draw(5, height, width, mirror, generator(seed), rounds)
    found = photographs.apply(images, changes, magnitude)
    assert found.shape == images.shape and found.dtype == torch.uint8 and torch.equal(images, before)
    assert torch.equal(found, photographs.apply(images, photographs.draw(5, height, width, mirror, generator(seed), rounds), magnitude))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@given(**sizes)
@settings(max_examples=10)
def test_nothing_happens_at_magnitude_zero_unless_an_operation_has_no_strength(operation, channels, height, width, seed):
    pixels = torch.randint(0, 256, (3, channels, height, width), generator=generator(seed)).float()
    found = operation.apply(pixels, torch.zeros(3))
    assert torch.equal(found, found.round()) and found.min() >= 0 and found.max() <= 255
    if operation.most is not None or operation.name == "identity":
        assert torch.equal(found, pixels)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_an_operation_at_full_strength_changes_pictures_and_a_batch_is_its_images(name):
    images = pictures()
    found = photographs.apply(images, only(name, 6), 1.0)
    assert torch.equal(found, images) is (name == "identity")
    alone = [photographs.apply(images[i : i + 1], only(name, 1), 1.0) for i in range(6)]
    assert torch.equal(torch.cat(alone), found)


def pillow(function, images):
    """What Pillow makes of each picture."""
    pixels = [np.asarray(function(Image.fromarray(image.permute(1, 2, 0).numpy()))) for image in images]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("name", "function", "differs"),
    [
        ("equalize", ImageOps.equalize, 0),
        ("posterize", lambda image: ImageOps.posterize(image, 6), 0),
        ("solarize", lambda image: ImageOps.solarize(image, 128), 0),
        ("auto_contrast", ImageOps.autocontrast, 1),
        ("brightness", lambda image: ImageEnhance.Brightness(image).enhance(1.45), 1),
        ("color", lambda image: ImageEnhance.Color(image).enhance(1.45), 1),
        ("contrast", lambda image: ImageEnhance.Contrast(image).enhance(1.45), 2),
        ("sharpness", lambda image: ImageEnhance.Sharpness(image).enhance(1.45), 1),
        ("translate_x", lambda image: image.transform(image.size, Image.Transform.AFFINE, (1, 0, 12, 0, 1, 0), fillcolor=(128,) * 3), 0),
        ("translate_y", lambda image: image.transform(image.size, Image.Transform.AFFINE, (1, 0, 0, 0, 1, 10), fillcolor=(128,) * 3), 0),
    ],
)
def test_a_pixel_becomes_what_pillow_makes_of_it(name, function, differs):
    """At half strength; shifts by half of the picture, which is whole pixels."""
    images = pictures()
    magnitude = 0.5 if "translate" not in name else 0.5 / BY_NAME[name][1].most
    found = photographs.apply(images, only(name, 6), magnitude)
    assert (found.int() - pillow(function, images).int()).abs().max() <= differs


@pytest.mark.parametrize("angle", [90.0, -90.0])
def test_a_turn_by_a_right_angle_is_exact_in_a_square(angle):
    images = pictures(height=16, width=16)
    found = BY_NAME["rotate"][1].apply(images.float(), torch.full((6,), np.deg2rad(angle)))
    turned = torch.rot90(images, 1 if angle > 0 else -1, (2, 3)).float()
    assert torch.equal(found, turned)


def test_shear_and_turn_are_the_same_in_pixels_whatever_the_shape_of_the_picture():
    """A picture in the middle of a wider one is changed as it is alone, where nothing reaches its border."""
    inner = torch.full((1, 1, 40, 40), 128.0)
    inner[:, :, 14:26, 14:26] = torch.randint(0, 256, (1, 1, 12, 12), generator=generator(0)).float()
    outer = torch.nn.functional.pad(inner, (20, 20), value=128.0)
    for name in ("shear_x", "shear_y", "rotate"):
        operation, strength = BY_NAME[name][1], torch.tensor([0.3])
        assert torch.allclose(operation.apply(outer, strength)[:, :, :, 20:60], operation.apply(inner, strength), atol=1)


def test_signs_turn_an_operation_round():
    images = pictures(height=16, width=16)
    for name in ("translate_x", "brightness"):
        one, other = (photographs.apply(images, only(name, 6, sign), 0.5) for sign in (1.0, -1.0))
        assert not torch.equal(one, other)
    assert torch.equal(photographs.apply(images, only("solarize", 6, -1.0), 0.5), photographs.apply(images, only("solarize", 6), 0.5))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 999))
def test_crops_are_parts_of_the_picture_of_the_area_that_was_asked_for(height, width, seed):
    boxes = photographs.draw(50, height, width, True, generator(seed)).boxes
    x, y, wide, high = boxes.unbind(1)
    assert (wide < 0).any() and (wide > 0).any() and (high > 0).all()
    assert (x.abs() + wide.abs() <= 1 + 1e-6).all() and (y.abs() + high <= 1 + 1e-6).all()
    assert (photographs.draw(50, height, width, False, generator(seed)).boxes[:, 2] > 0).all()
    if height == width:
        area = wide.abs() * high
        assert area.max() <= 1 + 1e-6 and area.min() >= photographs.AREA[0] * photographs.RATIO[0] - 1e-6


def test_a_crop_is_that_part_of_the_picture_and_may_be_mirrored():
    images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat_interleave(2, 2).repeat_interleave(2, 3)
    nothing = torch.zeros(0, 1)
    corner = photographs.apply(images, Changes(torch.tensor([[-0.5, -0.5, 0.5, 0.5]]), nothing, nothing))
    assert corner[0, 0, 0, 0] == 0 and corner[0, 0, -1, -1] == 29  # a quarter of the way from 27 to the 36 outside
    mirrored = photographs.apply(images, Changes(torch.tensor([[0.0, 0.0, -1.0, 1.0]]), nothing, nothing))
    assert torch.equal(mirrored, images.flip(3))


def test_every_operation_is_drawn_about_as_often():
    drawn = photographs.draw(7000, 64, 64, True, generator(3))
    counts = drawn.operations.flatten().bincount(minlength=len(OPERATIONS))
    assert counts.min() > 850 and counts.max() < 1150 and abs(drawn.signs.mean()) < 0.05


def test_a_part_of_a_batch_is_changed_as_it_is_in_the_batch():
    images, part = pictures(12), slice(4, 8)
    changes = photographs.draw(12, 20, 24, True, generator(5))
    assert torch.equal(photographs.apply(images, changes)[part], photographs.apply(images[part], changes.of(part)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_changes_images_as_a_processor_does():
    images, changes = pictures(), photographs.draw(6, 20, 24, True, generator(1))
    found = photographs.apply(images.cuda(), changes).cpu()
    assert (found.int() - photographs.apply(images, changes).int()).abs().float().mean() < 0.5


@pytest.mark.parametrize(
    ("shape", "way"), [((1, 3, 64, 64), "photo"), ((1, 1, 224, 224), "shift"), ((1, 3, 63, 200), "shift"), ((1, 1, 28, 28), "shift")]
)
def test_images_get_the_changes_that_they_deserve(shape, way):
    images = torch.zeros(shape, dtype=torch.uint8)
    assert augmentation.deserved("auto", images, epochs=20) == way and augmentation.deserved("auto", images, epochs=3) == "shift"
    assert augmentation.deserved("shift", images, 20) == "shift" and augmentation.deserved("photo", images, 3) == "photo"


def test_training_images_are_changed_by_seed_and_step_and_labels_stay():
    one, again = (training_batch(DATA, 32, seed=1, step=2, augment="photo") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    images, labels, chosen = one
    plain = training_batch(DATA, 32, seed=1, step=2)
    assert torch.equal(labels, DATA.train.labels[chosen]) and torch.equal(chosen, plain[2])
    assert images.shape == plain[0].shape and not torch.equal(images, plain[0])
    assert not torch.equal(images, training_batch(DATA, 32, seed=1, step=3, augment="photo")[0])
    limits = normalise(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1), DATA, 1)
    assert images.min() >= limits.min() and images.max() <= limits.max()


def test_a_batch_of_photographs_is_divided_as_it_would_be_alone():
    whole = training_batch(DATA, 32, seed=1, step=2, augment="photo")
    parts = [training_batch(DATA, 32, 1, 2, team=Team(rank, 4), augment="photo") for rank in range(4)]
    assert all(torch.equal(one, torch.cat(divided)) for one, divided in zip(whole, zip(*parts, strict=True), strict=True))


def test_a_training_on_photographs_goes_on_and_is_no_other_training(tmp_path):
    told = SupernetSettings(epochs=1, batch_size=32, learning_rate=0.1, augment="photo")

    def train(path, settings=told):
        torch.manual_seed(0)
        supernet = Supernet(SPACE, 1, CLASSES)
        train_resumably(supernet, DATA, settings, 3, path, Silent())
        return supernet.state_dict()

    first, again = train(tmp_path / "a"), train(tmp_path / "a")
    shifted = train(tmp_path / "b", told.changed(augment="auto"))  # what small gray images deserve
    assert all(torch.equal(values, again[name]) for name, values in first.items())
    assert any(not torch.equal(values, shifted[name]) for name, values in first.items())
    with pytest.raises(CheckpointError, match=r"is of recipe .*photo.*, this run is of recipe .*shift 0.03125"):
        train(tmp_path / "a", told.changed(augment="shift"))


@pytest.mark.parametrize(("channels", "size", "way"), [(3, 64, "photo"), (1, 28, "shift")])
def test_picks_are_tuned_on_images_changed_as_they_deserve(channels, size, way):
    train = Split(torch.zeros(2, channels, size, size, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    tuning = TrainingSettings(epochs=20, learning_rate=0.1)
    data = replace(DATA, train=train)
    tuner = Tuner(Supernet(SPACE, channels, CLASSES), data, data, torch.zeros(2, CLASSES), tuning, (), 1.0, 0)
    assert tuner._schedule(1.0).augment == way
