"""The search in a table, as a user types it: it answers, goes on, extends, and refuses before it works."""

import json
import subprocess
import sys

import numpy as np
import pytest

from nas.accuracy import tabular
from nas.core.errors import StudyError
from nas.display import Silent
from nas.pipeline import conclude_again
from nas.settings import RunSettings
from nas.tabular_search import search
from tests.strategies.problems import write_table


def command(*arguments, check=True):
    done = subprocess.run([sys.executable, "-m", "nas.search", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("tables") / "small.csv")


def settings(path, budget_ms=4.0, trials=25, seed=1, **others):
    return RunSettings(device="table", space=f"tabular:{path}", budget_ms=budget_ms, trials=trials, seed=seed, **others)


def test_the_command_prints_the_front_and_goes_on_where_it_was(path, tmp_path):
    asked = ("--space", f"tabular:{path}", "--budget", "4ms", "--trials", 25, "--seed", 1, "--out", tmp_path / "run", "--json")
    printed = json.loads(command(*asked).stdout)
    table = tabular.read(path)
    assert printed == json.loads((tmp_path / "run" / "front.json").read_text())
    assert (printed["evaluations"], printed["rows"], printed["strategy"]) == (25, table.size, "predictor_guided")
    assert printed["budget"] == {"latency_ms": 4.0} and printed["rows_within_budget"] == int((table.latency_ms <= 4).sum())
    for row in printed["front"]:
        at = row["line"] - 2
        assert row["genes"] == table.describe(at)
        assert (row["accuracy"], row["latency_ms"], row["size_mb"]) == (table.accuracy[at], table.latency_ms[at], table.size_mb[at])
        assert row["latency_ms"] <= 4.0
    accuracies = [row["accuracy"] for row in printed["front"]]
    assert accuracies == sorted(accuracies) and printed["best"] == printed["front"][-1] and printed["hypervolume"] > 0
    journal = (tmp_path / "run" / "study.journal").read_bytes()
    assert json.loads(command(*asked).stdout) == printed
    assert (tmp_path / "run" / "study.journal").read_bytes() == journal, "the same command again does nothing new"


def test_an_impossible_budget_exits_with_3_and_the_fastest_row(path, tmp_path):
    done = command("--space", f"tabular:{path}", "--budget", "1us", "--out", tmp_path / "run", check=False)
    assert done.returncode == 3 and "the fastest row takes" in done.stderr and "g0=" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "wrong, said",
    [
        (("--device", "jetson-nano"), "leave out --device"),
        (("--strategy", "nsga9"), "did you mean 'nsga"),
        (("--max-memory", "1MB"), "cannot be searched with a memory limit"),
    ],
)
def test_what_a_table_cannot_be_asked_is_refused(path, tmp_path, wrong, said):
    done = command("--space", f"tabular:{path}", "--budget", "4ms", "--out", tmp_path / "run", *wrong, check=False)
    assert done.returncode == 2 and said in " ".join(done.stderr.replace("│", " ").split())


def test_without_a_table_a_device_is_needed():
    done = command("--budget", "4ms", check=False)
    assert done.returncode == 2 and "--device" in done.stderr


def test_it_needs_no_torch(path, tmp_path):
    code = (
        "import sys; from nas.search import app; "
        f"app(['--space', 'tabular:{path}', '--budget', '4ms', '--trials', '14', '--out', '{tmp_path / 'run'}'], standalone_mode=False); "
        "print(sorted({'torch', 'onnx', 'ray', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def instant_disk(monkeypatch):
    monkeypatch.setattr("nas.study.os.fsync", lambda handle: None)


def test_more_trials_go_on_as_if_asked_for_at_once(path, tmp_path, instant_disk):
    whole = search(settings(path), False, tmp_path / "whole", "", Silent())
    for trials in (3, 13, 25):
        parts = search(settings(path, trials=trials), False, tmp_path / "parts", "", Silent())
    assert [one.architecture for one in parts.evaluated] == [one.architecture for one in whole.evaluated]


def test_where_fewer_rows_fit_all_of_them_are_evaluated(path, tmp_path, instant_disk):
    table = tabular.read(path)
    limit = float(np.sort(table.latency_ms)[9]) + 1e-9
    result = search(settings(path, limit, trials=100), False, tmp_path / "run", "", Silent())
    assert len(result.evaluated) == 10
    fits = table.latency_ms <= limit
    assert result.json()["best"]["accuracy"] == table.accuracy[fits].max()


@pytest.mark.parametrize("strategy", ["random", "nsga2"])
def test_a_strategy_is_honoured(path, tmp_path, instant_disk, strategy):
    result = search(settings(path, strategy=strategy), False, tmp_path / "run", "", Silent())
    assert result.json()["strategy"] == strategy and result.json()["evaluations"] == 25


def test_several_limits_hold_at_once(path, tmp_path, instant_disk):
    result = search(settings(path, max_size_mb=4.5), False, tmp_path / "run", "", Silent())
    assert all(record.costs.size_mb <= 4.5 and record.latency.ms <= 4 for record in result.evaluated)


def test_a_table_that_changed_is_refused(path, tmp_path, instant_disk):
    copy = tmp_path / "table.csv"
    copy.write_text(path.read_text())
    search(settings(copy, trials=5), False, tmp_path / "run", "", Silent())
    copy.write_text(path.read_text().replace("\n", "\n", 1) + "2,3,1,2,9,99,1,1\n")
    with pytest.raises(StudyError, match="was begun with another version of"):
        search(settings(copy, trials=5), False, tmp_path / "run", "", Silent())


def test_it_has_an_answer_and_no_report(path, tmp_path, instant_disk):
    search(settings(path, trials=5), False, tmp_path / "run", "", Silent())
    with pytest.raises(StudyError, match=r"holds a search in a table, .* its answer is .*front\.json"):
        conclude_again(tmp_path / "run")
