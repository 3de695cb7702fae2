"""Blocks beside those of spaces: what they cover, and that every runtime can be given them."""

import importlib.util

import onnxruntime
import pytest

from nas.core.device import RuntimeTarget
from nas.measuring import files, probes
from search_spaces.blocks import operators

PROBES = probes.blocks()
SMALLEST = {}
for _spec in sorted(PROBES, key=lambda spec: spec.in_height * spec.in_width * spec.in_channels):
    SMALLEST.setdefault((_spec.kind, _spec.kernel, _spec.stride, _spec.activation, _spec.se), _spec)


def test_they_are_different_and_of_every_kind_that_networks_are_made_of():
    assert len(set(PROBES)) == len(PROBES) and 60 <= len(PROBES) <= 130
    every = [operator for spec in PROBES for operator in operators(spec)]
    assert {one.kind for one in every} >= {"dense", "pointwise", "depthwise", "linear", "pool", "window_pool", "add", "se_scale", "shuffle"}
    assert {one.activation for one in every} >= {"", "relu", "relu6", "hard_swish", "swish"}
    for kind in ("dense", "pointwise", "depthwise"):
        sizes = [one.in_height for one in every if one.kind == kind]
        assert min(sizes) <= 8 and max(sizes) >= 112
        assert any(one.out_channels >= 512 for one in every if one.kind == kind)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnxruntime_can_be_given_each(tmp_path, precision):
    for spec in SMALLEST.values():
        files.write(spec, tmp_path / "probe.onnx", RuntimeTarget("local", "onnxruntime", "1", precision, 1), 17)
        onnxruntime.InferenceSession(str(tmp_path / "probe.onnx"), providers=["CPUExecutionProvider"])


@pytest.mark.slow
def test_litert_can_be_given_each(tmp_path):
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("the package ai-edge-litert is not installed (pip install ai-edge-litert)")
    from ai_edge_litert.interpreter import Interpreter

    for spec in SMALLEST.values():
        files.write(spec, tmp_path / "probe.tflite", RuntimeTarget("local", "litert", "1", "fp32", 1), 17)
        Interpreter(model_path=str(tmp_path / "probe.tflite")).allocate_tensors()
