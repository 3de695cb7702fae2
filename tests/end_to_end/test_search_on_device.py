"""The real agent in the loop: networks of a search are exported, timed in ONNX Runtime, and change its prices."""

import random
import tomllib
from pathlib import Path

import pytest

import hardware_profiles
import latency_models
from hardware_profiles import installed
from latency_models.hosts.local import LocalHost
from nas import on_device, strategies, timed_networks
from nas.bench import Bench, probe
from nas.core.budget import Budget
from nas.core.errors import MeasurementError
from nas.core.evaluation import Evaluation
from nas.display import Silent
from nas.problem import Problem
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from nas.study import SearchStudy
from tests.latency_models.loopback import device
from tests.tiny import SPACE

pytestmark = pytest.mark.slow

PROFILE = """
title = "A board"
precisions = ["fp32"]
max_onnx_opset = 17
compressors = []
notes = ""
improve = "measure it"
[[targets]]
runtime = "onnxruntime"
runtime_version = "VERSION"
precision = "fp32"
threads = 1
origin = "estimated"
model = "kernel_model"
[targets.parameters]
"""


@pytest.fixture
def problem(tmp_path):
    """A tiny space on a board of which nothing is known but what a model for another one says."""
    other = Path(hardware_profiles.__file__).parent / "raspberry-pi-4.toml"
    text = other.read_text()
    parameters = tomllib.loads(text)["targets"][0]["parameters"]
    path = tmp_path / "board.toml"
    lines = [f'form = "{parameters["form"]}"', f"covers = {list(parameters['covers'])}"]
    for section in ("interval", "coefficients"):
        lines += [f"[targets.parameters.{section}]", *(f"{name} = {value}" for name, value in parameters[section].items())]
    path.write_text(PROFILE.replace("VERSION", installed.version("onnxruntime")) + "\n".join(lines) + "\n")
    profile = hardware_profiles.load(str(path))
    settings = RunSettings(device=str(path), budget_ms=1000.0, strategy="random", trials=8)
    return Problem(settings, profile, latency_models.load(profile), SPACE, Budget(1000.0), 1, 3, ())


def search(problem, bench, folder, at_evaluation=lambda count: None):
    """Four rounds with made-up accuracies; the problem at its last prices."""

    def explore(problem):
        strategy = strategies.load("random", problem.landscape(), 0)
        given = problem.price, problem.macs, problem.budget, strategy, problem.settings.trials, 0
        study = SearchStudy(folder, SPACE, *given, price_list=problem.price_list)
        while candidate := study.ask():
            at_evaluation(study.evaluated)
            study.tell(candidate.number, Evaluation(random.Random(candidate.architecture.id).random(), 1, 1, (), 0.0))
        return study.records

    folder.mkdir(exist_ok=True)
    return on_device.search(problem, bench, 4, RunFolder(folder), Silent(), explore)[0]


def looks_right(problem, now, folder):
    history = timed_networks.read(folder)
    checked = on_device.check(problem, history)
    assert [each.lost for each in history.rounds] == ["", ""] and len(history.networks) >= 6
    assert checked.error_after_percent < checked.error_before_percent, "a model for another board is worse than a fit to this one"
    for one in history.networks:
        latency = now.price(one.architecture).latency
        assert latency == one.measured and 0 < latency.low_ms <= latency.ms <= latency.high_ms
    return checked


def test_this_machine_in_the_loop(problem, tmp_path):
    host = LocalHost()
    machine = host.facts().machine
    bench = Bench(host, problem.model.target, machine, "cpu", 17)
    now = search(problem, bench, tmp_path / "run")
    checked = looks_right(problem, now, tmp_path / "run")
    assert checked.machine == machine and now.model.origin == "calibrated"


def test_a_device_over_ssh_that_is_cut_off_in_between(problem, tmp_path):
    (tmp_path / "board").mkdir()
    with device(tmp_path / "board") as board:
        bench = probe(problem, board.host(), "ssh://pi@board")
        cut = []

        def at_evaluation(count):
            if count == 5 and not cut:
                cut.append(board.cut())

        now = search(problem, bench, tmp_path / "run", at_evaluation)
        looks_right(problem, now, tmp_path / "run")
        board.stop()
        with pytest.raises(MeasurementError):
            probe(problem, board.host(), "ssh://pi@board")
