"""The search in a table, as a user types it: it answers, goes on, extends, and refuses before it works."""

import json
import subprocess
import sys

import numpy as np
import optuna
import pytest

from nas.accuracy import tabular
from nas.core.errors import DataError, ObjectivesError, StudyError, UnknownNameError
from nas.core.pareto import hypervolume, non_dominated
from nas.display import Silent
from nas.pipeline import conclude_again
from nas.problem import named
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from nas.tabular_search import conclude_again as conclude
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
        (("--max-memory", "1MB"), "cannot be searched with a limit on memory"),
        (("--workers", "2", "--data", "idx:x", "--precision", "int8"), "leave out --data, --precision, --workers"),
        (("--budget", "4ms,5ms"), "give one value instead of --budget 4ms,5ms"),
        (("--dashboard", "search.db"), "--dashboard search.db is no storage of Optuna's"),
        (("--dashboard", "oracel://host/name"), "give a URL such as sqlite:///search.db"),
        (("--space", "tabulr:x.csv"), "no kind of space is named 'tabulr'; did you mean 'tabular'?"),
        (("--space", "tabular:"), "names no table: write tabular:TABLE.csv"),
        (("--space", "mobile_shuffle,mobilenet_v3"), "all devices share one supernet, and so one space"),
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
        "print(sorted({'torch', 'onnx', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def instant_disk(monkeypatch):
    monkeypatch.setattr("nas.study_journal.os.fsync", lambda handle: None)


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
    with pytest.raises(StudyError, match=r"was begun with tabular@\w+, now it is tabular@\w+: give --fresh"):
        search(settings(copy, trials=5), False, tmp_path / "run", "", Silent())


@pytest.fixture
def looked_up(monkeypatch):
    """Every architecture whose accuracy is looked up."""
    found = []
    evaluation = tabular.Table.evaluation
    monkeypatch.setattr(tabular.Table, "evaluation", lambda self, one: (found.append(one), evaluation(self, one))[1])
    return found


def test_other_budgets_objectives_and_strategies_evaluate_nothing_again(path, tmp_path, instant_disk, looked_up):
    table = tabular.read(path)
    folder = tmp_path / "run"
    for asked in (
        {"budget_ms": 4.0},
        {"budget_ms": 3.0},
        {"budget_ms": 5.0, "objectives": "accuracy,latency,size"},
        {"budget_ms": 5.0, "objectives": "size,accuracy", "strategy": "nsga2"},
        {"budget_ms": 4.0, "max_size_mb": 4.5, "trials": 30},
    ):
        result = search(settings(path, **asked), False, folder, "", Silent())
        assert len(looked_up) == len(set(looked_up)), "something was evaluated twice"
        own = [one for one in looked_up if result.problem.budget.holds(table.costs(one))]
        found = result.json()
        assert {record.architecture for record in result.evaluated} == set(own) and found["evaluations"] == len(own)
        assert found["objectives"] == asked.get("objectives", "accuracy,latency").split(",")
        assert found["best"]["accuracy"] == max(table.accuracy[table.row(one)] for one in own)
    before = len(looked_up)
    again = search(settings(path, budget_ms=4.0), False, folder, "", Silent())
    assert len(looked_up) == before and again.json()["evaluations"] >= 25, "the first question again"


def test_with_three_objectives_front_and_hypervolume_are_of_three(path, tmp_path, instant_disk):
    table = tabular.read(path)
    result = search(settings(path, 100.0, trials=table.size, objectives="accuracy,latency,size"), False, tmp_path / "run", "", Silent())
    figures = np.column_stack([-table.accuracy, table.latency_ms, table.size_mb])
    whole = {int(row) + 2 for row in np.flatnonzero(non_dominated(figures))}
    found = result.json()
    lines = {row["line"] for row in found["front"]}
    assert len(lines) > len(search(settings(path, 100.0), False, tmp_path / "two", "", Silent()).front())
    assert sorted(map(tuple, figures[[line - 2 for line in lines]])) == sorted(map(tuple, figures[[line - 2 for line in whole]]))
    assert found["hypervolume_reference"] == {
        "accuracy": table.accuracy.min(),
        "latency_ms": table.latency_ms.max(),
        "size_mb": table.size_mb.max(),
    }
    assert found["hypervolume"] == pytest.approx(hypervolume(figures, (-table.accuracy.min(), *figures[:, 1:].max(axis=0))))


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"objectives": "accuracy,speed"}, UnknownNameError, "no objective is named 'speed'"),
        ({"objectives": "latency,size"}, ObjectivesError, "give accuracy and at least one of"),
        ({"objectives": "accuracy,energy"}, DataError, "no column for energy"),
        ({"max_macs": 1e6}, DataError, "cannot be searched with a limit on macs"),
        ({"warm_start": "/no/such/run"}, StudyError, "holds no run"),
    ],
)
def test_what_the_table_cannot_answer_is_said_before_anything_begins(path, tmp_path, asked, error, message):
    with pytest.raises(error, match=message):
        search(settings(path, **asked), False, tmp_path / "run", "", Silent())
    assert not (tmp_path / "run").exists()


def test_warm_started_from_a_run_in_the_same_table_it_knows_what_that_knew(path, tmp_path, instant_disk, looked_up):
    search(settings(path), False, tmp_path / "first", "", Silent())
    before = set(looked_up)
    warm = settings(path, 5.0, trials=10, warm_start=str(tmp_path / "first"))
    found = search(warm, False, tmp_path / "second", "", Silent()).json()
    assert (found["evaluations"], found["learned"]) == (10, 25) and len(set(looked_up) - before) == 10 == len(looked_up) - 25
    assert search(warm, False, tmp_path / "second", "", Silent()).json() == found and len(looked_up) == 35
    small = write_table(tmp_path / "other.csv", seed=5)
    with pytest.raises(StudyError, match=r"searched tabular@.*, this run searches tabular@"):
        search(settings(small, warm_start=str(tmp_path / "first")), False, tmp_path / "third", "", Silent())


def test_a_copy_of_the_table_is_the_same_table_whatever_its_path_and_the_seed(path, tmp_path, instant_disk, looked_up):
    search(settings(path), False, tmp_path / "first", "", Silent())
    copy = tmp_path / "moved.csv"
    copy.write_bytes(path.read_bytes())
    warm = search(settings(copy, seed=2, trials=3, warm_start=str(tmp_path / "first")), False, tmp_path / "second", "", Silent()).json()
    assert (warm["evaluations"], warm["learned"], len(looked_up)) == (3, 25, 28)
    on = search(settings(copy, trials=26), False, tmp_path / "first", "", Silent()).json()
    assert on["evaluations"] == 26 and len(looked_up) == 29 and on["table"] == str(copy)
    with pytest.raises(StudyError, match=r"begun with other settings .*space was"):
        search(settings(write_table(tmp_path / "other.csv", seed=5)), False, tmp_path / "first", "", Silent())


def test_a_folder_of_a_table_is_refused_to_a_device(path, tmp_path, instant_disk):
    search(settings(path, trials=3), False, tmp_path / "run", "", Silent())
    folder = RunFolder(tmp_path / "run")
    device = RunSettings(device="jetson-nano", budget_ms=4)
    with pytest.raises(StudyError, match="device was 'table' and is now 'jetson-nano'"), folder.claim(named(device), False, named):
        pytest.fail("claimed")


@pytest.mark.parametrize("strategy", ["random", "nsga2", "predictor_guided"])
def test_the_few_rows_within_a_tight_budget_are_all_found(tmp_path, instant_disk, strategy):
    """Nine of 4,000 rows, of 65,000 combinations: genes at random hardly ever hit one."""
    rng = np.random.default_rng(0)
    cells = np.unique(rng.integers(4, size=(4000, 8)), axis=0)
    ms = 1 + cells @ np.linspace(0.5, 1.5, 8) + rng.random(len(cells)) / 100
    lines = [f"{','.join(map(str, row))},{50 + row.sum()},{one:.4f}" for row, one in zip(cells, ms, strict=True)]
    (tmp_path / "sparse.csv").write_text("\n".join(["a,b,c,d,e,f,g,h,accuracy,latency_ms", *lines]) + "\n")
    asked = settings(tmp_path / "sparse.csv", float(np.sort(ms.round(4))[8]), trials=50, strategy=strategy)
    found = search(asked, False, tmp_path / "run", "", Silent()).json()
    assert found["evaluations"] == found["rows_within_budget"] == 9


def test_where_all_rows_are_known_nothing_is_left_to_do(path, tmp_path, instant_disk):
    size = tabular.read(path).size
    search(settings(path, 100.0, trials=size), False, tmp_path / "first", "", Silent())
    warm = settings(path, 3.0, trials=50, warm_start=str(tmp_path / "first"))
    found = search(warm, False, tmp_path / "second", "", Silent()).json()
    assert found["evaluations"] == 0 and found["learned"] == found["rows_within_budget"]


def test_it_can_be_watched(path, tmp_path, instant_disk):
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    search(settings(path, trials=5), False, tmp_path / "run", "", Silent(), url)
    assert optuna.get_all_study_names(storage=url) == ["run"]
    assert len(optuna.load_study(study_name="run", storage=url).trials) == 5


def test_models_are_not_looked_for(path, tmp_path, instant_disk):
    search(settings(path, trials=5), False, tmp_path / "run", "", Silent())
    with pytest.raises(StudyError, match=r"holds a search in a table, .* its answer is .*front\.json"):
        conclude_again(tmp_path / "run")


class Said(Silent):
    """Keeps what it was told."""

    def __init__(self):
        self.lines = []

    def say(self, sentence):
        self.lines.append(sentence)


def test_what_the_table_costs_is_said_before_it_is_searched(path, tmp_path, instant_disk):
    table, display = tabular.read(path), Said()
    result = search(settings(path, max_size_mb=4.5, trials=5), False, tmp_path / "run", "", display)
    title, latency, size, last = display.lines
    assert title.startswith(f"small.csv, {table.size} rows of 5 genes")
    ends = (table.latency_ms.min(), np.median(table.latency_ms), table.latency_ms.max())
    assert latency == f"  latency: {', '.join(f'{one:.2f} ms' for one in ends)}" and size.startswith("  model file: ")
    within = (table.latency_ms <= 4.0) & (table.size_mb <= 4.5)
    assert f"{within.mean():.1%} of all {table.size}; what binds most is the limit of 4.50 MB on disk" in last
    found = result.found(RunFolder(tmp_path / "run"))
    assert found.survey.share == within.mean() and found.survey.binding == "size" and found.remarks == ()
    search(settings(path, 100.0, trials=5), False, tmp_path / "loose", "", loose := Said())
    assert "The budget of 100.00 ms limits nothing: every row" in loose.lines[-1]


def test_the_report_knows_the_true_front_and_how_much_of_it_was_reached(path, tmp_path, instant_disk):
    table = tabular.read(path)
    result = search(settings(path, trials=10), False, tmp_path / "run", "the command", Silent())
    found = result.found(RunFolder(tmp_path / "run"))
    fits = table.latency_ms <= 4.0
    figures = np.column_stack([-table.accuracy, table.latency_ms])[fits]
    truth = sorted((-accuracy, ms) for accuracy, ms in figures[non_dominated(figures)])
    assert found.truth.front == tuple(truth) and found.truth.best == table.accuracy[fits].max() and found.truth.within == fits.sum()
    whole = hypervolume(figures, (-table.accuracy.min(), 4.0))
    assert found.reached() == pytest.approx(result.json()["hypervolume"] / whole) and found.progress()[-1][0] == 10
    told = result.json()
    assert [one.name for one in found.front] == [f"line {row['line']}" for row in told["front"]]
    assert found.best.worth == told["best"]["accuracy"] and found.command == "the command"
    everything = search(settings(path, trials=1000), False, tmp_path / "all", "", Silent()).found(RunFolder(tmp_path / "all"))
    assert everything.reached() == pytest.approx(1.0) and {one.worth for one in everything.front} == {worth for worth, _ in truth}


def test_a_report_is_written_and_written_again_from_the_folder_alone(path, tmp_path):
    copy, run = tmp_path / "table.csv", tmp_path / "run"
    copy.write_text(path.read_text())
    asked = ("--space", f"tabular:{copy}", "--budget", "4ms", "--trials", 12, "--strategy", "random", "--out", run)
    shown = command(*asked).stdout
    assert "best of 12 evaluated within the budget" in shown and "report.html" in shown
    page, told = (run / "report.html").read_text(), (run / "front.json").read_text()
    (run / "report.html").unlink()
    again = [sys.executable, "-m", "nas.report", str(run)]
    printed = subprocess.run([*again, "--json"], capture_output=True, text=True, timeout=120, check=True).stdout
    assert (run / "report.html").read_text() == page and json.loads(printed) == json.loads(told)
    copy.write_text(path.read_text() + "2,3,1,2,9,99,1,1\n")
    done = subprocess.run(again, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and "put the table of then in its place" in " ".join(done.stderr.split())


def test_a_search_that_has_evaluated_nothing_has_no_report(path, tmp_path, instant_disk, monkeypatch):
    monkeypatch.setattr(tabular.Table, "evaluation", lambda self, one: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        search(settings(path, trials=5), False, tmp_path / "run", "", Silent())
    with pytest.raises(StudyError, match=r"has evaluated nothing within 4\.00 ms yet"):
        conclude(tmp_path / "run")
