"""Which version of a pick is recommended, and as what files it is shipped."""

import importlib.util
from dataclasses import replace

import pytest
import torch

import search_spaces
from nas import runtimes, tuning
from nas.choosing import recommend
from nas.core.budget import Budget
from nas.core.device import RuntimeTarget
from nas.core.errors import ExportError
from nas.core.latency import Interval, LatencyEstimate
from nas.core.result import Step
from nas.data import ImageData, Split
from nas.finishing import Finisher
from nas.network import Network
from nas.run_folder import RunFolder

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
        ([FP32, step("pruned", 0.895, 7.9)], Budget(20.0), "fp32"),
        ([FP32, step("pruned", 0.895, 7.5)], Budget(20.0), "pruned"),
        ([FP32, step("pruned", 0.901, 8.0), step("int8", 0.9, 9.0)], Budget(20.0), "fp32"),
        ([FP32, step("pruned", 0.895, 7.9)], Budget(8.75), "pruned"),
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
        "half a point for a hundredth of the time",
        "half a point for a sixteenth of it",
        "fp32 leads ties",
        "fp32 is too slow",
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


SPACE = search_spaces.load("mobile_shuffle_32")
ARCHITECTURE = SPACE.smallest()


def finisher(folder, runtime, compressors=()):
    """One that has a few random images, and times nothing."""
    folder = RunFolder(folder)
    torch.manual_seed(0)
    networks = {name: Network(SPACE.network(ARCHITECTURE, 1, 10)).eval() for name in ("fp32", "pruned")}
    folder.tuned(ARCHITECTURE.id).parent.mkdir()
    tuning.write(folder.tuned(ARCHITECTURE.id), networks, ["a note"])
    split = Split(torch.randint(0, 256, (12, 1, 28, 28), dtype=torch.uint8), torch.arange(12) % 10)
    data = ImageData("made up", tuple("abcdefghij"), split, split, split, (0.5,), (0.25,), "0")
    asked = []

    def latency(precision, path, spec):
        asked.append(path)
        return None, "nobody timed it"

    target = RuntimeTarget("board", runtime, "1", "fp32", 1)
    return Finisher(SPACE, data, data, compressors, target, 17, latency, lambda target: None, Budget(1.0), folder), asked


@pytest.mark.parametrize("runtime", ["onnxruntime", "onnxruntime-web", "tensorrt", "ncnn"])
def test_a_pick_is_shipped_as_onnx(tmp_path, runtime):
    given, asked = finisher(tmp_path, runtime)
    pick = given.finish(ARCHITECTURE, 0.5)
    names = [f"models/{ARCHITECTURE.id}-{step}.onnx" for step in ("fp32", "pruned")]
    assert [step.model for step in pick.steps] == names == [str(path.relative_to(tmp_path)) for path in asked]
    assert all(step.onnx == "" for step in pick.steps) and pick.notes == ("a note",)
    assert sorted(tmp_path.glob("models/*")) == sorted(tmp_path / name for name in names)


@pytest.mark.parametrize("runtime", ["litert", "tflite"])
def test_a_pick_for_litert_is_verified_timed_and_shipped_as_tflite_too(tmp_path, runtime):
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("the package ai-edge-litert is not installed (pip install ai-edge-litert)")
    given, asked = finisher(tmp_path, runtime, ("int8_static",))
    pick = given.finish(ARCHITECTURE, 0.5)
    steps = {step.name: step for step in pick.steps}
    for name in ("fp32", "pruned"):
        assert steps[name].model == f"models/{ARCHITECTURE.id}-{name}.tflite"
        assert steps[name].onnx == f"models/{ARCHITECTURE.id}-{name}.onnx"
        assert (tmp_path / steps[name].onnx).exists() and tmp_path / steps[name].model in asked
        assert steps[name].size_mb == runtimes.size_mb(tmp_path / steps[name].model)
        assert steps[name].agreement == 1.0 and 0 <= steps[name].max_difference < 1e-4
    for step in pick.steps[2:]:
        assert step.model.endswith("int8.onnx") and "the int8 version is an ONNX file: nothing here writes it for" in pick.notes[-1]


def test_a_file_that_computes_something_else_is_not_shipped(tmp_path, monkeypatch):
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("the package ai-edge-litert is not installed (pip install ai-edge-litert)")
    given, _ = finisher(tmp_path, "litert")
    own = runtimes.load("litert")
    wrong = replace(own, run=lambda path, images, threads, batch: own.run(path, images, threads, batch) + 0.1)
    monkeypatch.setattr(runtimes, "of_files", lambda name: wrong)
    with pytest.raises(ExportError, match=r"-fp32\.tflite disagrees with the network"):
        given.finish(ARCHITECTURE, 0.5)
