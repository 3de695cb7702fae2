"""Which version of a pick is recommended."""

from dataclasses import replace

import pytest

from nas.core.budget import Budget
from nas.core.device import RuntimeTarget
from nas.core.latency import Interval, LatencyEstimate
from nas.core.result import Step
from nas.finishing import recommend

TARGET = RuntimeTarget("abacus", "beads", "1", "fp32", 1)


def step(name, accuracy, ms, size_mb=0.5, memory_mb=0.2, power_w=None):
    target = replace(TARGET, precision="fp32" if name == "pruned" else name)
    latency = ms and LatencyEstimate(Interval(ms, 0.9 * ms, 1.1 * ms), (), "estimated", 1.0, 0.9, target)
    return Step(name, f"models/{name}.onnx", accuracy, accuracy, latency, "", 1000, 100, size_mb, 1.0, 1e-6, memory_mb, power_w)


FP32, PRUNED, INT8 = step("fp32", 0.9, 8.0, 4.0), step("pruned", 0.895, 6.0, 3.0), step("int8", 0.89, 7.0, 1.0)


@pytest.mark.parametrize(
    ("steps", "budget", "name"),
    [
        ([FP32, PRUNED, INT8], Budget(20.0), "pruned"),
        ([FP32, PRUNED, INT8], Budget(20.0, size_mb=2.0), "int8"),
        ([FP32, step("pruned", 0.8, 6.0), INT8], Budget(20.0), "int8"),
        ([FP32, step("pruned", 0.8, 6.0, 1.0), step("int8", 0.7, 5.0, 0.5)], Budget(20.0, size_mb=2.0), "pruned"),
        ([FP32, step("fp16", 0.9, None, 2.0)], Budget(20.0), "fp32"),
        ([FP32, step("fp16", 0.89, None, 2.0)], Budget(20.0, size_mb=2.0), "fp16"),
        ([FP32, step("fp16", 0.89, None, 2.0)], Budget(5.0, size_mb=2.0), "fp32"),
        ([FP32, PRUNED], Budget(1.0), "pruned"),
        ([FP32, step("fp16", 0.9, 7.9, 2.0, 0.1)], Budget(20.0, memory_mb=0.1), "fp16"),
        ([step("fp32", 0.9, 5.0, power_w=5.0), step("int8", 0.9, 9.0)], Budget(20.0, energy_mj=30.0), "fp32"),
    ],
    ids=[
        "fastest within a point",
        "the one that is small enough",
        "pruned loses too much",
        "of those that fit the most accurate",
        "no latency",
        "the one that is small enough and hardly slower",
        "none fits",
        "all too slow",
        "memory",
        "energy not known",
    ],
)
def test_recommended(steps, budget, name):
    assert recommend(steps, budget, "fp32") == name


@pytest.mark.parametrize(
    ("steps", "budget", "name"),
    [
        ([FP32, PRUNED, INT8], Budget(20.0), "int8"),
        ([step("fp32", 0.9, None), step("pruned", 0.9, None), INT8], Budget(20.0), "int8"),
        ([FP32, PRUNED, INT8], Budget(7.0), "pruned"),
        ([step("fp32", 0.9, None), step("pruned", 0.9, None)], Budget(20.0), "fp32"),
        ([step("fp32", 0.9, None), INT8], Budget(1.0), "int8"),
    ],
    ids=["though pruned is faster", "alone of known latency", "beyond the budget", "it could not be made", "all too slow"],
)
def test_the_precision_that_was_asked_for_leads(steps, budget, name):
    assert recommend(steps, budget, "int8") == name
