"""Laws of `nas.data`: parts that never mix, in the same shares of every class, the same each time."""

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nas import data, data_sources
from nas.core.errors import DataError
from nas.data_sources import Labelled


@pytest.fixture(scope="module")
def embedded():
    return data.load("embedded", 32)


def hashes(split):
    return Counter(hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in split.images)


def labelled(counts, seed=0):
    """Images of 2 x 2 px that all differ: the index is written into the pixels."""
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(seed).shuffle(labels)
    images = np.arange(len(labels), dtype=">u4").view(np.uint8).reshape(-1, 1, 2, 2)
    return Labelled(images, labels.astype(np.int64))


def source(monkeypatch, classes, train, validation=None, test=None):
    parts = data_sources.Parts(tuple(classes), train, validation, test)
    monkeypatch.setattr(data_sources, "load", lambda name: data_sources.DataSource("given", lambda argument, resolution: parts))


def indices(split):
    return [int.from_bytes(image.numpy().tobytes(), "big") for image in split.images]


def test_embedded_parts_have_the_sizes_and_shares_promised(embedded):
    assert [len(part) for part in (embedded.train, embedded.validation, embedded.test)] == [4000, 1000, 1000]
    for part, each in ((embedded.train, 400), (embedded.validation, 100), (embedded.test, 100)):
        assert part.labels.bincount().tolist() == [each] * 10
        assert part.images.dtype == torch.uint8 and part.images.shape[1:] == (1, 28, 28) and part.labels.dtype == torch.int64
    assert embedded.channels == 1 and len(embedded.classes) == 10


def test_embedded_parts_share_no_image_beyond_the_duplicates_of_the_original(embedded):
    everything = sum((hashes(part) for part in (embedded.train, embedded.validation, embedded.test)), Counter())
    duplicates = sum(everything.values()) - len(everything)
    original = data_sources.load("embedded").read("", 32)
    images = np.concatenate([original.train.images, original.test.images])
    assert duplicates == len(images) - len({image.tobytes() for image in images})
    assert duplicates <= 5


def test_the_same_seed_gives_the_same_data_and_another_seed_the_same_test_part(embedded):
    again, other = data.load("embedded", 32), data.load("embedded", 32, seed=1)
    assert again.fingerprint == embedded.fingerprint and torch.equal(again.validation.images, embedded.validation.images)
    assert other.fingerprint != embedded.fingerprint and not torch.equal(other.validation.images, embedded.validation.images)
    assert torch.equal(other.test.images, embedded.test.images)


def test_the_fingerprint_changes_with_one_pixel_one_label_and_one_class_name(monkeypatch):
    def fingerprint(classes=("a", "b"), pixel=0, label=None):
        train = labelled([10, 10])
        images, labels = train.images.copy(), train.labels.copy()
        images[3, 0, 0, 0] ^= pixel
        if label is not None:
            labels[3] = label
        source(monkeypatch, classes, Labelled(images, labels), labelled([2, 2]), labelled([2, 2]))
        return data.load("given", 32).fingerprint

    other = 1 - labelled([10, 10]).labels[3]
    found = {fingerprint(), fingerprint(classes=("a", "c")), fingerprint(pixel=1), fingerprint(label=other)}
    assert len(found) == 4
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in found)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.floats(0.01, 0.5), st.integers(0, 2**32))
def test_a_stratified_cut_is_a_partition_with_class_shares_within_one(counts, share, seed):
    labels = labelled(counts, seed).labels
    stay, cut = data.stratified(labels, share, seed)
    assert sorted([*stay, *cut]) == list(range(len(labels)))
    assert list(stay) == sorted(stay) and list(cut) == sorted(cut)
    for label, count in enumerate(counts):
        taken = int((labels[cut] == label).sum())
        assert taken >= 1 and abs(taken - count * share) < 1
    assert [a.tolist() for a in data.stratified(labels, share, seed)] == [stay.tolist(), cut.tolist()]


@given(st.lists(st.integers(3, 40), min_size=2, max_size=5), st.integers(0, 1000))
def test_without_parts_of_its_own_a_source_is_divided_70_15_15(counts, seed):
    with pytest.MonkeyPatch.context() as patch:
        source(patch, map(str, range(len(counts))), labelled(counts))
        divided = data.load("given", 32, seed)
    parts = (divided.train, divided.validation, divided.test)
    assert sorted(index for part in parts for index in indices(part)) == list(range(sum(counts)))
    for label, count in enumerate(counts):
        shares = [int((part.labels == label).sum()) for part in parts]
        assert min(shares) >= 1 and abs(shares[2] - 0.15 * count) < 1 and abs(shares[1] - 0.15 * count) <= 1


def test_parts_that_a_source_brings_are_kept(monkeypatch):
    source(monkeypatch, "ab", labelled([30, 30]), labelled([4, 5]), labelled([6, 7]))
    divided = data.load("given", 32)
    assert [len(part) for part in (divided.train, divided.validation, divided.test)] == [60, 9, 13]


def test_validation_is_capped(monkeypatch):
    monkeypatch.setattr(data, "MAX_VALIDATION", 10)
    source(monkeypatch, "ab", labelled([200, 200]), None, labelled([6, 7]))
    assert len(data.load("given", 32).validation) == 10


def test_normalised_training_images_have_mean_0_and_deviation_1(embedded):
    images = data.normalise(embedded.train.images, embedded, 28)
    assert images.dtype == torch.float32 and images.shape == (4000, 1, 28, 28)
    assert images.mean().abs() < 1e-4 and (images.std() - 1).abs() < 1e-4


def test_normalising_leaves_the_bytes_alone_and_resizes(embedded):
    before = embedded.test.images[:5].clone()
    assert data.normalise(embedded.test.images[:5], embedded, 20).shape == (5, 1, 20, 20)
    assert torch.equal(before, embedded.test.images[:5])


def test_resizing_a_flat_image_keeps_its_value(embedded):
    flat = torch.full((1, 1, 28, 28), 100, dtype=torch.uint8)
    expected = (100 / 255 - embedded.mean[0]) / embedded.std[0]
    assert torch.allclose(data.normalise(flat, embedded, 20), torch.tensor(expected), atol=1e-5)


def test_channels_are_normalised_each_by_its_own(monkeypatch):
    images = np.zeros((20, 3, 2, 2), dtype=np.uint8)
    images[:10, 0], images[:, 1], images[::2, 2] = 255, 51, 102
    part = Labelled(images, np.tile([0, 1], 10))
    source(monkeypatch, "ab", part, part, part)
    loaded = data.load("given", 2)
    assert loaded.mean == pytest.approx((0.5, 0.2, 0.2)) and loaded.std == pytest.approx((0.5, 1 / 255, 0.2))


@pytest.mark.parametrize(
    ("asked", "sentences"),
    [
        ("emdedded", ["no data source is named 'emdedded'", "did you mean 'embedded'", "folder:PATH", "hf:NAME", "idx:PATH"]),
        ("folder", ["does not say which", "folder:PATH"]),
        ("hf:", ["does not say which", "hf:NAME"]),
        ("embedded:x", ["takes no argument", "'x'"]),
    ],
)
def test_a_wrong_source_is_answered_with_the_forms(asked, sentences):
    with pytest.raises(DataError) as caught:
        data.load(asked, 32)
    for sentence in sentences:
        assert sentence in str(caught.value)


def test_a_bare_path_is_answered_with_the_form_to_write(tmp_path):
    with pytest.raises(DataError, match=f"write folder:{tmp_path}"):
        data.load(str(tmp_path), 32)


def test_what_the_system_refuses_is_a_data_error(monkeypatch):
    def read(argument, resolution):
        raise PermissionError(13, "Permission denied", "/secret")

    monkeypatch.setattr(data_sources, "load", lambda name: data_sources.DataSource("given", read))
    with pytest.raises(DataError, match=r"given cannot be read .*Permission denied"):
        data.load("given", 32)


def test_one_class_is_refused(monkeypatch):
    source(monkeypatch, ["cats"], labelled([10]))
    with pytest.raises(DataError, match=r"only one class.*'cats'"):
        data.load("given", 32)


@pytest.mark.parametrize(("brought", "count", "needed"), [(0, 2, 3), (1, 1, 2), (2, 0, 1)])
def test_a_class_with_too_few_images_is_named(monkeypatch, brought, count, needed):
    own = [labelled([2, 2])] * brought + [None] * (2 - brought)
    source(monkeypatch, ["cats", "dogs"], labelled([9, count]), own[1], own[0])
    with pytest.raises(DataError, match=f"'dogs' of given has {count} training images, {needed} or more are needed"):
        data.load("given", 32)
    source(monkeypatch, ["cats", "dogs"], labelled([9, needed]), own[1], own[0])
    assert len(data.load("given", 32).train) >= 2


def test_an_empty_test_part_is_refused(monkeypatch):
    source(monkeypatch, "ab", labelled([9, 9]), None, labelled([0, 0]))
    with pytest.raises(DataError, match="the test part of given has no images"):
        data.load("given", 32)


def test_loading_a_picture_folder_goes_through_the_same_door(tmp_path):
    for name, colour in (("cats", 10), ("dogs", 200)):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.new("RGB", (40, 30), (colour, i, 0)).save(tmp_path / name / f"{i}.png")
    loaded = data.load(f"folder:{tmp_path}", 16)
    assert loaded.classes == ("cats", "dogs") and loaded.channels == 3
    assert [len(part) for part in (loaded.train, loaded.validation, loaded.test)] == [28, 6, 6]
