"""A run's facts as one value: the front made anew, what is too slow named, and what was not measured said."""

from dataclasses import replace

import pytest

from nas.conclusion import Circumstances, conclude, environment
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.device import DeviceProfile, TargetProfile
from nas.core.evaluation import Evaluation
from nas.core.latency import Interval, LatencyEstimate
from nas.core.result import InputFormat, Pick, Step
from nas.problem import Problem
from nas.settings import RunSettings
from nas.study import Record
from tests.tiny import SPACE, Device

DEVICE = Device()
PROFILE = DeviceProfile(
    "abacus",
    "An abacus",
    ("fp32",),
    13,
    (),
    (TargetProfile(DEVICE.target, "estimated", "beads", {}, None, None),),
    "",
    "buy beads",
    "abacus.toml",
)
FORMAT = InputFormat(1, (0.5,), (0.25,), ("a", "b", "c"))
CIRCUMSTANCES = Circumstances("first", "python -m nas.search --device abacus", FORMAT, {"search": 1.5})
SMALL, MIDDLE, LARGE = SPACE.smallest(), SPACE.architecture([1, 0, 0, 0, 0, 0, 0, 0, 0]), SPACE.largest()


def problem(model=DEVICE, findings=()):
    settings = RunSettings(device="abacus", budget_ms=20, data="folder:x", seed=3)
    return Problem(settings, PROFILE, model, SPACE, Budget(20.0), 1, 3, findings)


def record(number, architecture, ms, accuracy, uncounted=()):
    evaluation = None if accuracy is None else Evaluation(accuracy, 1000 * number, 100, uncounted, 0.1)
    return Record(number, architecture, Costs(Interval(ms, 0.9 * ms, 1.1 * ms), 0.4, 0.1), 1000 * number, evaluation)


def latency(ms, origin="estimated"):
    return LatencyEstimate(Interval(ms, 0.9 * ms, 1.1 * ms), (), origin, 1.0, 0.9, DEVICE.target)


def step(name, accuracy, found):
    return Step(name, f"models/{name}.onnx", accuracy, accuracy - 0.01, found, "" if found else "no fp16 here", 1000, 100, 0.5, 1.0, 1e-6)


def pick(architecture: Architecture, *steps: Step):
    return Pick(architecture, SPACE.describe(architecture), 8, 0.8, steps, steps[-1].name, (), 2.0)


RECORDS = (
    record(1, SMALL, 5.0, 0.7, ("hardswish_", "add")),
    record(2, MIDDLE, 8.0, 0.6, ("mean",)),
    record(3, LARGE, 18.0, 0.9),
    record(4, SPACE.architecture([1, 1, 1, 0, 0, 1, 1, 0, 0]), 30.0, None),
)


def test_candidates_are_all_that_were_asked_about():
    found = conclude(problem(), RECORDS, (), CIRCUMSTANCES).candidates
    assert [one.id for one in found] == [one.architecture.id for one in RECORDS]
    assert [one.accuracy for one in found] == [0.7, 0.6, 0.9, None]
    assert [one.feasible for one in found] == [True, True, True, False]
    assert [one.on_front for one in found] == [True, False, True, False]
    assert [one.params for one in found] == [100, 100, 100, None]
    assert found[0].description == SPACE.describe(SMALL) and found[0].latency_high_ms == pytest.approx(5.5)


def test_a_candidate_is_feasible_by_its_upper_bound():
    assert not conclude(problem(), (record(1, SMALL, 19.0, 0.9),), (), CIRCUMSTANCES).candidates[0].feasible


def test_the_front_is_made_anew_from_all_versions():
    """Compression changes who is best: the pruned large network beats the small one as it was."""
    picks = (
        pick(SMALL, step("fp32", 0.80, latency(6.0)), step("int8", 0.79, latency(3.0))),
        pick(LARGE, step("fp32", 0.90, latency(18.0)), step("pruned", 0.85, latency(5.0)), step("fp16", 0.99, None)),
    )
    assert conclude(problem(), RECORDS, picks, CIRCUMSTANCES).front == ((SMALL.id, "int8"), (LARGE.id, "pruned"), (LARGE.id, "fp32"))


def test_the_recommended_version_is_kept_and_found_by_its_name():
    found = conclude(problem(), RECORDS, (pick(SMALL, step("fp32", 0.8, latency(6.0)), step("int8", 0.79, latency(3.0))),), CIRCUMSTANCES)
    assert found.picks[0].recommended == "int8"
    assert found.picks[0].step("int8").validation_accuracy == 0.79


def test_what_is_recommended_follows_from_the_budget_of_now():
    """When the pick was made the budget had room for fp32 alone to be recommended; now only int8 is within it."""
    made = replace(pick(SMALL, step("fp32", 0.8, latency(6.0)), step("int8", 0.7, latency(3.0))), recommended="fp32")
    tighter = replace(problem(), budget=Budget(4.0))
    assert conclude(problem(), RECORDS, (made,), CIRCUMSTANCES).picks[0].recommended == "fp32"
    assert conclude(tighter, RECORDS, (made,), CIRCUMSTANCES).picks[0].recommended == "int8"


def test_with_other_objectives_fronts_are_theirs():
    """The middle one is beaten in accuracy and latency, and by nobody in size."""
    asked = problem().settings.model_copy(update={"objectives": "accuracy,latency,size"})
    records = [replace(RECORDS[1], costs=replace(RECORDS[1].costs, size_mb=0.1)), RECORDS[0], RECORDS[2], RECORDS[3]]
    found = conclude(replace(problem(), settings=asked), records, (), CIRCUMSTANCES)
    assert {one.id for one in found.candidates if one.on_front} == {SMALL.id, MIDDLE.id, LARGE.id}
    assert found.objectives == ("accuracy", "latency", "size")
    small = replace(step("int8", 0.7, latency(7.0)), size_mb=0.1)
    picks = (pick(SMALL, step("fp32", 0.8, latency(6.0)), small),)
    assert conclude(replace(problem(), settings=asked), records, picks, CIRCUMSTANCES).front == ((SMALL.id, "fp32"), (SMALL.id, "int8"))
    assert conclude(problem(), records, picks, CIRCUMSTANCES).front == ((SMALL.id, "fp32"),)


def test_a_version_beyond_the_budget_is_a_finding_beside_those_of_the_problem():
    picks = (
        pick(SMALL, step("fp32", 0.8, latency(6.0))),
        pick(LARGE, step("fp32", 0.9, latency(19.0, "measured")), step("fp16", 0.9, None)),
    )
    found = conclude(problem(findings=("The budget is odd.",)), RECORDS, picks, CIRCUMSTANCES).findings
    assert found == (
        "The budget is odd.",
        f"{LARGE.id} fp32 takes up to 20.90 ms (measured), which is beyond the budget of 20.00 ms: do not ship this version.",
    )


def test_what_was_not_measured_is_said():
    said = conclude(problem(), RECORDS, (), CIRCUMSTANCES).not_measured
    assert said == (
        "No network of this run was timed on An abacus: latencies are estimated for abacus beads 1 fp32, 1 thread, "
        "batch 1. To better them: buy beads",
        "Energy: no power was measured on this device, so none is stated.",
        "Peak memory is predicted from the lifetimes of tensors, weights not included; it was not measured in this run.",
    )
    assert conclude(problem(Device(origin="measured")), RECORDS, (), CIRCUMSTANCES).not_measured == said[1:]


def test_operators_that_were_not_counted_are_named_once():
    assert conclude(problem(), RECORDS, (), CIRCUMSTANCES).uncounted_operators == ("add", "hardswish_", "mean")


def test_the_rest_is_passed_on():
    found = conclude(problem(), RECORDS, (), replace(CIRCUMSTANCES, name="second"))
    assert (found.name, found.data, found.seed, found.space, found.budget) == ("second", "folder:x", 3, SPACE.key, Budget(20.0))
    assert (found.command, found.input_format, found.seconds) == (CIRCUMSTANCES.command, FORMAT, {"search": 1.5})


def test_a_run_without_candidates_has_an_empty_front():
    found = conclude(problem(), (), (), CIRCUMSTANCES)
    assert found.candidates == () and found.front == () and found.findings == ()


def test_the_environment_says_versions_and_machine():
    found = environment()
    assert {"python", "torch", "optuna", "ray", "onnxruntime", "fvcore", "system", "processor"} <= found.keys()
    assert all(found.values())


def test_a_table_that_was_checked_after_an_upgrade_is_said_to_be():
    told = TargetProfile(DEVICE.target, "measured", "beads", {}, None, None, checked="measured with 1.17, checked later: fine")
    run = conclude(replace(problem(), device=replace(PROFILE, targets=(told,))), RECORDS, (), CIRCUMSTANCES)
    assert "The latency table was measured with 1.17, checked later: fine." in run.not_measured
    assert not any("checked" in each for each in conclude(problem(), RECORDS, (), CIRCUMSTANCES).not_measured)
