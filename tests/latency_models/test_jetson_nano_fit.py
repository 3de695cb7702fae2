"""The figures of the Jetson Nano, recomputed from the measurements: slow only in reading 12,534 networks (3 s)."""

import importlib

import numpy as np
import pytest

import hardware_profiles
import latency_models
from latency_models import fitting
from latency_models.importers import jetson_nano_stacks
from nas.core.errors import DataError
from tests import shared_data

CSV = "latency/jetson_nano_tensorrt_fp32_synthetic.csv"
HEADER = "batch,model,layers,filters,kernels,input_hw,depthwise_separable,macs,latency_ms_100runs,latency_ms_60s\n"


@pytest.fixture(scope="module")
def stacks():
    return jetson_nano_stacks.read(shared_data.path(CSV))


@pytest.fixture(scope="module")
def experiment():
    return importlib.import_module("experiments.fit_jetson_nano")


def test_held_out_error_and_coverage_of_the_interval(stacks, experiment):
    profile = hardware_profiles.load("jetson-nano")
    model, target = latency_models.load(profile), profile.targets[0]
    unseen = [stack for stack in stacks if experiment.part(stack) == "error"]
    rows, truth = fitting.amounts(experiment.FORM, experiment.rows_of(unseen)), np.array([stack.latency_ms for stack in unseen])
    predicted = rows @ np.array([model.overhead_ms, *(model.coefficients[name] for name in experiment.FORM.coefficients)])
    error = 100 * np.abs(predicted / truth - 1)
    assert error.mean() == pytest.approx(target.error.mape_percent, abs=0.01) and error.mean() <= 5
    assert error[truth < 10].mean() <= 5 and len(unseen) == target.error.rows
    bounds = [model.overhead, *(model.operator(operator).interval for operator in unseen[0].operators)]
    assert sum(part.ms for part in bounds) == pytest.approx(predicted[0])
    inside = (truth >= predicted * model.factors.low) & (truth <= predicted * model.factors.high)
    assert inside.mean() >= 0.93


@pytest.mark.slow
def test_the_committed_coefficients_are_those_of_the_fit(stacks, experiment):
    found = experiment.coefficients([stack for stack in stacks if experiment.part(stack) == "fit"])
    committed = hardware_profiles.load("jetson-nano").targets[0].parameters["coefficients"]
    assert found == pytest.approx([committed[name] for name in experiment.NAMES], rel=1e-3, abs=1e-6)


def test_the_three_parts_share_no_network(stacks, experiment):
    parts = {name: {stack.name for stack in stacks if experiment.part(stack) == name} for name in ("fit", "interval", "error")}
    assert sum(map(len, parts.values())) == len(stacks) == 12_534
    assert 0.55 < len(parts["fit"]) / len(stacks) < 0.65


def test_layers_and_counts_of_a_row(tmp_path):
    file = tmp_path / "stacks.csv"
    file.write_text(HEADER + "made up,net,6,448,3-3-3-3-3-3,10,1,103446210,7.0,3.5\n")
    (stack,) = jetson_nano_stacks.read(file)
    assert [operator.kind for operator in stack.operators] == ["depthwise", "pointwise"] * 6 + ["linear"]
    assert stack.latency_ms == 3.5 and stack.depthwise_separable and stack.operators[-1].in_channels == 448 * 100


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("b,net,1,64,3,10,0,12345,1.0,1.0", r"line 2: the layers of net amount to 243210 MACs, the file says 12345"),
        ("b,net,1,sixty,3,10,0,12345,1.0,1.0", "line 2: not a row of measured stacks"),
        ("b,net", "line 2: the row has more or fewer cells"),
        ("b,net,1,64,3,10,0,243210,1.0,-1", "line 2: net took -1 ms; a latency is above zero"),
        ("b,net,1,64,3,10,0,243210,1.0,nan", "line 2: net took nan ms"),
        ("b,net,1,64,3,10,0,243210,1.0,1\nb,net,1,64,3,10,0,243210,1.0,1", r"line 3: net is there already \(.*line 2\)"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, row, complaint):
    (tmp_path / "stacks.csv").write_text(HEADER + row + "\n")
    with pytest.raises(DataError, match=complaint):
        jetson_nano_stacks.read(tmp_path / "stacks.csv")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        jetson_nano_stacks.read(tmp_path / "none.csv")


@pytest.mark.parametrize("content", [HEADER, ""])
def test_a_file_without_rows_is_refused(tmp_path, content):
    (tmp_path / "stacks.csv").write_text(content)
    with pytest.raises(DataError, match=r"stacks\.csv holds no measured network"):
        jetson_nano_stacks.read(tmp_path / "stacks.csv")
