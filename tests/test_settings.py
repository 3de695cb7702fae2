"""What a run is told: written and read back, refused where it is wrong, and held on to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nas.core.budget import Budget
from nas.core.errors import StudyError
from nas.settings import RunSettings, SupernetSettings, TrainingSettings

SETTINGS = RunSettings(device="jetson-nano", budget_ms=20, supernet=SupernetSettings(epochs=6))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(TEXT, st.floats(1e-3, 1e6), TEXT, st.integers(0, 10**6), st.integers(1, 1000), st.floats(0.01, 100))
def test_what_is_saved_is_read(tmp_path_factory, device, budget_ms, data, seed, trials, epochs):
    path = tmp_path_factory.mktemp("settings", numbered=True) / "settings.toml"
    settings = RunSettings(
        device=device, budget_ms=budget_ms, data=data, seed=seed, trials=trials, supernet=SupernetSettings(epochs=epochs, learning_rate=0.1)
    )
    settings.save(path)
    assert RunSettings.read(path) == settings


def test_the_file_is_for_people(tmp_path):
    SETTINGS.save(tmp_path / "settings.toml")
    text = (tmp_path / "settings.toml").read_text()
    assert 'device = "jetson-nano"\nbudget_ms = 20.0\n' in text and "[supernet]\n" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('device = "x"\nbudget_ms = 20\ntrails = 3', "does not describe a run: trails: Extra inputs are not permitted"),
        ('device = "x"\nbudget_ms = 20\n[supernet]\nepoch = 3', "supernet.epoch: Extra inputs are not permitted"),
        ('device = "x"', "does not describe a run: budget_ms: Field required"),
        ('device = "x"\nbudget_ms = -1\ntrials = 0', r"budget_ms: Input should be greater than 0; trials: .* greater than or equal to 1"),
        ('device = "x"\nbudget_ms = 20\nkeep_hidden = 1.5', "keep_hidden: Input should be less than or equal to 1"),
        ("device = ", "is not readable TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_key(tmp_path, text, message):
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(StudyError, match=rf"settings\.toml .*{message}"):
        RunSettings.read(tmp_path / "settings.toml")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="is not readable TOML"):
        RunSettings.read(tmp_path / "settings.toml")


@pytest.mark.parametrize(
    "free",
    [
        {"trials": 500, "picks": 9},
        {"budget_ms": 10.0, "max_size_mb": 4.0, "max_memory_mb": 1.0, "max_energy_mj": 50.0, "max_macs": 1e6},
        {"objectives": "accuracy,size", "strategy": "nsga2", "warm_start": "runs/other"},
    ],
)
def test_what_changes_nothing_that_was_evaluated_may_change(free):
    SETTINGS.model_copy(update=free).refuse_change(SETTINGS)
    SETTINGS.refuse_change(SETTINGS.model_copy(update=free))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name, value in (("device", "local"), ("precision", "int8"), ("seed", 7), ("space", "mobile_shuffle"), ("data", "hf:x"))
    ],
)
def test_anything_else_is_refused_with_both_values(name, value):
    with pytest.raises(StudyError) as caught:
        SETTINGS.model_copy(update={name: value, "trials": 500}).refuse_change(SETTINGS)
    message = str(caught.value)
    assert f"({name} was {getattr(SETTINGS, name)!r} and is now {value!r})" in message
    assert "--fresh" in message and "--out" in message and "trials" not in message


def test_every_change_is_named():
    with pytest.raises(StudyError, match=r"seed was 0 and is now 1; supernet was .*'epochs': 6.* and is now .*'epochs': 2"):
        SETTINGS.model_copy(update={"seed": 1, "supernet": SETTINGS.supernet.changed(epochs=2)}).refuse_change(SETTINGS)


def test_changed_leaves_what_is_not_given():
    before = TrainingSettings(epochs=3, learning_rate=0.1, batch_size=16)
    after = before.changed(epochs=0.5, batch_size=None)
    assert (after.epochs, after.batch_size, after.learning_rate) == (0.5, 16, 0.1) and before.epochs == 3


@pytest.mark.parametrize(
    "wrong", [{"budget_ms": 0}, {"seed": -1}, {"picks": 0}, {"calibration_images": 8}, {"threads": -1}, {"speed": 1}], ids=str
)
def test_wrong_settings_cannot_be_made(wrong):
    with pytest.raises(ValidationError):
        RunSettings(**{"device": "x", "budget_ms": 20, **wrong})


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValidationError, match="frozen"):
        SETTINGS.seed = 3


def test_limits_are_kept_and_a_run_that_knows_of_none_is_read(tmp_path):
    path = tmp_path / "settings.toml"
    limited = SETTINGS.model_copy(update={"max_size_mb": 4.0, "max_energy_mj": 50.0})
    limited.save(path)
    assert RunSettings.read(path) == limited and "max_memory_mb" not in path.read_text()
    path.write_text('device = "jetson-nano"\nbudget_ms = 20.0\n[supernet]\nepochs = 6\n')
    old = RunSettings.read(path)
    assert (old.runtime, old.precision, old.threads) == ("", "fp32", None)
    assert (old.max_size_mb, old.max_memory_mb, old.max_energy_mj, old.max_macs) == (None, None, None, None)
    assert (old.objectives, old.budget) == ("accuracy,latency", Budget(20.0))
    SETTINGS.refuse_change(old)


def test_another_target_is_another_run(tmp_path):
    asked = SETTINGS.model_copy(update={"runtime": "ncnn", "precision": "int8", "threads": 4})
    asked.save(tmp_path / "settings.toml")
    assert RunSettings.read(tmp_path / "settings.toml") == asked
    with pytest.raises(
        StudyError, match="runtime was '' and is now 'ncnn'; precision was 'fp32' and is now 'int8'; threads was None and is now 4"
    ):
        asked.refuse_change(SETTINGS)


@pytest.mark.parametrize("name", ["max_size_mb", "max_memory_mb", "max_energy_mj"])
def test_a_limit_is_above_zero(name):
    with pytest.raises(ValidationError, match="greater than 0"):
        RunSettings(device="x", budget_ms=20, **{name: 0})
