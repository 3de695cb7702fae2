import numpy as np
import pytest
from PIL import Image

from nas import data_sources
from nas.core.errors import DataError
from nas.data_sources import folder


def picture(file, size=(40, 30), colour=(200, 100, 50), mode="RGB"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(file)
    return file


def classes(root, **counts):
    for name, count in counts.items():
        for i in range(count):
            picture(root / name / f"{i}.png", colour=(i, 0, 0))


def read(root, resolution=16):
    return folder.PLUGIN.read(str(root), resolution)


def test_one_level_of_classes_is_all_training_images(tmp_path):
    classes(tmp_path, cats=3, dogs=4)
    parts = read(tmp_path)
    assert parts.classes == ("cats", "dogs") and parts.train.labels.tolist() == [0] * 3 + [1] * 4
    assert parts.train.images.shape == (7, 3, 16, 16) and parts.train.images[2, 0, 0, 0] == 2
    assert parts.validation is None and parts.test is None


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val"])
def test_part_folders_are_kept_apart(tmp_path, validation):
    for part, count in (("train", 5), (validation, 2), ("test", 3)):
        classes(tmp_path / part, cats=count, dogs=count)
    parts = read(tmp_path)
    assert [len(part.labels) for part in (parts.train, parts.validation, parts.test)] == [10, 4, 6]


def test_hidden_and_other_files_are_passed_over(tmp_path):
    classes(tmp_path, cats=3, dogs=3)
    (tmp_path / "cats" / "._0.png").write_bytes(b"Mac OS X")
    (tmp_path / "cats" / "Thumbs.db").write_bytes(b"thumbs")
    (tmp_path / ".git").mkdir()
    assert len(read(tmp_path).train.labels) == 6


def test_the_centre_is_cut_out_of_a_wide_picture(tmp_path):
    classes(tmp_path, cats=1)
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    picture(tmp_path / "dogs" / "wide.png")
    Image.fromarray(wide).save(tmp_path / "dogs" / "wide.png")
    assert read(tmp_path, 10).train.images[1].min() == 255


def test_gray_pictures_have_one_channel_until_a_coloured_one_is_among_them(tmp_path):
    for mode, colour, name in (("L", 70, "a"), ("1", 1, "b"), ("LA", (70, 255), "c"), ("I;16", 70 * 256, "d")):
        picture(tmp_path / "x" / f"{name}.png", mode=mode, colour=colour)
    picture(tmp_path / "y" / "e.jpg", mode="L", colour=70)
    gray = read(tmp_path).train.images
    assert gray.shape == (5, 1, 16, 16) and gray[:, 0, 0, 0].tolist() == pytest.approx([70, 255, 70, 70, 70], abs=1)
    picture(tmp_path / "y" / "f.png")
    mixed = read(tmp_path).train.images
    assert mixed.shape == (6, 3, 16, 16) and (mixed[0] == 70).all() and mixed[5, :, 0, 0].tolist() == [200, 100, 50]


def test_transparency_palettes_and_cmyk_become_rgb(tmp_path):
    picture(tmp_path / "x" / "a.png", mode="RGBA", colour=(200, 100, 50, 255))
    picture(tmp_path / "x" / "b.jpg", mode="CMYK", colour=(0, 0, 0, 0))
    Image.new("RGBA", (20, 20), (200, 100, 50, 255)).quantize(4).save(tmp_path / "x" / "c.png", transparency=b"\x80")
    picture(tmp_path / "y" / "d.gif", colour=(200, 100, 50))
    pixels = read(tmp_path).train.images[:, :, 8, 8].tolist()
    assert pixels[0] == [200, 100, 50] and pixels[1] == [255, 255, 255] and pixels[2] == pixels[3] == [200, 100, 50]


def test_a_photograph_stands_upright_as_its_camera_says(tmp_path):
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    picture(tmp_path / "x" / "a.png")
    (tmp_path / "y").mkdir()
    Image.fromarray(pixels).save(tmp_path / "y" / "turned.jpg", exif=exif)
    turned = read(tmp_path, 20).train.images[1]
    assert turned[:, :8].max() < 20 and turned[:, 12:].min() > 235


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_picture_is_named(tmp_path, suffix):
    classes(tmp_path, cats=3, dogs=3)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    damaged = tmp_path / "dogs" / f"damaged.{suffix}"
    Image.fromarray(noise).save(damaged)
    damaged.write_bytes(damaged.read_bytes()[:600])
    with pytest.raises(DataError, match=rf"{damaged} cannot be read .*: replace or delete it"):
        read(tmp_path)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    classes(tmp_path, cats=3)
    (tmp_path / "cats" / "note.png").write_text("not a picture")
    with pytest.raises(DataError, match=r"note\.png cannot be read"):
        read(tmp_path)


def test_pixels_without_a_range_are_refused(tmp_path):
    classes(tmp_path, cats=1)
    picture(tmp_path / "dogs" / "height.tiff", mode="F", colour=0.5)
    with pytest.raises(DataError, match=r"height\.tiff has pixels of 32 bits"):
        read(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nothing: folder:PATH names"):
        read(tmp_path / "nothing")


def test_a_folder_without_pictures_shows_the_layout(tmp_path):
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match=r"holds no pictures: put the pictures of each class .*PATH/cats/1.jpg.*\.png"):
        read(tmp_path)


def test_pictures_without_classes_show_the_layout(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="has 1 pictures but no class sub-folders"):
        read(tmp_path)


def test_a_test_class_that_was_never_trained_on_is_named(tmp_path):
    classes(tmp_path / "train", cats=3, dogs=3)
    classes(tmp_path / "test", cats=3, wolves=3)
    with pytest.raises(DataError, match=r"has the class 'wolves', which the training pictures do not have \(cats, dogs\)"):
        read(tmp_path)


def test_a_data_set_too_large_for_memory_says_how_large(tmp_path, monkeypatch):
    classes(tmp_path, cats=3, dogs=3)
    monkeypatch.setattr(data_sources, "MAX_GB", 0.2)
    with pytest.raises(DataError, match=r"6 images of 4000 x 4000 px need 0\.3 GB of memory, the limit is 0\.2 GB"):
        read(tmp_path, 4000)
