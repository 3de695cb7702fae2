"""The figures of the Jetson Nano, recomputed from the measurements: slow only in reading 12,534 networks (3 s)."""

import importlib.util

import numpy as np
import pytest

import hardware_profiles
import latency_models
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
    file = hardware_profiles.FOLDER.parent / "experiments" / "fit_jetson_nano.py"
    spec = importlib.util.spec_from_file_location("fit_jetson_nano", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_held_out_error_and_coverage_of_the_interval(stacks, experiment):
    profile = hardware_profiles.load("jetson-nano")
    model = latency_models.load(profile)
    unseen = [stack for stack in stacks if experiment.part(stack) == "error"]
    rows, truth = experiment.amounts(unseen), np.array([stack.latency_ms for stack in unseen])
    predicted = rows @ np.array([model.overhead_ms, *(model.coefficients[name] for name in experiment.COEFFICIENTS)])
    error = 100 * np.abs(predicted / truth - 1)
    assert error.mean() == pytest.approx(profile.targets[0].error.mape_percent, abs=0.01) and error.mean() <= 6
    assert error[truth < 10].mean() <= 6 and len(unseen) == profile.targets[0].error.rows
    bounds = [model.overhead, *(model.kernel(operator).interval for operator in unseen[0].operators)]
    assert sum(part.ms for part in bounds) == pytest.approx(predicted[0])
    inside = (truth >= predicted * model.factors.low) & (truth <= predicted * model.factors.high)
    assert inside.mean() >= 0.93


def test_the_three_parts_share_no_network(stacks, experiment):
    parts = {name: {stack.name for stack in stacks if experiment.part(stack) == name} for name in ("fit", "interval", "error")}
    assert sum(map(len, parts.values())) == len(stacks) == 12_534
    assert 0.55 < len(parts["fit"]) / len(stacks) < 0.65


def test_the_fit_finds_coefficients_that_it_is_given(experiment):
    random = np.random.default_rng(0)
    rows, truth = random.uniform(0, 3, (200, 4)), np.array([0.5, 2.0, 0.0, 0.7])
    assert experiment.fit(rows, rows @ truth, np.zeros(4)) == pytest.approx(truth, abs=1e-6)


def test_conformal_factors_hold_on_new_draws(experiment):
    random = np.random.default_rng(1)
    ratios = random.lognormal(0, 0.2, (2, 4000))
    low, high = experiment.conformal_factors(np.ones(4000), ratios[0])
    assert ((ratios[1] >= low) & (ratios[1] <= high)).mean() == pytest.approx(0.95, abs=0.015)


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
        ("b,net", "line 2: not a row of measured stacks"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, row, complaint):
    (tmp_path / "stacks.csv").write_text(HEADER + row + "\n")
    with pytest.raises(DataError, match=complaint):
        jetson_nano_stacks.read(tmp_path / "stacks.csv")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        jetson_nano_stacks.read(tmp_path / "none.csv")
