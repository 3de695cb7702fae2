import pytest

import hardware_profiles
from hardware_profiles import installed
from nas.core.errors import DeviceError, MeasurementError, TargetMismatchError
from nas.measuring.target import Asked, find
from tests.measuring.fakes import THIS, FakeHost

SSH = "ssh://pi@board"


def asked(device, place=SSH, runtime="onnxruntime", provider="cpu", precision="fp32", threads=1):
    return Asked(str(device), place, runtime, provider, precision, threads)


def test_a_new_device_gets_a_profile_and_every_new_target_a_line(tmp_path):
    path = tmp_path / "my-pi.toml"
    found = find(asked(path), FakeHost(), may_write=True)
    assert (found.target.device, found.target.runtime_version, found.machine) == ("my-pi", "1.17.0", "A board, aarch64, 4 cores")
    assert found.table == tmp_path / "tables" / "my-pi.onnxruntime.fp32.1t.csv" and found.max_onnx_opset == 17
    find(asked(path, precision="int8", threads=4), FakeHost(), may_write=True)
    find(asked(path), FakeHost(), may_write=True)
    profile = hardware_profiles.load(str(path))
    assert [(each.target.precision, each.target.threads) for each in profile.targets] == [("fp32", 1), ("int8", 4)]
    assert all(each.origin == "measured" and each.error is None for each in profile.targets)
    assert profile.targets[1].improve.endswith("--runtime onnxruntime --precision int8 --threads 4")


def test_nothing_is_written_when_only_asked(tmp_path):
    path = tmp_path / "my-pi.toml"
    assert find(asked(path), FakeHost(), may_write=False).target.threads == 1
    assert not path.exists()


def test_what_the_user_wrote_by_hand_stays(tmp_path):
    path = tmp_path / "board.toml"
    find(asked(path), FakeHost(), may_write=True)
    path.write_text("# my notes\n" + path.read_text().replace("max_onnx_opset = 17", "max_onnx_opset = 13"))
    find(asked(path, precision="int8"), FakeHost(), may_write=True)
    assert path.read_text().startswith("# my notes\n") and hardware_profiles.load(str(path)).max_onnx_opset == 13


def test_an_old_runtime_gets_files_that_it_reads(tmp_path):
    host = FakeHost(runtimes={"onnxruntime": "1.11.0"})
    assert find(asked(tmp_path / "nano.toml"), host, may_write=True).max_onnx_opset == 13


def test_a_provider_is_a_runtime_of_its_own(tmp_path):
    with pytest.raises(MeasurementError, match="onnxruntime-cuda fp64 cannot be measured"):
        find(asked(tmp_path / "orin.toml", provider="cuda", precision="fp64"), FakeHost(), may_write=True)
    path = tmp_path / "orin.toml"
    host = FakeHost(providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    assert find(asked(path, provider="cuda"), host, may_write=True).table.name == "orin.onnxruntime-cuda.fp32.1t.csv"
    assert "--runtime onnxruntime --provider cuda --precision fp32" in hardware_profiles.load(str(path)).targets[0].improve


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"provider": "foo"}, r"onnxruntime on ssh://pi@board has no provider foo \(it has: cpu\)"),
        ({"runtime": "litert", "provider": "cuda"}, r"litert on ssh://pi@board has no provider cuda \(it has: cpu\)"),
        ({"threads": 5}, "ssh://pi@board has 4 cores, not 5: give --threads 1 to 4"),
    ],
)
@pytest.mark.parametrize("may_write", [True, False])
def test_a_provider_or_cores_that_are_not_there_are_refused_before_anything_is_written(tmp_path, changed, said, may_write):
    host = FakeHost(runtimes={"onnxruntime": "1.17.0", "litert": "2.0"})
    with pytest.raises(MeasurementError, match=said):
        find(asked(tmp_path / "my-pi.toml", **changed), host, may_write=may_write)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../../x", "a/b", "/tmp/x", "", ".hidden", "two words", "x.toml.bak/y"])
def test_a_name_is_no_path(name):
    with pytest.raises(DeviceError, match=r"is no name for a device: take letters, digits and -_\+\. as in raspberry-pi-5, or the path"):
        find(asked(name), FakeHost(), may_write=True)


def test_what_was_published_of_the_same_runtime_stays_beside_what_is_measured(tmp_path):
    path = tmp_path / "my-pi.toml"
    find(asked(path), FakeHost(), may_write=True)
    path.write_text(path.read_text().replace('origin = "measured"', 'origin = "calibrated"').replace("1.17.0", "unstated"))
    assert find(asked(path), FakeHost(), may_write=True).older is None
    assert [each.origin for each in hardware_profiles.load(str(path)).targets] == ["calibrated", "measured"]


def test_another_version_than_the_profile_says_is_refused(tmp_path):
    path = tmp_path / "my-pi.toml"
    find(asked(path), FakeHost(), may_write=True)
    find(asked(path, precision="int8"), FakeHost(), may_write=True)
    newer = FakeHost(runtimes={"onnxruntime": "1.18.0"})
    with pytest.raises(
        TargetMismatchError, match=r"is for my-pi onnxruntime 1\.17\.0 .*, the device has onnxruntime 1\.18\.0: `.* --check`"
    ):
        find(asked(path, precision="int8"), newer, may_write=True)
    before = path.read_text()
    found = find(asked(path, precision="int8"), newer, may_write=True, any_version=True)
    assert found.target.runtime_version == "1.18.0" and path.read_text() == before, "it is stated once the table is of it"
    found.state_version()
    versions = [each.target.runtime_version for each in hardware_profiles.load(str(path)).targets]
    assert versions == ["1.17.0", "1.18.0"] and len(path.read_text()) == len(before)
    find(asked(path, precision="int8"), newer, may_write=True).state_version()


def test_a_version_that_stands_where_nobody_writes_it_is_left_to_its_author(tmp_path):
    path = tmp_path / "my-pi.toml"
    find(asked(path), FakeHost(), may_write=True)
    path.write_text(path.read_text().replace('runtime_version = "1.17.0"', '"runtime_version" = "1.17.0"'))
    before = path.read_text()
    found = find(asked(path), FakeHost(runtimes={"onnxruntime": "1.18.0"}), may_write=True, any_version=True)
    with pytest.raises(DeviceError, match=r'my-pi\.toml: set runtime_version = "1\.18\.0" in target 1 there by hand'):
        found.state_version()
    assert path.read_text() == before


@pytest.mark.parametrize(("device", "place"), [("my-pi", "local"), ("local", SSH)])
def test_this_machine_and_a_device_are_not_confused(device, place):
    with pytest.raises(DeviceError, match="cannot be measured at"):
        find(asked(device, place), FakeHost(), may_write=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"runtime": "litert"}, r"has no runtime litert \(it has: onnxruntime 1\.17\.0\)"),
        ({"precision": "fp16"}, "onnxruntime fp16 cannot be measured by this program"),
        ({"runtime": "onnxruntime-web"}, "on this machine only"),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path, changed, said):
    with pytest.raises(MeasurementError, match=said):
        find(asked(tmp_path / "my-pi.toml", **changed), FakeHost(), may_write=True)


def test_this_machine_has_all_its_targets(monkeypatch):
    monkeypatch.setattr(installed, "version", lambda runtime: "1.2.3")
    host = FakeHost(machine=THIS, runtimes={"onnxruntime": "1.2.3", "litert": "1.2.3"})
    for each in hardware_profiles.load("local").targets:
        target = each.target
        found = find(asked("local", "local", target.runtime, "cpu", target.precision, target.threads), host, may_write=False)
        assert found.target == target
