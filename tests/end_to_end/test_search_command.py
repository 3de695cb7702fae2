"""The real command, as a user types it, at a size that a test can afford."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.study import load

pytestmark = pytest.mark.timeout(900)

SMALL = ["--trials", "6", "--picks", "2", "--epochs", "0.1", "--fine-tune-epochs", "0.1"]
COMMAND = [sys.executable, "-m", "nas.search", "--device", "jetson-nano", "--budget", "20ms", *SMALL]

FRESH_PROCESS = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
size = int(sys.argv[2])
logits = session.run(None, {session.get_inputs()[0].name: np.zeros((3, 1, size, size), np.float32)})[0]
assert not {"torch", "nas", "onnx"} & set(sys.modules)
print(json.dumps(list(logits.shape)))
"""


def run(*arguments: str, folder: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*arguments, "--out", str(folder)], capture_output=True, text=True, timeout=800)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("runs") / "small"
    return folder, json.loads(run(*COMMAND, "--json", folder=folder).stdout)


def test_json_on_stdout_is_the_interface_and_equals_the_file(finished):
    folder, printed = finished
    assert printed == json.loads((folder / "pareto.json").read_text())
    assert printed["schema"] == 1 and printed["device"] == "jetson-nano" and len(printed["picks"]) == 2
    for pick in printed["picks"]:
        assert 0 <= pick["accuracy"] <= 1
        assert pick["latency_low_ms"] <= pick["latency_ms"] <= pick["latency_high_ms"] <= 20
        assert pick["latency_origin"] == "calibrated"
        assert {"id", "architecture", "macs", "params", "size_mb", "steps"} <= pick.keys()
        assert set(pick["models"]) == {"fp32", "pruned", "fp16"}
        assert all((folder / model).is_file() for model in pick["models"].values())


def test_every_model_runs_in_a_process_that_has_only_onnxruntime_and_numpy(finished):
    folder, printed = finished
    for pick in printed["picks"]:
        for model in pick["models"].values():
            size = str(pick["architecture"]["resolution"])
            done = subprocess.run([sys.executable, "-c", FRESH_PROCESS, str(folder / model), size], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == [3, 10]


def test_the_folder_holds_what_the_readme_promises(finished):
    folder, printed = finished
    page = (folder / "report.html").read_text()
    assert all(pick["id"] in page for pick in printed["picks"]) and "calibrated" in page
    rows = list(csv.DictReader((folder / "pareto.csv").read_text().splitlines()))
    assert len(rows) == 6
    assert json.loads((folder / "environment.json").read_text())["environment"]["torch"].startswith("2.")
    study = load(folder)
    assert len({json.dumps(t.user_attrs["candidate"]["genes"]) for t in study.trials if t.state.name == "COMPLETE"}) >= 6
    assert study.best_trials


def test_the_same_command_again_changes_nothing_and_is_quick(finished):
    folder, printed = finished
    journal = (folder / "study.journal").read_bytes()
    started = time.monotonic()
    again = json.loads(run(*COMMAND, "--json", folder=folder).stdout)
    assert again["picks"] == printed["picks"]
    assert (folder / "study.journal").read_bytes() == journal
    assert time.monotonic() - started < 60


def test_the_report_is_rebuilt_from_the_folder_alone(finished):
    folder, _ = finished
    before = (folder / "pareto.json").read_bytes()
    for name in ("report.html", "pareto.json", "pareto.csv"):
        (folder / name).unlink()
    subprocess.run([sys.executable, "-m", "nas.report", str(folder)], check=True, capture_output=True)
    assert (folder / "pareto.json").read_bytes() == before
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_more_trials_extend_and_other_settings_are_refused(finished):
    folder, _ = finished
    refused = run(*COMMAND, "--seed", "5", folder=folder, check=False)
    assert refused.returncode == 2 and "seed was 0 and is now 5" in refused.stderr and "--fresh" in refused.stderr
    count = len(load(folder).trials)
    run(*COMMAND, "--trials", "8", folder=folder)
    assert len(load(folder).trials) > count


@pytest.mark.slow
def test_a_killed_search_loses_and_repeats_nothing(tmp_path):
    folder = tmp_path / "killed"
    command = [*COMMAND, "--trials", "12", "--out", str(folder)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        journal = folder / "study.journal"
        deadline = time.monotonic() + 200
        while (not journal.exists() or len(told(folder)) < 4) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = told(folder)
    assert 4 <= len(before) < 12
    run(*COMMAND, "--trials", "12", folder=folder)
    after = told(folder)
    assert after[: len(before)] == before
    ids = [candidate["id"] for candidate in after]
    assert len(set(ids)) == 12


def told(folder: Path) -> list[dict]:
    """What the study holds of each distinct architecture, in order."""
    found = {}
    for trial in load(folder).trials:
        if trial.state.name == "COMPLETE":
            candidate = trial.user_attrs["candidate"]
            found.setdefault(candidate["id"], candidate)
    return list(found.values())


@pytest.mark.parametrize(
    ("arguments", "code", "sentences"),
    [
        (["--device", "jetson-nanoo", "--budget", "20ms"], 2, ["did you mean 'jetson-nano'"]),
        (["--device", "jetson-nano", "--budget", "20"], 2, ["the unit is missing", "20ms, 0.02s or 500us"]),
        (
            ["--device", "jetson-nano", "--budget", "0.1ms"],
            3,
            ["below the fastest network of mobile_shuffle_32", "calibrated", "Give --budget"],
        ),
        (["--device", "jetson-nano", "--budget", "20ms", "--space", "mobile_shufle"], 2, ["did you mean 'mobile_shuffle"]),
        (["--device", "jetson-nano", "--budget", "20ms", "--data", "folder:/no/such/place"], 2, ["/no/such/place"]),
        (["--device", "jetson-nano", "--budget", "20ms", "--strategy", "magic"], 2, ["no strategy is named 'magic'"]),
        (["--device", "jetson-nano", "--budget", "20ms", "--executor", "slurm"], 2, ["no executor is named 'slurm'"]),
        (["--device", "jetson-nano", "--budget", "20ms", "--trials", "0"], 2, ["trials"]),
        (["--device", "jetson-nano", "--budget", "20ms", "--target", "local"], 2, ["cannot be measured at local", "--target ssh://"]),
        (["--device", "jetson-nano", "--budget", "20ms", "--measure-every", "4"], 2, ["--target"]),
        (
            ["--device", "jetson-nano", "--budget", "20ms", "--precision", "int8"],
            2,
            ["jetson-nano has no latencies for int8, only for: jetson-nano tensorrt"],
        ),
        (
            ["--device", "jetson-nano", "--budget", "20ms", "--runtime", "ncnn", "--threads", "3"],
            2,
            ["no latencies for ncnn fp32 3 thread(s)"],
        ),
        (["--device", "jetson-nano", "--budget", "20ms", "--max-size", "4"], 2, ["the unit is missing", "4MB, 512kB or 4MiB"]),
        (["--device", "jetson-nano", "--budget", "20ms", "--max-size", "50kB"], 3, ["below the smallest network", "Give --max-size"]),
        (["--device", "jetson-nano", "--budget", "20ms", "--max-memory", "10kB"], 3, ["below the least demanding", "Give --max-memory"]),
        (
            ["--device", "jetson-nano", "--budget", "20ms", "--max-energy", "50mJ"],
            2,
            ["no power was measured for jetson-nano"],
        ),
    ],
)
def test_wrong_input_gets_one_sentence_before_anything_is_written(tmp_path, arguments, code, sentences):
    folder = tmp_path / "none"
    done = run(sys.executable, "-m", "nas.search", *arguments, folder=folder, check=False)
    assert done.returncode == code, done.stderr
    assert all(sentence in done.stderr for sentence in sentences), done.stderr
    assert "Traceback" not in done.stderr
    assert not folder.exists()


def test_an_impossible_budget_is_answered_without_importing_torch(tmp_path):
    code = (
        "import sys; sys.argv = ['search', '--device', 'jetson-nano', '--budget', '0.1ms', '--out', sys.argv[1]]\n"
        "import nas.search, nas.cli\n"
        "try: nas.cli.run(nas.search.app)\n"
        "except SystemExit as error: print(error.code, sorted({'torch', 'optuna', 'ray', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "none")], capture_output=True, text=True)
    assert done.stdout.strip() == "3 []", done.stderr


def test_ctrl_c_in_training_says_how_to_go_on(tmp_path):
    folder = tmp_path / "stopped"
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen([*COMMAND, "--epochs", "9", "--out", str(folder)], stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not (folder / "command.json").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        log.seek(0)
        said = log.read()
    assert "the same command continues" in said and "Traceback" not in said
