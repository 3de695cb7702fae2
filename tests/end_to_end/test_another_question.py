"""One run folder asked several questions, and a run that begins where another one ended, as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from nas.study import load

SMALL = ("--trials", "6", "--picks", "2", "--epochs", "0.1", "--fine-tune-epochs", "0.1")
COMMAND = (sys.executable, "-m", "nas.search", "--device", "jetson-nano", "--budget", "20ms", *SMALL)


def run(folder, *changed, check=True):
    """The command with some options given again, of which the last counts; its JSON and what it said."""
    done = subprocess.run([*COMMAND, *changed, "--out", str(folder), "--json"], capture_output=True, text=True, timeout=600)
    assert not check or done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else None, done.stderr


def evaluations(folder):
    """Every evaluation of the study, with the seconds that it took: one that was made again would differ."""
    told = [trial.user_attrs["candidate"] for trial in load(folder).trials if "candidate" in trial.user_attrs]
    return {one["id"]: one["evaluation"] for one in told if one["evaluation"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    url = f"sqlite:///{folder.parent / 'copy.db'}"
    return folder, *run(folder, "--dashboard", url), url


@pytest.mark.slow
def test_before_anything_is_trained_it_says_what_the_space_costs(finished):
    _, _, said, _ = finished
    lines = said.splitlines()
    assert any("from the least to the median to the most" in line for line in lines)
    for word in ("latency (upper bound):", "model file:", "memory:", "operations:", "within 20.00 ms:"):
        assert any(line.strip().startswith(word) for line in lines), word


@pytest.mark.slow
def test_it_can_be_watched(finished):
    folder, _, _, url = finished
    assert len(optuna.load_study(study_name="first", storage=url).trials) == len(load(folder).trials)


@pytest.mark.slow
def test_another_budget_objective_and_strategy_train_and_evaluate_nothing_again(finished):
    folder, first, _, _ = finished
    known, weights = evaluations(folder), (folder / "supernet.safetensors").read_bytes()
    models = {path.name: path.stat().st_mtime_ns for path in (folder / "models").iterdir()}
    asked = ("--budget", "15ms", "--max-macs", "6M", "--objectives", "accuracy,latency,size", "--strategy", "nsga2", "--trials", "8")
    second, _ = run(folder, *asked)
    after = evaluations(folder)
    assert {one: after[one] for one in known} == known and len(after) > len(known)
    assert (folder / "supernet.safetensors").read_bytes() == weights
    assert second["objectives"] == ["accuracy", "latency", "size"]
    assert (second["budget"]["latency_ms"], second["budget"]["macs"]) == (15.0, 6e6)
    chosen = {pick["id"] for pick in second["picks"]}
    assert all(pick["architecture"]["space"] == second["space"] and pick["steps"][0]["macs"] <= 6e6 for pick in second["picks"])
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "models").iterdir() if path.name in models} == models
    page = (folder / "report.html").read_text()
    assert all(one in page for one in chosen)
    for gone in {pick["id"] for pick in first["picks"]} - chosen:
        assert f"{gone}-fp32" not in page and (folder / "picks" / f"{gone}.json").exists()
    third, _ = run(folder)
    assert {pick["id"] for pick in first["picks"]} <= set(evaluations(folder)) and len(evaluations(folder)) == len(after)
    assert third["budget"] == first["budget"]


@pytest.mark.slow
def test_a_run_begins_with_what_another_one_knows(finished, tmp_path):
    folder, _, _, _ = finished
    known = evaluations(folder)
    found, said = run(tmp_path / "second", "--warm-start", str(folder), "--budget", "25ms", "--trials", "2", "--picks", "1")
    after = evaluations(tmp_path / "second")
    assert {one: after[one] for one in known} == known and len(after) == len(known) + 2
    assert (tmp_path / "second" / "supernet.safetensors").read_bytes() == (folder / "supernet.safetensors").read_bytes()
    assert "hold here too, and so does its supernet" in " ".join(said.split()) and "Training the supernet" not in said
    assert found["candidates"]["evaluated"] == len(after)
    refused, said = run(tmp_path / "third", "--warm-start", str(folder), "--space", "mobile_shuffle", check=False)
    assert refused is None and "this run searches mobile_shuffle@" in " ".join(said.split()) and not (tmp_path / "third").exists()


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("--objectives", "accuracy,speed"), 2, "no objective is named 'speed'"),
        (("--objectives", "latency,size"), 2, "give accuracy and at least one of"),
        (("--objectives", "accuracy,energy"), 2, "no power was measured"),
        (("--max-macs", "10"), 2, "write it as 10M, 600k or 1.5G"),
        (("--max-macs", "10k"), 3, "Give --max-macs"),
        (("--warm-start", "no/such/run"), 2, "holds no run"),
    ],
)
def test_what_cannot_be_searched_is_said_at_once(tmp_path: Path, asked, code, said):
    done = subprocess.run([*COMMAND, *asked, "--out", str(tmp_path / "run")], capture_output=True, text=True, timeout=120)
    assert done.returncode == code and said in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()
