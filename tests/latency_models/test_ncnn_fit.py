"""Layers and times of benchncnn, and the targets that were fitted to them."""

import importlib
import json

import pytest

import hardware_profiles
from latency_models.importers import ncnn_benchmark
from nas.core.errors import DataError
from tests import shared_data

TIMES = "board,vulkan_device,loop_count,num_threads,powersave,gpu_device,cooling_down,net,min_ms,max_ms,avg_ms,readme_line\n"
LAYERS = "net,layer,type,kind,cin,cout,k,s,g,hin,win,hout,wout,macs,weights,in_elems,out_elems,act\n"


@pytest.fixture(scope="module")
def networks():
    return ncnn_benchmark.read_networks(shared_data.path("latency/ncnn_net_layers.csv"))


@pytest.fixture(scope="module")
def timings():
    return ncnn_benchmark.read_timings(shared_data.path("latency/ncnn_benchmark.csv"))


def test_published_counts_come_out(networks):
    macs = {name: sum(operator.macs for operator in operators) / 1e6 for name, operators in networks.items()}
    assert macs["mobilenet_v2"] == pytest.approx(314, abs=1) and macs["resnet18"] == pytest.approx(1827, abs=1)
    kinds = [operator.kind for operator in networks["shufflenet_v2"]]
    assert kinds.count("shuffle") == kinds.count("concat") == 16 and kinds.count("split") == 13
    scales = [operator for operator in networks["efficientnet_b0"] if operator.kind == "se_scale"]
    assert len(scales) == 16 and not any("int8" in name for name in networks)


def test_times_are_the_least_and_fp32(timings):
    nano = [t for t in timings if t.board == "NVIDIA Jetson Nano" and t.network == "mobilenet_v2"]
    assert {(t.threads, t.gpu): t.min_ms for t in nano} == {(1, False): 93.81, (4, False): 33.49, (1, True): 12.84, (4, True): 12.87}
    assert not any(t.network.endswith("int8") for t in timings)


@pytest.mark.slow
def test_vulkan_is_fitted_as_committed(networks, timings):
    experiment = importlib.import_module("experiments.fit_ncnn")
    rows = [r for r in experiment.graphics(timings, networks, "NVIDIA Jetson Nano") if r.name not in experiment.LEFT_OUT]
    found = experiment.fit_graphics(rows)
    target = next(t for t in hardware_profiles.load("jetson-nano").targets if t.target.runtime == "ncnn-vulkan")
    assert found.mape_percent == pytest.approx(target.error.mape_percent, abs=0.05) and found.mape_percent <= 9
    assert found.coefficients == pytest.approx(target.parameters["coefficients"], rel=1e-3, abs=1e-6)


def test_what_was_left_out_is_reported():
    root = hardware_profiles.FOLDER.parent
    result = json.loads((root / "experiments/results/ncnn_fit.json").read_text())
    seen, every = (result[f"NVIDIA Jetson Nano, Vulkan{more}"] for more in ("", ", nothing left out"))
    assert every["networks"] - seen["networks"] == len(result["left_out_of_vulkan"])
    assert every["leave_one_out_mape_percent"] > seen["leave_one_out_mape_percent"]


def test_layers_become_operators(tmp_path):
    file = tmp_path / "layers.csv"
    file.write_text(
        LAYERS
        + "net,in,Input,other,,,,,,,,,,0,0,0,3072,\n"
        + "net,a,Convolution,conv,3,8,3,2,1,32,32,16,16,55296,216,3072,2048,1\n"
        + "net,s,Split,other,,,,,,,,,,0,0,2048,4096,\n"
        + "net,b,ConvolutionDepthWise,dw,8,8,3,1,8,16,16,16,16,18432,72,2048,2048,\n"
        + "net,c,BinaryOp,other,,,,,,,,,,0,0,4096,2048,\n"
        + "net,d,HardSwish,other,,,,,,,,,,0,0,2048,2048,\n"
        + "net,e,Pooling,pool,,,,,,,,,,0,0,2048,8,\n"
        + "net_int8,a,Convolution,conv,3,8,3,2,1,32,32,16,16,1,216,3072,2048,1\n"
    )
    (operators,) = ncnn_benchmark.read_networks(file).values()
    assert [(o.kind, o.activation, o.in_channels, o.out_height) for o in operators] == [
        ("dense", "relu", 3, 16), ("depthwise", "", 8, 16), ("add", "", 8, 16), ("activation", "hard_swish", 8, 16), ("pool", "", 8, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("net,a,Convolution,conv,3,8,3,2,1,32,32,16,16,7,216,3072,2048,1", r"line 2: .*55296 MACs instead of 7"),
        ("net,a,Transformer,other,,,,,,,,,,0,0,3072,2048,", r"line 2: not a layer that is known .*Transformer"),
        ("net,a,Convolution,conv,three,8,3,2,1,32,32,16,16,7,216,3072,2048,1", r"line 2: not a layer that is known"),
    ],
)
def test_a_damaged_layer_is_named(tmp_path, row, complaint):
    (tmp_path / "layers.csv").write_text(LAYERS + row + "\n")
    with pytest.raises(DataError, match=complaint):
        ncnn_benchmark.read_networks(tmp_path / "layers.csv")


def test_a_damaged_time_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "times.csv").write_text(TIMES + "board,,8,one,0,-1,1,net,1.0,1.0,1.0,1\n")
    with pytest.raises(DataError, match="line 2: not a row of benchncnn"):
        ncnn_benchmark.read_timings(tmp_path / "times.csv")
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        ncnn_benchmark.read_timings(tmp_path / "none.csv")
