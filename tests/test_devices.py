import json
import subprocess
import sys
from pathlib import Path

import hardware_profiles

ROOT = Path(__file__).parents[1]


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "nas.devices", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_device_is_listed_with_origin_and_error():
    found = command()
    assert found.returncode == 0 and found.stderr == ""
    for name in hardware_profiles.names():
        assert name in found.stdout
    assert "calibrated" in found.stdout and "tensorrt 8.2" in found.stdout and "unseen networks" in found.stdout


def test_json_of_one_device_holds_the_same_facts():
    found = json.loads(command("jetson-nano", "--json").stdout)
    (target,) = found["targets"]
    profile = hardware_profiles.load("jetson-nano")
    assert target["error_percent"] == profile.targets[0].error.mape_percent and target["status"] == "ready"
    assert target["interval_low_percent"] < 0 < target["interval_high_percent"] and target["confidence"] == 0.95
    assert found["max_onnx_opset"] == 13 and "int8" not in found["precisions"]


def test_json_of_all_devices_is_a_list():
    assert [device["name"] for device in json.loads(command("--json").stdout)] == list(hardware_profiles.names())


def test_a_device_that_was_not_measured_says_what_to_run(tmp_path):
    (tmp_path / "local.toml").write_text((hardware_profiles.FOLDER / "local.toml").read_text())
    found = command(str(tmp_path / "local.toml"))
    text = " ".join(found.stdout.replace("│", " ").split())
    assert found.returncode == 0 and "not measured yet; run: python -m nas.measure --device local" in text
    (target,) = json.loads(command(str(tmp_path / "local.toml"), "--json").stdout)["targets"]
    assert target["when"] is None and "not measured yet" in target["status"]


def test_an_unknown_name_gets_the_nearest_in_one_sentence():
    found = command("jetson-nanoo")
    assert found.returncode == 2 and "did you mean 'jetson-nano'?" in found.stderr and found.stderr.count("\n") == 1
