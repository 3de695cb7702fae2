import datetime
import tomllib

import numpy as np
import pytest

from hardware_profiles import schema
from latency_models import target_text
from latency_models.fitting import Fit

ABOUT = {"source": "made up", "when": datetime.date(2026, 1, 2), "command": "python -m nothing"}
HEAD = 'title = "Board"\nprecisions = ["fp32"]\nmax_onnx_opset = 13\ncompressors = []\nnotes = ""\nimprove = "python -m nothing"\n'


def target(threads):
    measured = np.array([1.0, 2.0])
    fit = Fit({"overhead_ms": 1 / 3, "launch_ms": 0.1}, measured * 1.1, measured * 1.5, measured, 0.9, 1.2345, 0.95)
    return target_text.target("ncnn", "1", threads, "ncnn_cpu", ("add",), fit, ABOUT)


def test_a_script_rewrites_its_own_part_and_nothing_else(tmp_path):
    file = tmp_path / "board.toml"
    file.write_text(HEAD)
    target_text.replace(file, "a.py", [target(1)])
    target_text.replace(file, "b.py", [target(2), target(3)])
    target_text.replace(file, "a.py", [target(4)])
    once = file.read_text()
    target_text.replace(file, "a.py", [target(4)])
    assert file.read_text() == once and once.startswith(HEAD)
    profile = schema.parse(tomllib.loads(once), file)
    assert [found.target.threads for found in profile.targets] == [4, 2, 3]
    assert profile.targets[0].error.mape_percent == pytest.approx(10) and profile.targets[0].provenance.when == "2026-01-02"
    parameters = profile.targets[0].parameters
    assert parameters["coefficients"] == {"overhead_ms": 0.33333, "launch_ms": 0.1} and parameters["interval"]["high_factor"] == 1.234
