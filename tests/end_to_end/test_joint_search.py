"""A search over precision and pruning, from the command to the report, on a board with tables of both precisions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.boards import board, target

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SMALL = ["--trials", "10", "--picks", "2", "--epochs", "0.3", "--fine-tune-epochs", "0.5"]


def test_versions_compete_inside_the_search_and_the_one_that_was_meant_is_marked(tmp_path: Path):
    device = board(tmp_path, [target("fp32"), target("int8")], [target("fp32"), target("int8")], ("hidden_channels", "int8_static"))
    out = tmp_path / "run"
    command = [sys.executable, "-m", "nas.search", "--device", device, "--budget", "4ms", "--precision", "fp32,int8", "--keep", "1,0.5"]
    command += [*SMALL, "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "networks in 4 combinations" in done.stderr
    found = json.loads(done.stdout)
    assert found["space"].endswith("+fp32,int8+keep=1,0.5") and found["candidates"]["evaluated"] == 10
    plain = [tuple(pick["architecture"]["genes"][:-2]) for pick in found["picks"]]
    assert len(set(plain)) == len(plain) == 2, "one pick for each network"
    for pick in found["picks"]:
        steps = {step["name"]: step for step in pick["steps"]}
        meant, (precision, keep) = pick["searched_as"], pick["architecture"]["genes"][-2:]
        assert meant == [["fp32", "pruned"], ["int8", "pruned_int8"]][precision][keep]
        assert {"fp32", "pruned"} <= set(steps) and set(steps) <= {"fp32", "pruned", "int8", meant}
        if meant in steps and steps[meant]["within_budget"]:
            assert pick["model"] == meant
        else:
            assert meant in steps or any("int8" in note for note in pick["notes"])
        for name, step in steps.items():
            assert step["latency_target"]["precision"] == ("int8" if name.endswith("int8") else "fp32")
    assert "as searched" in (out / "report.html").read_text()
    assert found["findings"][0].startswith("Precision (fp32, int8) and the share of hidden channels kept (1, 0.5) were searched together")

    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and "Continuing the run" in again.stderr
    assert [pick["id"] for pick in json.loads(again.stdout)["picks"]] == [pick["id"] for pick in found["picks"]]
    other = subprocess.run([*command, "--keep", "1,0.75"], capture_output=True, text=True)
    assert other.returncode == 2 and "keep was '1,0.5' and is now '1,0.75'" in other.stderr
