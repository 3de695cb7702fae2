"""A search for int8, on a board of which an int8 table is all that is known."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.boards import board, target

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SMALL = ["--trials", "3", "--picks", "1", "--epochs", "0.1", "--fine-tune-epochs", "0.5"]


def test_the_int8_versions_are_priced_and_led_by_their_own_table(tmp_path: Path):
    device = board(tmp_path, [target("fp32"), target("int8")], [target("int8")], ("hidden_channels", "int8_static"))
    command = [sys.executable, "-m", "nas.search", "--device", device, "--budget", "20ms", *SMALL]
    out = ["--out", str(tmp_path / "run"), "--json"]
    refused = subprocess.run([*command, *out], capture_output=True, text=True)
    assert refused.returncode == 2 and "fp32, 1 thread, batch 1 is not measured yet" in refused.stderr

    done = subprocess.run([*command, "--precision", "int8", *out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert (found["target"]["precision"], found["target"]["threads"]) == ("int8", 1)
    for pick in found["picks"]:
        steps = {step["name"]: step for step in pick["steps"]}
        for name in ("fp32", "pruned"):
            assert steps[name]["latency_ms"] is None and "no fp32 latencies are known of board" in steps[name]["latency_note"]
        if "int8" in steps:
            assert pick["model"] == "int8" and pick["latency_target"] == found["target"] and pick["latency_ms"] > 0
        else:
            assert any("int8" in note for note in pick["notes"]) and pick["latency_ms"] is None

    # with figures in fp32 too, the same folder is still that of the int8 run
    board(tmp_path, [target("fp32"), target("int8")], [target("fp32"), target("int8")], ("hidden_channels", "int8_static"))
    other = subprocess.run([*command, *out], capture_output=True, text=True)
    assert other.returncode == 2 and "precision was 'int8' and is now 'fp32'" in other.stderr
