"""`pareto.json` and `pareto.csv` are interfaces: their keys, types and values stay what they are."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from nas.core.budget import Budget
from nas.core.result import RunResult
from nas.report import pareto_csv, pareto_json, write
from nas.report.pareto import environment_json
from tests.report.samples import LOCAL, sample, tiny

GOLDEN = Path(__file__).parent / "golden" / "pareto.json"
DOCUMENTED = {"id", "architecture", "accuracy", "latency_ms", "latency_low_ms", "latency_high_ms", "latency_origin"}
DOCUMENTED |= {"macs", "params", "size_mb", "steps", "models"}


def test_golden() -> None:
    """Whoever changes this file changes what others' scripts read: raise the schema number if a key goes or turns."""
    assert pareto_json(tiny()) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_survives_json() -> None:
    found = pareto_json(sample())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("result", [sample(), sample(LOCAL, 0.6)], ids=["jetson-nano", "local"])
def test_documented_keys_and_types(result: RunResult) -> None:
    found = pareto_json(result)
    assert found["schema"] == 1
    assert found["device"] == result.device.name
    assert found["budget"] == {"latency_ms": result.budget.latency_ms, "size_mb": None, "memory_mb": None, "energy_mj": None, "macs": None}
    assert len(found["picks"]) == 6
    for pick in found["picks"]:
        assert pick.keys() >= DOCUMENTED
        assert 0 <= pick["accuracy"] <= 1
        assert pick["latency_low_ms"] <= pick["latency_ms"] <= pick["latency_high_ms"]
        assert pick["latency_origin"] in ("measured", "calibrated", "estimated")
        assert isinstance(pick["macs"], int) and isinstance(pick["params"], int)
        assert pick["architecture"].keys() == {"space", "genes", "description", "resolution"}
        assert list(pick["models"]) == [step["name"] for step in pick["steps"]]
        assert all(path.endswith(".onnx") for path in pick["models"].values())


def test_headline_is_of_the_recommended_version() -> None:
    result = sample(LOCAL, 0.6)
    for pick in pareto_json(result)["picks"]:
        (step,) = [one for one in pick["steps"] if one["name"] == pick["model"]]
        assert pick["model"] == "int8" == pick["latency_of"]
        assert all(pick[key] == step[key] for key in step.keys() & DOCUMENTED)


def test_fp32_latency_stands_in_and_says_so() -> None:
    pick = pareto_json(sample())["picks"][0]
    steps = {step["name"]: step for step in pick["steps"]}
    assert pick["model"] == "fp16"
    assert steps["fp16"]["latency_ms"] is None and steps["fp16"]["within_budget"] is None
    assert steps["fp16"]["latency_note"] == "the profile of jetson-nano has no fp16 figures"
    assert pick["latency_ms"] == steps["fp32"]["latency_ms"]
    assert pick["latency_of"] == "fp32"
    assert pick["latency_note"].startswith("the latency shown is that of the fp32 version; that of fp16 is not known")


def test_no_latency_at_all_is_null_with_the_same_keys() -> None:
    result = sample()
    known = pareto_json(result)["picks"][0]
    blank = tuple(replace(p, steps=tuple(replace(s, latency=None, latency_note="never run") for s in p.steps)) for p in result.picks)
    found = pareto_json(replace(result, picks=blank))
    assert found["answer"] is None
    for pick in found["picks"]:
        assert pick.keys() == known.keys()
        assert pick["latency_ms"] is None and pick["latency_origin"] is None and pick["within_budget"] is None
        assert pick["latency_note"] == "never run"


def test_picks_are_ordered_from_fastest_to_slowest_whatever_the_input() -> None:
    result = sample()
    shuffled = replace(result, picks=result.picks[::-1])
    assert pareto_json(shuffled) == pareto_json(result)
    latencies = [pick["latency_ms"] for pick in pareto_json(result)["picks"]]
    assert latencies == sorted(latencies)


def test_answer_has_the_best_validation_accuracy_within_the_budget() -> None:
    result = sample(LOCAL, 0.6)
    fitting = [pick for pick in pareto_json(result)["picks"] if pick["within_budget"]]
    best = max(fitting, key=lambda pick: pick["validation_accuracy"])
    assert pareto_json(result)["answer"] == best["id"]
    tight = replace(result, budget=replace(result.budget, latency_ms=best["latency_high_ms"] * 0.999))
    assert pareto_json(tight)["answer"] not in (best["id"], None)


def test_csv_has_a_row_for_each_version_and_the_same_figures() -> None:
    result = sample()
    rows = list(csv.DictReader(io.StringIO(pareto_csv(result))))
    versions = [(pick, step) for pick in pareto_json(result)["picks"] for step in pick["steps"]]
    assert len(rows) == 18
    for row, (pick, step) in zip(rows, versions, strict=True):
        assert None not in row and None not in row.values()
        assert (row["pick"], row["step"]) == (pick["id"], step["name"])
        assert row["description"] == pick["architecture"]["description"]
        assert float(row["test_accuracy"]) == step["accuracy"]
        assert row["latency_ms"] == ("" if step["latency_ms"] is None else str(step["latency_ms"]))
        assert row["runtime"] == ("tensorrt" if step["latency_ms"] else "")
        assert row["recommended"] == str(step["name"] == pick["model"])


def test_csv_without_picks_keeps_its_header() -> None:
    header = pareto_csv(sample()).splitlines()[0]
    assert pareto_csv(replace(sample(), picks=(), front=())) == header + "\n"
    assert {"latency_ms", "size_mb", "resolution_px", "latency_origin"} <= set(header.split(","))


def test_environment() -> None:
    found = environment_json(sample())
    assert found["environment"]["torch"] == "2.13.0+cpu"
    assert found["seconds"]["search"] == 61.7
    assert found["seed"] == 0 and found["command"].startswith("python -m nas.search")


def test_write_leaves_four_whole_files_and_nothing_else(tmp_path: Path) -> None:
    result = sample()
    write(result, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["environment.json", "pareto.csv", "pareto.json", "report.html"]
    assert json.loads((tmp_path / "run" / "pareto.json").read_text(encoding="utf-8")) == pareto_json(result)
    assert (tmp_path / "run" / "pareto.csv").read_text(encoding="utf-8") == pareto_csv(result)


def test_a_figure_that_json_cannot_say_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    result = sample()
    first = result.picks[0]
    broken = replace(first, steps=(replace(first.steps[0], test_accuracy=math.nan), *first.steps[1:]))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(replace(result, picks=(broken, *result.picks[1:])), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_limit_counts_and_the_version_that_is_beyond_one_says_which() -> None:
    result = sample(LOCAL, 0.6)
    picks = tuple(replace(p, steps=tuple(replace(s, memory_mb=0.1, power_w=2.0) for s in p.steps)) for p in result.picks)
    wide = replace(result, picks=picks, budget=Budget(0.6, 100.0, 1.0, 10.0))
    assert pareto_json(wide)["answer"] == pareto_json(result)["answer"]
    for pick in pareto_json(wide)["picks"]:
        assert pick["energy_mj"] == pytest.approx(2.0 * pick["latency_ms"])
        assert pick["energy_high_mj"] == pytest.approx(2.0 * pick["latency_high_ms"])
        assert (pick["within_budget"], pick["beyond"]) == (True, []) or pick["beyond"] == ["latency"]
    tight = pareto_json(replace(wide, budget=Budget(0.6, 100.0, 0.05)))
    assert tight["answer"] is None and all("memory" in step["beyond"] for pick in tight["picks"] for step in pick["steps"])
    unknown = pareto_json(replace(result, budget=Budget(1000.0, energy_mj=10.0)))
    assert unknown["answer"] is None and {pick["within_budget"] for pick in unknown["picks"]} == {None}
