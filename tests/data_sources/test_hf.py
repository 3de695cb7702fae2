import datasets
import numpy as np
import pytest
from PIL import Image

from nas import data
from nas.core.errors import DataError
from nas.data_sources import hf

LABELS = datasets.ClassLabel(names=["cats", "dogs"])


def rows(count, labels=None, **more):
    pictures = [Image.new("RGB", (24, 20), (i, 100, 0)) for i in range(count)]
    columns = {"picture": pictures, "label": labels or [i % 2 for i in range(count)]}
    features = {"picture": datasets.Image(), "label": LABELS}
    for name, feature in more.items():
        columns[name], features[name] = [0] * count if isinstance(feature, datasets.ClassLabel) else pictures, feature
    return datasets.Dataset.from_dict(columns, datasets.Features(features))


def saved(path, dataset):
    dataset.save_to_disk(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


def test_a_single_saved_split_is_all_training_images(tmp_path):
    parts = hf.PLUGIN.read(saved(tmp_path / "one", rows(6)), 16)
    assert parts.classes == ("cats", "dogs") and parts.train.labels.tolist() == [0, 1] * 3
    assert parts.train.images.shape == (6, 3, 16, 16) and parts.train.images[:, 0, 0, 0].tolist() == list(range(6))
    assert parts.validation is None and parts.test is None


def test_saved_splits_are_kept_apart(tmp_path):
    splits = datasets.DatasetDict(train=rows(8), valid=rows(4), test=rows(6))
    loaded = data.load(f"hf:{saved(tmp_path / 'all', splits)}", 16)
    assert [len(part) for part in (loaded.train, loaded.validation, loaded.test)] == [8, 4, 6]


def test_a_folder_that_the_library_reads_itself(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((20, 20), 40 * i, np.uint8)).save(tmp_path / "pictures" / name / f"{i}.png")
    parts = hf.PLUGIN.read(str(tmp_path / "pictures"), 16)
    assert parts.classes == ("cats", "dogs") and parts.train.images.shape == (6, 1, 16, 16)


def test_several_label_columns_ask_for_a_choice_and_take_it(tmp_path):
    path = saved(tmp_path / "two", rows(6, coarse=datasets.ClassLabel(names=["animal"])))
    with pytest.raises(DataError, match=f"several ClassLabel columns: choose one, such as hf:{path},label=label"):
        hf.PLUGIN.read(path, 16)
    assert hf.PLUGIN.read(f"{path},label=coarse", 16).classes == ("animal",)
    with pytest.raises(DataError, match="no ClassLabel column named 'fine'"):
        hf.PLUGIN.read(f"{path},label=fine", 16)
    with pytest.raises(DataError, match=r"option 'lable': there is config=..., image=..., label=..."):
        hf.PLUGIN.read(f"{path},lable=coarse", 16)


def test_a_set_without_labels_says_what_there_is(tmp_path):
    path = saved(tmp_path / "bare", rows(3).remove_columns("label"))
    with pytest.raises(DataError, match=r"no ClassLabel column at all \(there is: picture \(Image\)\)"):
        hf.PLUGIN.read(path, 16)


def test_a_set_without_a_train_split_says_what_there_is(tmp_path):
    path = saved(tmp_path / "odd", datasets.DatasetDict(everything=rows(3)))
    with pytest.raises(DataError, match=r"no split named train \(there is: everything\)"):
        hf.PLUGIN.read(path, 16)


def test_hidden_labels_are_named(tmp_path):
    path = saved(tmp_path / "hidden", rows(3, labels=[0, 1, -1]))
    with pytest.raises(DataError, match=r"train split of hf:.* has pictures without a label \(row 2\)"):
        hf.PLUGIN.read(path, 16)


def test_a_damaged_row_is_named(tmp_path):
    table = rows(3).cast_column("picture", datasets.Image(decode=False))
    damaged = table.map(
        lambda row, i: {"picture": {"bytes": row["picture"]["bytes"][: 20 if i == 1 else None], "path": None}}, with_indices=True
    )
    path = saved(tmp_path / "damaged", damaged.cast_column("picture", datasets.Image()))
    with pytest.raises(DataError, match=r"in row 1 of the train split of hf:.* cannot be read"):
        hf.PLUGIN.read(path, 16)


@pytest.mark.parametrize("name", ["nobody/has-this", "/not/there"])
def test_a_name_that_leads_nowhere_is_one_sentence(name):
    with pytest.raises(DataError) as caught:
        hf.PLUGIN.read(name, 16)
    assert f"hf:{name} cannot be loaded" in str(caught.value) and "save_to_disk" in str(caught.value) and "\n" not in str(caught.value)


def test_the_librarys_progress_bars_are_left_as_they_were(tmp_path):
    path = saved(tmp_path / "one", rows(6))
    datasets.enable_progress_bars()
    hf.PLUGIN.read(path, 16)
    assert not datasets.are_progress_bars_disabled()
