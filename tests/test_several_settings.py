"""What a run for several devices is told: one value for all or one each, what they share, and what may change later."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.errors import StudyError
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from nas.several_settings import SeveralSettings, is_of_several, one_each, target_name

NANO = RunSettings(device="jetson-nano", budget_ms=20)
PIXEL = RunSettings(device="boards/pixel-1.toml", runtime="tflite", budget_ms=2, max_size_mb=0.5)
BOTH = SeveralSettings.of([NANO, PIXEL])


def changed(**fields):
    """Both devices with other settings."""
    return SeveralSettings.of([one.model_copy(update=fields) for one in (NANO, PIXEL)])


@given(st.lists(st.sampled_from(["20ms", "1ms", "", "fp16"]), min_size=2, max_size=4))
def test_as_many_values_as_devices_are_one_each(values):
    devices = [f"d{number}" for number in range(len(values))]
    assert one_each("--budget", ",".join(values), devices) == tuple(values)
    assert one_each("--budget", f" {','.join(values)} ", devices) == tuple(values)


@given(st.integers(1, 5), st.sampled_from(["20ms", ""]))
def test_one_value_is_for_all(count, value):
    assert one_each("--budget", value, ["d"] * count) == (value,) * count


@pytest.mark.parametrize(
    ("given", "devices", "said"),
    [
        ("1ms,2ms,3ms", ["a", "b"], r"--budget 1ms,2ms,3ms gives 3 values for 2 devices \(a, b\): give one for all, or one each; the same"),
        ("1ms,2ms", ["a", "b", "c"], r"--budget 1ms,2ms gives 2 values for 3 devices \(a, b, c\): give one for all, or one each$"),
        ("1ms,2ms", ["a"], r"--budget 1ms,2ms gives 2 values for one device \(a\): .*the same device may be named again"),
    ],
)
def test_counts_that_do_not_fit_are_both_named(given, devices, said):
    with pytest.raises(StudyError, match=said):
        one_each("--budget", given, devices)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (("jetson-nano", "", "fp32", None), "jetson-nano"),
        (("boards/my-pi.toml", "", "fp32", None), "my-pi"),
        (("local", "", "int8", None), "local-int8"),
        (("local", "litert", "fp32", 2), "local-litert-2t"),
        (("jetson-nano", "ncnn", "fp32", 0), "jetson-nano-ncnn-0t"),
    ],
)
def test_a_target_has_a_name_for_its_folder(asked, name):
    assert target_name(*asked) == name


def test_devices_keep_their_order_and_what_is_saved_is_read(tmp_path):
    assert list(BOTH.devices) == ["jetson-nano", "pixel-1-tflite"]
    BOTH.save(tmp_path / "settings.toml")
    found = SeveralSettings.read(tmp_path / "settings.toml")
    assert found == BOTH and list(found.devices) == list(BOTH.devices)
    assert is_of_several(tmp_path / "settings.toml")


def test_the_same_target_twice_is_refused_with_what_to_do():
    with pytest.raises(StudyError, match=r"jetson-nano is asked for twice: .* needs another --runtime, --precision or --threads"):
        SeveralSettings.of([NANO, NANO.model_copy(update={"budget_ms": 10.0})])
    assert len(SeveralSettings.of([NANO, NANO.model_copy(update={"precision": "fp16"})]).devices) == 2


@pytest.mark.parametrize(
    ("field", "value"), [("space", "mobile_shuffle"), ("data", "folder:x"), ("seed", 5), ("trials", 7), ("weights", "w.safetensors")]
)
def test_what_devices_share_must_be_the_same(field, value):
    with pytest.raises(StudyError, match=f"jetson-nano and pixel-1-tflite cannot share a supernet .* differ in {field} "):
        SeveralSettings.of([NANO, PIXEL.model_copy(update={field: value})])


def test_more_trials_and_picks_go_on_and_another_seed_does_not():
    changed(trials=100, picks=2).refuse_change(BOTH)
    with pytest.raises(StudyError, match=r"^jetson-nano: the run folder was begun with other settings .*seed was 0 and is now 1"):
        changed(seed=1).refuse_change(BOTH)


def test_a_device_may_come_or_go_but_not_with_another_supernet():
    third = RunSettings(device="raspberry-pi-4", budget_ms=5)
    SeveralSettings.of([NANO, PIXEL, third]).refuse_change(BOTH)
    SeveralSettings.of([NANO, third]).refuse_change(BOTH)
    others = SeveralSettings.of([third, RunSettings(device="pixel-3", budget_ms=5)])
    others.refuse_change(BOTH)
    with pytest.raises(StudyError, match=r"raspberry-pi-4: .*data was 'embedded' and is now 'folder:x'"):
        SeveralSettings.of([one.model_copy(update={"data": "folder:x"}) for one in others.devices.values()]).refuse_change(BOTH)


def test_runs_for_one_and_for_several_devices_are_told_apart(tmp_path):
    one, several = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "several")
    with one.claim(NANO, False), several.claim(BOTH, False):
        pass
    assert not is_of_several(one.settings) and is_of_several(several.settings) and not is_of_several(tmp_path / "none")
    with pytest.raises(StudyError, match="does not describe a run for several devices"), one.claim(BOTH, False):
        pass
    with pytest.raises(StudyError, match="does not describe a run: "), several.claim(NANO, False):
        pass
    assert not is_of_several(one.settings) and is_of_several(several.settings)
    with several.claim(BOTH, True) as claim:
        assert not claim.continues


@pytest.mark.parametrize("text", ["[devices]\nfont = 'mono'", "[devices.a]\nname = 1", "devices = 3", "devices = ", "[editor]\nx = 1"])
def test_fresh_deletes_no_other_program_s_settings(tmp_path, text):
    folder = RunFolder(tmp_path / "mine")
    folder.path.mkdir()
    folder.settings.write_text(text)
    with pytest.raises(StudyError, match="--fresh will not delete it"), folder.claim(BOTH, True):
        pass
    assert folder.settings.read_text() == text
