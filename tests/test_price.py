import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import hardware_profiles
import latency_models
from latency_models import onnx_graph
from nas import price
from nas.core.device import DeviceProfile
from nas.core.latency import BlockPrice, Interval
from tests import boards
from tests.tiny import Device

ROOT = Path(__file__).parents[1]
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SHUFFLENET, SQUEEZENET = LIGHT / "light_shufflenet.onnx", LIGHT / "light_squeezenet.onnx"


class Priced(Device):
    """A million MACs take a millisecond and other operators a tenth of one, which nobody measured."""

    def operator(self, operator):
        ms = operator.macs / 1e6 or 0.1
        return BlockPrice(Interval(ms, ms / 2, ms * 2), ms if operator.macs else 0.0)


def profile():
    return DeviceProfile("abacus", "An abacus", ("fp32",), 17, (), (), "", "measure it", "abacus.toml")


def of_file(network, precision="int8"):
    return dataclasses.replace(network, precision=precision)


def test_a_file_in_another_precision_is_told_what_prices_it_and_nothing_that_does_not(tmp_path):
    network = of_file(onnx_graph.read(SQUEEZENET))

    def said(device, model=None):
        model = model or latency_models.load(device).by_operator()
        return price.notes(price.price(network, model), model, device)[0]

    phone = hardware_profiles.load("pixel-1")
    assert said(phone) == "the file is int8, the price is of fp32: pixel-1 has no figures for int8"
    both = [boards.target("fp32"), boards.target("int8")]
    measured = hardware_profiles.load(boards.board(tmp_path, both, both))
    assert said(measured) == "the file is int8, the price is of fp32: pass --precision int8 --runtime onnxruntime --threads 1 for its own"
    assert latency_models.load(measured, "int8", "onnxruntime", 1).target.precision == "int8", "and that is what the advice gives"
    (tmp_path / "half").mkdir()
    half = hardware_profiles.load(boards.board(tmp_path / "half", both, both[:1]))
    assert said(half) == "the file is int8, the price is of fp32: int8 is not measured yet; run: measure int8"


def test_what_would_improve_a_price_is_the_command_of_its_target():
    nano = hardware_profiles.load("jetson-nano")
    for runtime, script in (("tensorrt", "fit_jetson_nano"), ("ncnn-vulkan", "fit_ncnn"), ("ncnn", "fit_ncnn")):
        model = latency_models.load(nano, runtime=runtime).by_operator()
        found = price.price(onnx_graph.read(SQUEEZENET), model)
        assert price.notes(found, model, nano)[-1].startswith(f"to improve it: python -m experiments.{script} ")


def with_unknown(path):
    """A copy of squeezenet in which the last pooling is something that nobody prices."""
    model = onnx.load(SQUEEZENET)
    pool = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    pool.op_type, pool.domain, pool.name = "Mystery", "example", "strange"
    model.opset_import.append(onnx.helper.make_opsetid("example", 1))
    onnx.save(model, path)
    return path


def test_a_price_is_the_overhead_and_the_sum_of_its_operators():
    network = onnx_graph.read(SHUFFLENET)
    found = price.price(network, Priced())
    assert found.total.ms == pytest.approx(found.overhead.ms + sum(line.interval.ms for line in found.lines))
    assert found.total.high_ms == pytest.approx(found.overhead.high_ms + sum(line.interval.high_ms for line in found.lines))
    assert [line.operator for line in found.lines] == list(network.operators) and found.origin == "estimated" == Priced().origin
    assert found.coverage == pytest.approx((0.5 + network.macs / 1e6) / found.total.ms)
    assert {line.covered for line in found.lines if line.operator.macs} == {True}
    said = price.notes(found, Priced(), profile())
    assert "extrapolated from other operators: activation, add, concat," in said[0] and said[-1] == "to improve it: measure it"


def test_what_has_no_price_makes_a_lower_bound(tmp_path):
    whole = price.price(onnx_graph.read(SQUEEZENET), Priced(origin="calibrated"))
    partial = price.price(onnx_graph.read(with_unknown(tmp_path / "model.onnx")), Priced(origin="calibrated"))
    assert whole.origin == "calibrated" and partial.origin == "estimated"
    assert partial.network.unknown[0] == "Mystery strange" and partial.coverage < whole.coverage and partial.total.ms < whole.total.ms
    facts = price.facts(partial, Priced(), profile(), tmp_path / "model.onnx")
    assert facts["unknown"][0] == "Mystery strange" and "this is a lower bound, and there is no upper one: Mystery" in facts["notes"][0]
    assert facts["high_ms"] is None and facts["latency_ms"] == partial.total.ms and facts["low_ms"] == partial.total.low_ms
    assert facts["unknown_work"][0] == {"name": "Mystery strange", "macs": None, "elements": None}, "nobody knows what it gives"
    assert {"latency_ms", "low_ms", "high_ms", "origin", "coverage", "device", "runtime", "precision", "threads"} <= set(facts)
    assert json.loads(json.dumps(facts)) == facts


def written(path, body, inputs="float[1,64,56,56] x", weights="float[64,64,1,1] w"):
    """The file `path` with the graph of a text in onnx's form; weights without numbers are zeros."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g ({inputs}) => (float[] y) <{weights}> {{ {body} }}')
    model.graph.output[0].type.tensor_type.ClearField("shape")
    for value in model.graph.value_info:
        array = np.zeros([dim.dim_value for dim in value.type.tensor_type.shape.dim], np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    onnx.save(model, path)
    return path


def test_work_without_a_price_shows_by_its_size(tmp_path):
    """Ten convolutions of 13 M MACs and a transposed one of 3.3 G, which is nearly all of the work."""
    convolutions = " ".join(f"c{i + 1} = Conv(c{i}, w)" for i in range(10)).replace("c0", "x")
    body = f"{convolutions} y = ConvTranspose<strides=[2,2], pads=[1,1,1,1]>(c10, v)"
    weights = "float[64,64,1,1] w, float[64,1024,4,4] v"
    found = price.price(onnx_graph.read(written(tmp_path / "up.onnx", body, weights=weights)), Priced())
    assert len(found.lines) == 10 and found.network.unpriced[0].macs == 56 * 56 * 64 * 1024 * 16
    assert found.coverage == pytest.approx(found.network.macs / (found.network.macs + 56 * 56 * 64 * 1024 * 16)) and found.coverage < 0.04
    assert found.high_ms is None and found.origin == "estimated"
    path = tmp_path / "up.onnx"
    shown = command(path, "--device", "jetson-nano")
    assert "ms at 95%, without an upper bound; estimated, coverage 4%" in shown.stdout and "ConvTranspose y (3288.3 M MACs)" in shown.stdout
    assert json.loads(command(path, "--device", "jetson-nano", "--json").stdout)["high_ms"] is None


def test_a_trifle_without_a_price_leaves_the_upper_bound(tmp_path):
    body = "c1 = Conv(x, w) c2 = Conv(c1, w) p = GlobalAveragePool(c2) f = Flatten(p) y = ArgMax<axis=1>(f)"
    found = price.price(onnx_graph.read(written(tmp_path / "class.onnx", body)), Priced(origin="calibrated"))
    assert found.network.unknown == ("ArgMax y",) and found.high_ms == found.total.high_ms and found.origin == "calibrated"
    assert "a negligible part of the work: ArgMax y" in price.notes(found, Priced(), profile())[0]
    large = price.price(
        onnx_graph.read(written(tmp_path / "large.onnx", body.replace("p = GlobalAveragePool(c2)", "p = Relu(c2)"))), Priced()
    )
    assert large.network.unknown == ("ArgMax y",) and large.high_ms is None, "it reads every pixel"


def test_dilated_operators_are_named_and_widen_the_price(tmp_path):
    nano = hardware_profiles.load("jetson-nano")
    model = latency_models.load(nano).by_operator()
    weights = "float[64,64,3,3] w"
    plain, dilated = (
        price.price(
            onnx_graph.read(
                written(tmp_path / f"{d}.onnx", f"y = Conv<dilations=[{d},{d}], pads=[{d},{d},{d},{d}]>(x, w)", weights=weights)
            ),
            model,
        )
        for d in (1, 6)
    )
    assert dilated.total.ms == plain.total.ms and dilated.total.high_ms > plain.total.high_ms and dilated.coverage < plain.coverage
    assert "1 operator(s) are dilated and priced as if they were not, with wider bounds: y" in price.notes(dilated, model, nano)
    assert price.shape_of(dilated.lines[0].operator).endswith("k3 d6") and not any(
        "dilated" in one for one in price.notes(plain, model, nano)
    )


def command(*arguments):
    line = [sys.executable, "-m", "nas.price", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def test_json_is_one_document_and_the_table_says_the_same():
    found = command(SHUFFLENET, "--device", "pixel-1", "--json")
    facts = json.loads(found.stdout)
    assert found.returncode == 0 and found.stderr == ""
    assert 0 < facts["low_ms"] <= facts["latency_ms"] <= facts["high_ms"] and 0 < facts["coverage"] <= 1
    parts = facts["overhead_ms"] + sum(one["ms"] for one in facts["operators"])
    assert parts == pytest.approx(facts["latency_ms"]) and facts["macs"] == sum(one["macs"] for one in facts["operators"])
    assert facts["device"] == "pixel-1" and facts["unknown"] == [] and facts["inputs"]["gpu_0/data_0"] == [1, 3, 224, 224]
    shown = command(SHUFFLENET, "--device", "pixel-1")
    assert shown.returncode == 0 and f"{facts['latency_ms']:.3g} ms, between" in shown.stdout
    assert f"15 of {len(facts['operators'])} operators" in shown.stdout and "shuffle" in shown.stdout
    assert "all operators, in order" in command(SHUFFLENET, "--device", "pixel-1", "--all").stdout


def test_bounds_are_as_sure_as_they_are_asked_to_be():
    known = ("known:mobilenet_v2", "--device", "jetson-nano", "--json")
    sure, usual, less = (json.loads(command(*known, *asked).stdout) for asked in (("--confidence", "0.99"), (), ("--confidence", "0.8")))
    assert (sure["confidence"], less["confidence"]) == (0.99, 0.8) and sure["latency_ms"] == usual["latency_ms"] == less["latency_ms"]
    assert sure["high_ms"] > usual["high_ms"] > less["high_ms"] > less["latency_ms"] > less["low_ms"] > usual["low_ms"]


def test_a_known_network_is_priced_by_its_name():
    facts = json.loads(command("known:mobilenet_v2", "--device", "jetson-nano", "--json").stdout)
    assert facts["model"] == "known:mobilenet_v2" and facts["inputs"] == {"images": [1, 3, 224, 224]} and facts["unknown"] == []
    assert facts["macs"] == 300_774_272 and facts["operators"][1]["name"] == "stage1_layer0 separable"
    smaller = price.read(Path("known:mobilenet_v2"), 160)
    assert smaller.inputs == (("images", (1, 3, 160, 160)),) and smaller.macs < facts["macs"] and smaller.weights == facts["params"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["known:mobilenet_v4", "--device", "pixel-1"], "no known network is named 'mobilenet_v4'; did you mean 'mobilenet_v"),
        ([SQUEEZENET, "--device", "pixel-11"], "no device is named 'pixel-11'; did you mean 'pixel-1'?"),
        (
            [SQUEEZENET, "--device", "pixel-1", "--precision", "int8"],
            "only for: pixel-1 tflite unstated fp32, 1 thread, batch 1. To get them: python -m nas.measure --device",
        ),
        ([SQUEEZENET, "--device", "jetson-nano", "--precision", "fp16"], "No command here measures them"),
        (["absent.onnx", "--device", "pixel-1"], "absent.onnx cannot be read: No such file or directory"),
        (["README.md", "--device", "pixel-1"], "README.md is not an ONNX file"),
        ([SQUEEZENET, "--device", "pixel-1", "--input-size", "64"], "is fixed to images of 224 px"),
    ],
)
def test_what_cannot_be_priced_is_said_in_one_sentence(arguments, said):
    found = command(*arguments)
    assert found.returncode == 2 and said in found.stderr and found.stderr.count("\n") == 1 and found.stdout == ""


def test_help_and_wrong_names_answer_without_loading_networks():
    found = command("--help").stdout
    assert "known:mobilenet_v2" in found and "milliseconds" in found and "Examples" in found and "--input-size" in found
    code = "import sys; sys.argv = ['price', 'x.onnx', '--device', 'nowhere']; from nas import price, cli\ntry: cli.run(price.app)\n"
    code += "except SystemExit: print([name for name in ('onnx', 'torch', 'onnxruntime') if name in sys.modules])"
    started = time.perf_counter()
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert said.strip() == "[]" and time.perf_counter() - started < 10
