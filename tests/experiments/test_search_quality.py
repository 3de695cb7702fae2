"""The benchmark of searches: runs that go on, several processes, and a plot that needs no network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def benchmark(folder: Path, *more: str) -> dict:
    """The result file after the benchmark was asked for three searches of few evaluations."""
    result = folder / "quality.json"
    asked = [
        "--data",
        "none.csv",
        "--problems",
        "deceptive",
        "--strategies",
        "random",
        "local_search",
        "optuna nsga2",
        "--evaluations",
        "50",
    ]
    script = ROOT / "experiments" / "benchmarks" / "search_quality.py"
    given = [sys.executable, str(script), *asked, "--seeds", "2", "--result", str(result), *more]
    done = subprocess.run(given, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "share of the true front's hypervolume" in done.stdout
    return json.loads(result.read_text())


@pytest.mark.slow
def test_processes_find_what_one_finds_and_what_is_done_is_not_done_again(tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = benchmark(tmp_path / "one"), benchmark(tmp_path / "two", "--jobs", "2")

    def shares(found: dict) -> dict:
        return {key: run["shares"] for key, run in found["runs"].items()}

    assert len(one["runs"]) == 6 and shares(one) == shares(two)
    assert benchmark(tmp_path / "two", "--jobs", "2")["runs"] == two["runs"], "seconds too: nothing was done again"
    page, picture = (tmp_path / "two" / "quality.html").read_text(), (tmp_path / "two" / "quality.png").read_bytes()
    assert "<script src=" not in page and "local_search" in page and picture.startswith(b"\x89PNG")


def test_every_search_has_a_line_and_the_default_lies_on_top():
    from experiments.benchmarks.search_quality_plot import BOLD, LEAST, lines

    def found(middle: float) -> dict:
        return {"seeds": 3, "shares": {"50": [middle - 0.1, middle, middle + 0.1], "100": [1.0, 1.0, 1.0]}}

    front = {"one": {BOLD: found(0.8), "other": found(0.6), "random": found(0.5), "tpe": found(0.4)}, "two": {"tpe": found(0.7)}}
    drawn = lines(front, "one", ["other", "absent"])
    assert [line.name for line in drawn] == ["random", "tpe", "other", BOLD] and len({line.mark for line in drawn[:2]}) == 2
    assert drawn[-1].width > drawn[-2].width > drawn[0].width and [line.dotted for line in drawn] == [False, False, True, False]
    for line in drawn:
        assert line.points == (50, 100) and line.low[0] < line.middle[0] < line.high[0]
        assert line.middle[1] == LEAST, "nothing is missing, and a logarithm knows no zero"
    (alone,) = lines(front, "two", ["other", "absent"])
    assert (alone.colour, alone.mark) == (drawn[1].colour, drawn[1].mark), "the same look in every panel"
