"""This machine as the device: measured in one command, then searched, with picks that are timed here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hardware_profiles

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_measure_then_search_gives_timed_picks_in_three_versions(tmp_path: Path):
    profile = tmp_path / "local.toml"
    shutil.copy(Path(hardware_profiles.__file__).parent / "local.toml", profile)
    search = [sys.executable, "-m", "nas.search", "--device", str(profile), "--budget", "50ms", "--out", str(tmp_path / "run"), "--json"]
    refused = subprocess.run(search, capture_output=True, text=True)
    assert refused.returncode == 2 and "nas.measure" in refused.stderr

    measure = [sys.executable, "-m", "nas.measure", "--device", str(profile), "--quick", "--no-probes"]
    subprocess.run(measure, check=True, capture_output=True)
    small = ["--trials", "6", "--picks", "2", "--epochs", "0.5", "--fine-tune-epochs", "1"]
    done = subprocess.run([*search, *small], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for pick in json.loads(done.stdout)["picks"]:
        steps = {step["name"]: step for step in pick["steps"]}
        assert {"fp32", "pruned"} <= set(steps)
        assert pick["latency_origin"] == "measured"
        assert all(step["latency_origin"] == "measured" and step["latency_ms"] > 0 for step in steps.values())
        assert "int8" in steps or any("int8" in note for note in pick["notes"])
        if "int8" in steps:
            assert steps["int8"]["validation_accuracy"] >= steps["fp32"]["validation_accuracy"] - 0.01 - 1e-9

    checked = [*search[:-3], "--out", str(tmp_path / "checked"), "--json", *small, "--target", "local", "--measure-every", "3"]
    done = subprocess.run(checked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)["on_device"]
    assert found["rounds"] >= 2 and found["networks"] and found["error_before_percent"] > 0
    assert len((tmp_path / "checked" / "measured.jsonl").read_text().splitlines()) == 1 + len(found["networks"]) + found["rounds"]
    assert "Predicted against measured" in (tmp_path / "checked" / "report.html").read_text()
    again = subprocess.run(checked, capture_output=True, text=True)
    assert again.returncode == 0 and json.loads(again.stdout)["on_device"] == found
