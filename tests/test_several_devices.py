"""Several devices at once, as a user types it: wrong input before any work, one run folder, and nothing done twice."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.core.errors import DeviceError, InfeasibleBudgetError, StudyError
from nas.display import Silent
from nas.pipeline import Execution
from nas.settings import RunSettings
from nas.several_devices import conclude_again, search
from nas.several_settings import SeveralSettings
from nas.study import load, records

DEVICES = ["--device", "jetson-nano,jetson-nano", "--runtime", "tensorrt,ncnn-vulkan"]
SMALL = ["--trials", "14", "--picks", "2", "--epochs", "0.1", "--fine-tune-epochs", "0.1"]
COMMAND = [sys.executable, "-m", "nas.search", *DEVICES, "--budget", "3ms,1.6ms", *SMALL]
NAMES = ("jetson-nano-tensorrt", "jetson-nano-ncnn-vulkan")


def run(*arguments, folder, check=True):
    done = subprocess.run([*arguments, "--out", str(folder)], capture_output=True, text=True, timeout=900)
    assert not check or done.returncode == 0, done.stderr
    return done


def asked(*devices):
    return SeveralSettings.of([RunSettings(**{"budget_ms": 20.0, **one}) for one in devices])


@pytest.mark.parametrize(
    ("devices", "error", "sentences"),
    [
        (
            ({"device": "jetson-nano", "budget_ms": 0.1}, {"device": "raspberry-pi-4", "budget_ms": 0.1}),
            InfeasibleBudgetError,
            [
                "jetson-nano: budget 0.10 ms is below the fastest network",
                "raspberry-pi-4: budget 0.10 ms is below the fastest",
                "Give --budget",
            ],
        ),
        (
            ({"device": "jetson-nano"}, {"device": "raspberry-pi-4", "budget_ms": 0.1}),
            InfeasibleBudgetError,
            ["raspberry-pi-4: budget 0.10 ms is below the fastest network"],
        ),
        (
            ({"device": "jetson-nanoo"}, {"device": "pixel-1", "precision": "fp16"}),
            DeviceError,
            [
                "jetson-nanoo: no device is named 'jetson-nanoo'; did you mean 'jetson-nano'",
                "pixel-1-fp16: pixel-1 has no latencies for fp16",
            ],
        ),
        (
            ({"device": "jetson-nano"}, {"device": "jetson-nano", "runtime": "tensorrt"}),
            DeviceError,
            ["jetson-nano and jetson-nano-tensorrt are both jetson-nano tensorrt 8.2 fp32", "another --runtime, --precision or --threads"],
        ),
        (
            ({"device": "jetson-nano", "max_energy_mj": 5.0}, {"device": "pixel-1", "max_energy_mj": 5.0}),
            DeviceError,
            ["jetson-nano: energy cannot be limited", "pixel-1: energy cannot be limited"],
        ),
    ],
)
def test_wrong_input_is_said_of_every_device_before_anything_is_written(tmp_path, devices, error, sentences):
    with pytest.raises(error) as raised:
        search(asked(*devices), Execution(), tmp_path / "run", Silent())
    assert type(raised.value) is error
    assert all(sentence in str(raised.value) for sentence in sentences), raised.value
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentences"),
    [
        (["--device", "jetson-nano,local", "--budget", "20ms,1ms,2ms"], 2, ["--budget 20ms,1ms,2ms gives 3 values for 2 devices"]),
        (["--device", "jetson-nano", "--budget", "20ms,1ms"], 2, ["--budget 20ms,1ms gives 2 values for one device (jetson-nano)"]),
        (
            ["--device", "jetson-nano,pixel-1,local", "--budget", "1ms", "--max-size", "1MB,2MB"],
            2,
            ["2 values for 3 devices", "--max-size"],
        ),
        (["--device", "jetson-nano,pixel-1", "--budget", "20ms,5"], 2, ["the unit is missing"]),
        (["--device", "jetson-nano,pixel-1", "--budget", "20ms", "--threads", "1,two"], 2, ["--threads two is no number of threads"]),
        (["--device", "jetson-nano,", "--budget", "20ms"], 2, ["a device without a name"]),
        (["--device", "jetson-nano,jetson-nano", "--budget", "20ms,10ms"], 2, ["jetson-nano is asked for twice"]),
        (["--device", "jetson-nano,pixel-1", "--budget", "0.1ms"], 3, ["jetson-nano: budget 0.10 ms", "pixel-1: budget 0.10 ms"]),
        (["--device", "jetson-nano,pixel-1", "--budget", "20ms", "--accuracy", "imagenet"], 2, ["several devices share a supernet"]),
    ],
)
def test_the_command_refuses_with_one_sentence(tmp_path, arguments, code, sentences):
    done = run(sys.executable, "-m", "nas.search", *arguments, folder=tmp_path / "none", check=False)
    assert done.returncode == code, done.stderr
    said = " ".join(done.stderr.replace("│", " ").split())
    assert all(sentence in said for sentence in sentences), done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "none").exists()


def test_a_folder_of_something_else_is_no_run_for_several_devices(tmp_path):
    RunSettings(device="jetson-nano", budget_ms=20).save(tmp_path / "settings.toml")
    with pytest.raises(StudyError, match="does not describe a run for several devices"):
        conclude_again(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that is killed in its search, and then given again."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    with (folder.parent / "log").open("w") as log:
        process = subprocess.Popen([*COMMAND, "--out", str(folder)], stdout=log, stderr=log)
        deadline = time.monotonic() + 600
        while len(evaluated(folder, NAMES[1])) < 3 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = {name: evaluated(folder, name) for name in NAMES}
    assert [len(before[name]) >= least for name, least in zip(NAMES, (12, 3), strict=True)] == [True, True], (
        folder.parent / "log"
    ).read_text()
    printed = json.loads(run(*COMMAND, "--json", folder=folder).stdout)
    return folder, printed, before


def evaluated(folder: Path, name):
    """What the search for a device evaluated itself, in order."""
    try:
        return [one for one in records(load(folder / name)) if one.evaluation and not one.learned]
    except StudyError:
        return []


@pytest.mark.slow
def test_a_killed_run_ends_with_nothing_evaluated_twice(finished):
    folder, printed, before = finished
    after = {name: evaluated(folder, name) for name in NAMES}
    for name in NAMES:
        assert after[name][: len(before[name])] == before[name] and len(after[name]) == 14
    full = [one.architecture.id for name in NAMES for one in after[name] if not one.rejected]
    assert len(full) == len(set(full)), "what one has evaluated to the end the other does not evaluate"
    assert printed["evaluations"] == len({one.architecture for name in NAMES for one in after[name]})


@pytest.mark.slow
def test_the_json_has_every_network_on_every_device(finished):
    folder, printed, _ = finished
    assert printed == json.loads((folder / "devices.json").read_text()) and printed["schema"] == 1
    assert list(printed["devices"]) == list(NAMES)
    for name in NAMES:
        assert printed["devices"][name] == json.loads((folder / name / "pareto.json").read_text())
    picks = {pick["id"] for one in printed["devices"].values() for pick in one["picks"]}
    assert picks <= {network["id"] for network in printed["networks"]}
    for network in printed["networks"]:
        assert list(network["on"]) == list(NAMES)
        assert network["pick_of"] == [n for n in NAMES if network["id"] in {p["id"] for p in printed["devices"][n]["picks"]}]
        for name, place in network["on"].items():
            assert place["latency_low_ms"] <= place["latency_ms"] <= place["latency_high_ms"]
            assert place["latency_origin"] in ("calibrated", "estimated") and place["latency_target"]["runtime"] in name
            assert place["within_budget"] == (place["latency_high_ms"] <= {NAMES[0]: 3.0, NAMES[1]: 1.6}[name])
            assert place["model"] is None or (folder / place["model"]).is_file()


@pytest.mark.slow
def test_the_best_single_network_is_finished_for_all(finished):
    folder, printed, _ = finished
    single = next(network for network in printed["networks"] if network["id"] == printed["best_single"])
    assert single["within_all_budgets"] and single["accuracy"] is not None
    assert all(place["model"] for place in single["on"].values())
    tuned = [path.read_bytes() for path in folder.rglob(f"picks/{single['id']}.safetensors")]
    assert len(tuned) == 2 and tuned[0] == tuned[1], "it is tuned once"
    told = {one.architecture: one for name in NAMES for one in records(load(folder / name)) if one.evaluation and not one.rejected}
    assert single["inherited_accuracy"] == max(
        one.accuracy for one in told.values() if all(one.architecture in within(folder, name) for name in NAMES)
    )


def within(folder, name):
    return {one.architecture for one in records(load(folder / name)) if one.eligible}


@pytest.mark.slow
def test_each_device_has_a_complete_run_and_its_report_is_rebuilt(finished):
    folder, printed, _ = finished
    for path in (*(folder / name for name in NAMES), folder):
        page = (path / "report.html").read_text()
        (path / "report.html").unlink()
        subprocess.run([sys.executable, "-m", "nas.report", str(path)], check=True, capture_output=True)
        assert (path / "report.html").read_text() == page
    for name in NAMES:
        rows = list(csv.DictReader((folder / name / "pareto.csv").read_text().splitlines()))
        assert len(rows) == 6 and all((folder / name / row["model"]).is_file() for row in rows)
    assert json.loads((folder / "devices.json").read_text()) == printed


@pytest.mark.slow
def test_the_same_command_again_changes_nothing_and_another_seed_is_refused(finished):
    folder, printed, _ = finished
    journals = {name: (folder / name / "study.journal").read_bytes() for name in NAMES}
    tuned = {path: path.stat().st_mtime_ns for path in folder.rglob("picks/*")}
    again = json.loads(run(*COMMAND, "--json", folder=folder).stdout)
    assert {**again, "seconds": None, "devices": None} == {**printed, "seconds": None, "devices": None}
    assert {name: one["picks"] for name, one in again["devices"].items()} == {
        name: one["picks"] for name, one in printed["devices"].items()
    }
    assert {name: (folder / name / "study.journal").read_bytes() for name in NAMES} == journals
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("picks/*")} == tuned
    refused = run(*COMMAND, "--seed", "5", folder=folder, check=False)
    assert refused.returncode == 2 and "seed was 0 and is now 5" in refused.stderr
