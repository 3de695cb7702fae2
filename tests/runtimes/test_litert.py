"""LiteRT: what is written is whole, agrees with torch block by block, and runs without torch."""

import importlib.util
import random
import subprocess
import sys
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import search_spaces
from nas import runtimes, tflite
from nas.core.errors import ExportError
from nas.core.network import BlockSpec, NetworkSpec
from nas.network import Network, batch_norms
from search_spaces import blocks

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="the package ai-edge-litert is not installed (pip install ai-edge-litert)",
)
RUNTIME = runtimes.load("litert")
SPACES = ("mobile_shuffle_32", "mobile_shuffle")


def lively(module):
    """`module` in evaluation mode with batch norms that do something."""
    for norm in batch_norms(module):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0, 0.3)
    return module.eval()


def network_of(space_name, seed, in_channels=3, classes=10):
    torch.manual_seed(seed)
    space, draw = search_spaces.load(space_name), random.Random(seed)
    architecture = space.architecture([draw.randrange(gene.options) for gene in space.genes])
    return lively(Network(space.network(architecture, in_channels, classes)))


def images_of(network, count):
    spec = network.spec
    return np.random.default_rng(count).standard_normal((count, spec.in_channels, spec.resolution, spec.resolution)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return network_of("mobile_shuffle_32", 0)


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "net.tflite"
    RUNTIME.export(network, path, 11)
    return path


def outputs(path, images):
    """What the file gives for `images`, both with channels before rows."""
    found = RUNTIME.run(path, images, 1, len(images))
    return found.transpose(0, 3, 1, 2) if found.ndim == 4 else found


def converted(module, images, path, opset=17):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(module, (images,), str(path.with_suffix(".onnx")), dynamo=False, opset_version=opset)
    path.write_bytes(tflite.convert(onnx.load(path.with_suffix(".onnx"))))


def check_block(spec, path, opset=17):
    module = lively(blocks.load(spec.kind).build(spec))
    images = torch.randn(2, spec.in_channels, spec.in_height, spec.in_width)
    converted(module, images[:1], path, opset)
    with torch.no_grad():
        wanted = module(images).numpy()
    scale = max(1.0, float(np.abs(wanted).max()))
    for count in (1, 2):
        assert np.abs(outputs(path, images[:count].numpy()) - wanted[:count]).max() <= 1e-5 * scale, spec


@pytest.mark.parametrize("space_name", [SPACES[0], pytest.param(SPACES[1], marks=pytest.mark.slow)])
def test_each_kind_of_block_agrees_with_torch(space_name, tmp_path):
    torch.manual_seed(0)
    kinds = {}
    for spec in search_spaces.load(space_name).unique_blocks(3, 10):
        if spec.in_height <= 32:  # the larger ones differ in nothing but time
            kinds.setdefault((spec.kind, spec.kernel, spec.stride, spec.se, spec.activation, spec.in_channels == spec.out_channels), spec)
    assert {key[0] for key in kinds} >= {"mbconv", "shuffle_unit", "head"}
    for spec in kinds.values():
        check_block(spec, tmp_path / "block.tflite")


@pytest.mark.parametrize(("size", "stride"), [(8, 1), (8, 2), (9, 2)])
def test_a_padded_window_never_gives_less_than_what_lies_in_it(size, stride, tmp_path):
    check_block(BlockSpec("max_pool", 8, 8, 8, 3, stride, False, "", size, size), tmp_path / "block.tflite")  # of negative numbers too


def test_pooling_behind_relu_is_left_to_xnnpack(tmp_path):
    """It pads with zeros alone, and an operator outside would cost two copies."""
    stem = BlockSpec("conv", 3, 8, 8, 3, 2, False, "relu", 32, 32)
    pool, head = BlockSpec("max_pool", 8, 8, 8, 3, 2, False, "", 16, 16), BlockSpec("head", 8, 16, 5, 1, 1, False, "relu", 8, 8)
    torch.manual_seed(0)
    network = lively(Network(NetworkSpec(32, 3, 5, ("stem", "stem_pool", "head"), (stem, pool, head))))
    RUNTIME.export(network, tmp_path / "net.tflite", 17)
    assert RUNTIME.verify(tmp_path / "net.tflite", network, images_of(network, 3), batch_size=2).max_difference < 1e-5
    check_xnnpack_takes_all(tmp_path / "net.tflite")


def test_an_old_opset_without_hard_swish_is_understood_too(tmp_path):
    specs = search_spaces.load("mobile_shuffle_32").unique_blocks(3, 10)
    check_block(next(spec for spec in specs if spec.activation == "hard_swish" and spec.se), tmp_path / "block.tflite", opset=11)


@pytest.mark.slow
@pytest.mark.parametrize("space_name", SPACES)
def test_every_fifth_block_agrees_with_torch(space_name, tmp_path):
    torch.manual_seed(1)
    for spec in list(search_spaces.load(space_name).unique_blocks(3, 10))[::5]:
        check_block(spec, tmp_path / "block.tflite")


@pytest.mark.parametrize(("space_name", "seed"), [("mobile_shuffle_32", 1), ("mobile_shuffle_32", 2), ("mobile_shuffle", 3)])
def test_random_networks_agree_with_torch_for_any_batch(space_name, seed, tmp_path):
    network, path = network_of(space_name, seed), tmp_path / "net.tflite"
    RUNTIME.export(network, path, 17)
    for count, batch_size in ((1, 250), (3, 2), (3, 3)):
        found = RUNTIME.verify(path, network, images_of(network, count), batch_size=batch_size)
        assert found.max_difference <= 1e-5 * max(1.0, found.largest_logit)
    logits = RUNTIME.logits(path, images_of(network, 3), threads=2)
    assert (logits.dtype, logits.shape) == (np.float32, (3, 10))


def check_xnnpack_takes_all(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    names = [one["op_name"] for one in interpreter._get_ops_details()]
    assert names.count("DELEGATE") == 1
    # whatever is left outside would read or write a tensor of the delegate
    delegate = next(one for one in interpreter._get_ops_details() if one["op_name"] == "DELEGATE")
    assert list(delegate["outputs"]) == [interpreter.get_output_details()[0]["index"]]
    assert interpreter.get_input_details()[0]["index"] in delegate["inputs"]


def test_xnnpack_takes_the_whole_network(exported):
    check_xnnpack_takes_all(exported)


def test_the_interface_is_named_and_takes_channels_last(network, exported):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(exported))
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    size = network.spec.resolution
    assert (given["name"], given["shape"].tolist(), given["shape_signature"].tolist()) == (
        "images",
        [1, size, size, 3],
        [-1, size, size, 3],
    )
    assert (result["name"], result["shape_signature"].tolist()) == ("logits", [-1, 10])


def test_constants_are_aligned(exported):
    from ai_edge_litert import schema_py_generated as schema

    content = exported.read_bytes()
    model = schema.Model.GetRootAsModel(content, 0)
    base = np.frombuffer(content, np.uint8).ctypes.data
    data = [model.Buffers(i).DataAsNumpy() for i in range(model.BuffersLength()) if not model.Buffers(i).DataIsNone()]
    assert len(data) > 20
    assert {(one.ctypes.data - base) % 16 for one in data} == {0}


def one_node(kind, shape, out_shape, **attributes):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, one) for name, one in (("x", shape), ("y", out_shape))]
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"], name="it", **attributes)], "one", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def test_what_cannot_be_written_is_named():
    with pytest.raises(ExportError, match=r"it cannot be written as \.tflite: operator Erf has no rule \(there are rules for Add, "):
        tflite.convert(one_node("Erf", [1, 4], [1, 4]))
    with pytest.raises(ExportError, match=r"reshape from \(1, 4, 3, 3\) to \(1, 36\) mixes channels with rows and columns"):
        tflite.convert(one_node("Flatten", [1, 4, 3, 3], [1, 36]))


def test_training_mode_is_refused(tmp_path):
    with pytest.raises(ExportError, match="training mode"):
        RUNTIME.export(network_of("mobile_shuffle_32", 0).train(), tmp_path / "net.tflite", 17)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a model" * 100, "half", "tail"])
def test_a_damaged_file_is_an_error(network, exported, tmp_path, content):
    whole = exported.read_bytes()
    bad = tmp_path / "bad.tflite"
    bad.write_bytes({"half": whole[: len(whole) // 2], "tail": whole[:-40000] + b"\xff" * 40000}.get(content, content))
    with pytest.raises(ExportError, match=r"LiteRT cannot run .*bad\.tflite on images of shape \(1, 3,"):
        RUNTIME.logits(bad, images_of(network, 1))


def test_missing_files_and_other_shapes_are_errors(network, exported, tmp_path):
    with pytest.raises(ExportError, match=r"missing\.tflite"):
        RUNTIME.logits(tmp_path / "missing.tflite", images_of(network, 1))
    with pytest.raises(ExportError, match=r"images of shape \(1, 3, 5, 5\)"):
        RUNTIME.logits(exported, np.zeros((1, 3, 5, 5)))


def test_without_the_package_the_error_says_how_to_install_it(network, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    for call in (
        lambda: RUNTIME.export(network, tmp_path / "n.tflite", 17),
        lambda: RUNTIME.logits(tmp_path / "n.tflite", np.zeros((1, 3, 8, 8))),
        RUNTIME.require,
    ):
        with pytest.raises(ExportError, match=r"needs the package ai-edge-litert .*pip install ai-edge-litert"):
            call()


def test_it_writes_the_files_of_every_runtime_that_reads_tflite():
    assert runtimes.of_files("litert") is runtimes.of_files("tflite") is RUNTIME
    assert {runtimes.of_files(name).suffix for name in ("onnxruntime", "onnxruntime-web", "tensorrt", "ncnn-vulkan")} == {".onnx"}


def test_running_needs_no_torch(network, exported):
    size = network.spec.resolution
    code = (
        "import pathlib, sys, numpy\n"
        "from nas import runtimes\n"
        f"runtimes.load('litert').logits(pathlib.Path({str(exported)!r}), numpy.zeros((1, 3, {size}, {size})))\n"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
