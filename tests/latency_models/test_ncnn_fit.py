"""Layers and times of benchncnn, and the targets that were fitted to them."""

import csv
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
    assert result["left_out_of_vulkan"] == importlib.import_module("experiments.fit_ncnn").LEFT_OUT, "the results are of another fit"
    spared = next(each.left_out for each in hardware_profiles.load("jetson-nano").targets if each.target.runtime == "ncnn-vulkan")
    assert spared.networks == tuple(result["left_out_of_vulkan"])
    assert (spared.mape_percent, spared.rows) == (every["leave_one_out_mape_percent"], every["networks"])


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
    for took in ("0", "-1", "nan"):
        (tmp_path / "times.csv").write_text(TIMES + f"board,,8,1,0,-1,1,net,{took},1.0,1.0,1\n")
        with pytest.raises(DataError, match=f"line 2: net took {took} ms; a latency is above zero"):
            ncnn_benchmark.read_timings(tmp_path / "times.csv")
    (tmp_path / "layers.csv").write_text(LAYERS + 2 * "net,in,Input,other,,,,,,,,,,0,0,0,3072,\n")
    with pytest.raises(DataError, match=r"line 3: layer in of net is there already \(.*line 2\)"):
        ncnn_benchmark.read_networks(tmp_path / "layers.csv")


README = """benchncnn can be used to test neural network inference performance

### A board (Cortex-A53 1.4GHz x 4)
```
pi@board:~/ncnn/build/benchmark $ ./benchncnn 8 4 0
loop_count = 8
num_threads = 4
powersave = 2
          squeezenet  min =   80.00  max =   90.00  avg =   85.00
     squeezenet_int8  min =   60.00  max =   61.00  avg =   60.50

[0 Mali-T720]  queueC=0[1]  queueG=0[1]  queueT=0[1]
loop_count = 4
num_threads = 1
powersave = 0
gpu_device = 0
cooling_down = 1
          squeezenet  min =   20.00  max =   21.00  avg =   20.50
       mobilenet-ssd  min =   50.00  max =   51.00  avg =   50.50
```
### Another board
```
loop_count = 8
num_threads = 1
powersave = 0
gpu_device = -1
cooling_down = 0
           mobilenet  min =    9.50  max =   10.00  avg =    9.75
           mobilenet  min =    9.25  max =   10.00  avg =    9.75
```
"""


def test_the_readme_itself_is_read(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(README)
    board = "A board (Cortex-A53 1.4GHz x 4)"
    assert ncnn_benchmark.read_timings(path) == (
        ncnn_benchmark.Timing(board, "squeezenet", 4, 2, False, 80.0),
        ncnn_benchmark.Timing(board, "squeezenet", 1, 0, True, 20.0),
        ncnn_benchmark.Timing(board, "mobilenet_ssd", 1, 0, True, 50.0),
        ncnn_benchmark.Timing("Another board", "mobilenet", 1, 0, False, 9.25),
    )


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("80.00 ", "-80.00 ", "line 9: squeezenet took -80.00 ms"),
        ("80.00 ", "nan ", "line 9: squeezenet took nan ms"),
        ("### A board", "A board", "line 9: no heading such as '### NVIDIA Jetson Nano' says which board"),
        ("num_threads = 4\n", "", "line 8: not a row of benchncnn .*num_threads"),
        ("min =", "least", "has no fp32 times of benchncnn"),
    ],
)
def test_a_damaged_readme_is_named(tmp_path, old, new, complaint):
    path = tmp_path / "README.md"
    path.write_text(README.replace(old, new))
    with pytest.raises(DataError, match=complaint):
        ncnn_benchmark.read_timings(path)


def test_the_csv_written_as_a_readme_says_the_same(tmp_path, timings):
    rows = list(csv.DictReader(shared_data.path("latency/ncnn_benchmark.csv").read_text().splitlines()))
    lines, last = [], None
    for row in rows:
        names = ("loop_count", "num_threads", "powersave", "gpu_device", "cooling_down")
        run = (row["board"], *(row[name] for name in names))
        if run != last:
            lines += [f"### {row['board']}", "```", *(f"{name} = {row[name]}" for name in names if row[name])]
        lines.append(f"{row['net']:>20}  min = {float(row['min_ms']):7.2f}  max = {row['max_ms']:>7}  avg = {row['avg_ms']:>7}")
        last = run
    (tmp_path / "README.md").write_text("\n".join(lines))
    assert ncnn_benchmark.read_timings(tmp_path / "README.md") == timings
