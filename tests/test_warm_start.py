"""What one run takes over from another: evaluations where both judge alike, else where to look first; or a refusal with both sides."""

import pytest

from nas.core.errors import StudyError
from nas.core.objectives import DEFAULT
from nas.core.result import InputFormat
from nas.run_folder import RunFolder
from nas.settings import RunSettings, SupernetSettings
from nas.study import load, records
from nas.warm_start import NOTHING, read
from tests.executors.fakes import SPACE, run, search

SETTINGS = RunSettings(device="jetson-nano", budget_ms=20)
EATS = {"channels": 1, "classes": 3}


@pytest.fixture
def other(tmp_path):
    """A run that has evaluated ten and trained a supernet."""
    folder = RunFolder(tmp_path / "other")
    folder.path.mkdir()
    SETTINGS.save(folder.settings)
    folder.save(folder.input_format, InputFormat(1, (0.5,), (0.25,), ("a", "b", "c")))
    folder.checkpoint.write_bytes(b"weights")
    run(folder.path, search(folder.path, 10))
    return folder


def asked(other, **changed):
    return SETTINGS.model_copy(update={"warm_start": str(other.path), **changed})


def test_where_both_judge_alike_evaluations_and_the_supernet_are_taken(tmp_path, other):
    told = records(load(other.path))
    new = RunFolder(tmp_path / "new")
    changed = {"budget_ms": 5.0, "objectives": "accuracy,size", "strategy": "nsga2", "trials": 500, "device": "local", "picks": 1}
    warm = read(asked(other, **changed), SPACE.key, EATS, new.path)
    assert warm.known == tuple((record.architecture, record.evaluation) for record in told) and warm.first == ()
    assert "10 evaluations" in warm.said and "so does its supernet" in warm.said
    new.path.mkdir()
    warm.lend(new)
    assert new.checkpoint.read_bytes() == b"weights"
    new.checkpoint.write_bytes(b"its own, trained on")
    warm.lend(new)
    assert new.checkpoint.read_bytes() == b"its own, trained on" and [one.name for one in new.path.iterdir()] == [new.checkpoint.name]


@pytest.mark.parametrize(
    "changed", [{"data": "folder:photos"}, {"seed": 3}, {"supernet": SupernetSettings(epochs=9)}, {"weights": "x"}], ids=str
)
def test_where_they_judge_otherwise_its_front_is_looked_at_first(tmp_path, other, changed):
    told = records(load(other.path))
    warm = read(asked(other, **changed), SPACE.key, EATS, tmp_path / "new")
    assert warm.known == () and warm.checkpoint is None
    front = DEFAULT.front(told, lambda record: record.accuracy, lambda record: record.costs)
    assert warm.first == tuple(record.architecture for record in front) and next(iter(changed)) in warm.said


def test_without_the_option_nothing_is_taken(tmp_path):
    assert read(SETTINGS, SPACE.key, EATS, tmp_path / "new") == NOTHING


@pytest.mark.parametrize(
    ("space", "eats", "message"),
    [
        ("larger@01234567", EATS, f"searched {SPACE.key}, this run searches larger@01234567"),
        (SPACE.key, {"channels": 3, "classes": 3}, "was about images of 1 channels and 3 classes and this run 3 channels and 3 classes"),
        (SPACE.key, {"channels": 1, "classes": 10}, "1 channels and 3 classes and this run 1 channels and 10 classes"),
    ],
)
def test_another_space_or_form_of_images_is_refused_with_both_sides(tmp_path, other, space, eats, message):
    with pytest.raises(StudyError, match=message):
        read(asked(other), space, eats, tmp_path / "new")


def test_what_is_no_run_is_refused(tmp_path, other):
    (tmp_path / "empty").mkdir()
    for path, message in ((tmp_path / "empty", "holds no run"), (tmp_path / "none", "holds no run"), (other.path, "is the run itself")):
        with pytest.raises(StudyError, match=message):
            read(SETTINGS.model_copy(update={"warm_start": str(path)}), SPACE.key, EATS, other.path)
    (other.path / "study.journal").unlink()
    with pytest.raises(StudyError, match="holds no study"):
        read(asked(other), SPACE.key, EATS, tmp_path / "new")
    search(other.path, 3)
    with pytest.raises(StudyError, match="has evaluated nothing yet"):
        read(asked(other), SPACE.key, EATS, tmp_path / "new")
