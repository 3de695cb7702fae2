import importlib
import itertools
import random
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import search_spaces
from latency_models import fusion, onnx_file, onnx_graph
from latency_models.onnx_graph import read
from nas.core.errors import ModelFileError
from nas.core.operators import Operator
from nas.network import Network
from nas.runtimes.onnxruntime import export
from search_spaces import blocks

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def parsed(body, inputs="float[1,8,16,16] x", outputs="y", weights="", opset=17):
    """The network of a graph in onnx's text form."""
    shown = ", ".join(f"float[] {name}" for name in outputs.split())
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({shown}) <{weights}> {{ {body} }}'
    model = onnx.parser.parse_model(text)
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    for value in model.graph.value_info:  # weights without numbers
        kind = value.type.tensor_type
        array = np.zeros([dim.dim_value for dim in kind.shape.dim], onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    return onnx_graph.network(onnx_file.from_model(model, Path("text.onnx")))


CONV = "c = Conv<kernel_shape=[1,1]>(x, w)"
WEIGHTS = "float[4,8,1,1] w"


def scalars(**values):
    """Weights of the convolution above and named constants."""
    return WEIGHTS + "".join(f", float {name} = {{{value}}}" for name, value in values.items())


FORMS = {
    "relu6": ("y = Clip(c, zero, six)", dict(zero=0, six=6)),
    "relu6 as two": ("r = Relu(c) y = Min(r, six)", dict(six=6)),
    "hard_swish": ("y = HardSwish(c)", {}),
    "hard_swish by a gate": ("g = HardSigmoid<alpha=0.1666667, beta=0.5>(c) y = Mul(c, g)", {}),
    "hard_swish, divided last": (
        "a = Add(c, three) r = Clip(a, zero, six) m = Mul(c, r) y = Div(m, six)",
        dict(zero=0, three=3, six=6),
    ),
    "hard_swish, divided first": (
        "a = Add(three, c) r = Clip(a, zero, six) d = Mul(r, sixth) y = Mul(d, c)",
        dict(zero=0, three=3, six=6, sixth=1 / 6),
    ),
    "hard_sigmoid": ("a = Add(c, three) r = Clip(a, zero, six) y = Div(r, six)", dict(zero=0, three=3, six=6)),
    "swish": ("s = Sigmoid(c) y = Mul(c, s)", {}),
    "gelu": ("d = Div(c, root) e = Erf(d) a = Add(e, one) m = Mul(c, a) y = Mul(m, half)", dict(root=2**0.5, one=1, half=0.5)),
    "gelu, halved first": (
        "h = Mul(c, half) d = Div(c, root) e = Erf(d) a = Add(e, one) y = Mul(h, a)",
        dict(root=2**0.5, one=1, half=0.5),
    ),
    "leaky_relu": ("y = LeakyRelu<alpha=0.1>(c)", {}),
    "leaky_relu as a maximum": ("m = Mul(c, tenth) y = Max(c, m)", dict(tenth=0.1)),
    "mish": ("s = Softplus(c) t = Tanh(s) y = Mul(c, t)", {}),
    "tanh": ("y = Tanh(c)", {}),
    "": ("y = Identity(c)", {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_activation_is_what_it_computes_however_it_is_written(form):
    body, constants = FORMS[form]
    found = parsed(f"{CONV} {body}", weights=scalars(**constants))
    name, named = form.partition(",")[0].partition(" ")[0], set(re.findall(r"= (\w+)", body)) - set(fusion.ARITHMETIC)
    nodes = 1 if named else body.count(" = ")
    assert found.operators == (Operator("pointwise", 8, 4, 1, 1, 16, 16, name, nodes=nodes),)
    assert found.unknown == ()


@given(st.floats(-3, 3), st.floats(-3, 3))
@example(1.1754943508222875e-38, 0.0)
@example(1e-4, 0.0)
def test_a_scale_and_a_shift_are_no_activation(scale, shift):
    name = fusion.recognise((scale * fusion.SAMPLES + shift).astype(np.float32))
    assert name is None or (name == "" and abs(scale - 1) < 0.01 and abs(shift) < 0.01)


@given(st.integers(2, 6), st.integers(1, 5), st.integers(2, 5))
def test_every_way_of_interleaving_channels_is_one_shuffle(groups, each, side):
    c = groups * each
    shapes = f"int64[5] a = {{1,{groups},{each},{side},{side}}}, int64[4] b = {{1,{c},{side},{side}}}"
    found = parsed(
        "r = Reshape(x, a) t = Transpose<perm=[0,2,1,3,4]>(r) y0 = Reshape(t, b) y = Relu(y0)",
        f"float[1,{c},{side},{side}] x",
        weights=shapes,
    )
    kinds = [operator.kind for operator in found.operators]
    assert kinds == ["activation"] if each == 1 else ["shuffle", "activation"]


def test_a_long_chain_takes_work_in_proportion_to_its_length(monkeypatch):
    runs = []
    run = fusion._run
    monkeypatch.setattr(fusion, "_run", lambda *given: runs.append(1) or run(*given))

    def work(nodes):
        runs.clear()
        names = ["x", *(f"c{i}" for i in range(nodes - 1)), "y"]
        body = " ".join(f"{out} = {('Neg', 'Relu')[i % 2]}({into})" for i, (into, out) in enumerate(itertools.pairwise(names)))
        assert len(parsed(body).operators) == nodes // 2, "a Relu is an activation of the Neg before it"
        return len(runs)

    assert work(120) < 2.5 * work(60) and work(60) <= fusion.DEEPEST * 61


def test_an_activation_may_be_written_as_long_as_any_is():
    cube = "p = Mul(c, c) q = Mul(p, c) m = Mul(q, small) a = Add(c, m) d = Mul(a, root) t = Tanh(d)"
    body = f"{CONV} {cube} o = Add(t, one) h = Mul(c, half) y = Mul(h, o)"
    found = parsed(body, weights=scalars(small=0.044715, root=0.7978845608, one=1, half=0.5))
    assert [one.activation for one in found.operators] == ["gelu"]


def test_what_other_nodes_read_is_not_fused_away():
    found = parsed(f"{CONV} s = Sigmoid(c) z = Mul(c, s) y = Add(z, s)", weights=WEIGHTS)
    assert [operator.kind for operator in found.operators] == ["pointwise", "activation", "multiply", "add"]


def test_squeeze_and_excitation_is_four_operators():
    body = (
        "p = ReduceMean<axes=[2,3]>(x) r = Conv<kernel_shape=[1,1]>(p, a) s = Relu(r) "
        "e = Conv<kernel_shape=[1,1]>(s, b) g = Sigmoid(e) y = Mul(g, x)"
    )
    found = parsed(body, weights="float[2,8,1,1] a, float[8,2,1,1] b")
    assert [(one.kind, one.activation, one.in_height) for one in found.operators] == [
        ("pool", "", 16),
        ("pointwise", "relu", 1),
        ("pointwise", "sigmoid", 1),
        ("se_scale", "", 16),
    ]


def test_convolutions_of_every_shape():
    body = (
        "p = Pad(x, pads) a = Conv<kernel_shape=[3,3], strides=[2,2]>(p, w) n = BatchNormalization(a, s, s, s, s) b = Relu(n) "
        "d = Conv<kernel_shape=[1,5], group=4, pads=[0,2,0,2]>(b, v) e = Conv<kernel_shape=[3,3], dilations=[2,2], group=2>(d, u) "
        "m = Conv<kernel_shape=[1,1], group=4>(d, t) y = Concat<axis=1>(e, e)"
    )
    weights = "float[4,8,3,3] w, float[4] s, float[4,1,1,5] v, float[6,2,3,3] u, float[8,1,1,1] t, int64[8] pads = {0,0,0,0,0,0,1,1}"
    found = parsed(body, outputs="y m", weights=weights)
    dense, depthwise, grouped, multiplied, concat = found.operators
    assert dense == Operator("dense", 8, 4, 3, 2, 16, 16, "relu")
    assert depthwise == Operator("depthwise", 4, 4, 1, 1, 8, 8, kernel_width=5)
    assert grouped == Operator("grouped", 4, 6, 3, 1, 8, 8, groups=2, out_size=(4, 4), dilation=2) and grouped.macs == 9 * 2 * 6 * 16
    assert multiplied == Operator("grouped", 4, 8, 1, 1, 8, 8, groups=4)
    assert concat == Operator("concat", 12, 12, 1, 1, 4, 4)


def test_a_network_in_the_other_memory_order_is_the_same_network():
    body = (
        "t = Transpose<perm=[0,3,1,2]>(x) a = Conv<kernel_shape=[1,1]>(t, w) u = Transpose<perm=[0,2,3,1]>(a) b = Add(u, s) c = Relu(b) "
        "m = ReduceMean<axes=[1,2], keepdims=0>(c) y = MatMul(m, v)"
    )
    found = parsed(body, "float[1,16,16,3] x", weights="float[4,3,1,1] w, float[4] s, float[4,10] v")
    assert found.operators == (
        Operator("pointwise", 3, 4, 1, 1, 16, 16, "relu"),
        Operator("pool", 4, 4, 1, 1, 16, 16),
        Operator("linear", 4, 10, 1, 1, 1, 1),
    )


def test_memory_is_rearranged_where_a_layer_needs_the_other_order():
    found = parsed(f"{CONV} t = Transpose<perm=[0,2,3,1]>(c) y = MatMul(t, v)", weights=f"{WEIGHTS}, float[4,12] v")
    assert found.operators[1:] == (Operator("copy", 4, 4, 1, 1, 16, 16), Operator("pointwise", 4, 12, 1, 1, 16, 16))
    back = parsed(
        f"{CONV} t = Transpose<perm=[0,2,3,1]>(c) m = MatMul(t, v) r = Relu(m) u = Transpose<perm=[0,3,1,2]>(r) y = Add(u, c)",
        weights=f"{WEIGHTS}, float[4,4] v",
    )
    assert [operator.kind for operator in back.operators] == ["pointwise", "copy", "pointwise", "copy", "add"]


def test_quantized_pairs_cost_nothing_and_precision_is_told():
    body = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) dw = DequantizeLinear(w, s, i) y = Conv<kernel_shape=[1,1]>(d, dw)"
    found = parsed(body, weights="int8[4,8,1,1] w, float s = {0.1}, uint8 z = {0}, int8 i = {0}")
    assert found.operators == (Operator("pointwise", 8, 4, 1, 1, 16, 16),) and found.precision == "int8"


def test_what_has_no_price_is_named():
    found = parsed(
        f"{CONV} y = ConvTranspose<kernel_shape=[2,2], strides=[2,2]>(c, v) m = MatMul(c, c)",
        outputs="y m",
        weights=f"{WEIGHTS}, float[4,4,2,2] v",
    )
    assert found.unknown == ("ConvTranspose y", "MatMul m") and len(found.operators) == 1


def test_dilation_is_told_and_costs_no_arithmetic():
    plain, dilated = (parsed(f"y = Conv<dilations=[{d},{d}], pads=[{d},{d},{d},{d}]>(x, w)", weights="float[8,8,3,3] w") for d in (1, 4))
    assert [one.operators[0].dilation for one in (plain, dilated)] == [1, 4] and plain.macs == dilated.macs
    pooled = parsed("y = MaxPool<kernel_shape=[3,3], dilations=[2,2], pads=[2,2,2,2]>(x)").operators[0]
    assert (pooled.kind, pooled.dilation) == ("window_pool", 2)
    assert parsed("y = Conv<dilations=[2,2]>(x, w)", weights="float[8,8,1,1] w").operators[0].dilation == 1, "one tap has no distance"


def test_sizes_that_the_file_leaves_open():
    graph = '<ir_version: 8, opset_import: ["" : 17]> g (float[n,3,h,w] x) => (float[n,3,h,w] y) { y = Relu(x) }'
    model = onnx.parser.parse_model(graph)
    with pytest.raises(ModelFileError, match=r"does not say how large its input 'x' is \(nx3xhxw\): pass --input-size 224"):
        onnx_file.from_model(model, Path("m.onnx"))
    found = onnx_graph.network(onnx_file.from_model(model, Path("m.onnx"), 64))
    assert found.operators == (Operator("activation", 3, 3, 1, 1, 64, 64, "relu"),) and found.inputs == (("x", (1, 3, 64, 64)),)
    fixed = onnx.parser.parse_model(graph.replace("n,3,h,w", "8,3,32,32"))
    with pytest.raises(ModelFileError, match=r"fixed to a batch of 8 .* export it again with a batch of 1"):
        onnx_file.from_model(fixed, Path("m.onnx"))
    with pytest.raises(ModelFileError, match="fixed to images of 32 px"):
        onnx_file.from_model(onnx.parser.parse_model(graph.replace("n,3,h,w", "1,3,32,32")), Path("m.onnx"), 64)


@pytest.mark.parametrize("content", [b"", b"A text, not a network.\n", b"\x00" * 100, None])
def test_a_file_that_is_no_network_is_one_sentence(tmp_path, content):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model.onnx (is not an ONNX file|cannot be read)"):
        read(path)


@given(st.integers(0, 3000))
def test_a_file_cut_anywhere_is_refused_or_read(tmp_path_factory, length):
    whole = (LIGHT / "light_squeezenet.onnx").read_bytes()
    path = tmp_path_factory.getbasetemp() / "cut.onnx"
    path.write_bytes(whole[: len(whole) * length // 3000])
    try:
        read(path)
    except ModelFileError as error:
        assert "cut.onnx" in str(error)


def test_weights_beside_the_model_are_not_needed(tmp_path):
    whole = tmp_path / "whole.onnx"
    network = search_spaces.load("mobile_shuffle_32").network(search_spaces.load("mobile_shuffle_32").largest(), 3, 10)
    export(Network(network).eval(), whole, 17)
    onnx.save_model(onnx.load(whole), tmp_path / "apart.onnx", save_as_external_data=True, location="weights.bin", size_threshold=1024)
    (tmp_path / "weights.bin").unlink()
    assert read(tmp_path / "apart.onnx").operators == read(whole).operators


MACS = {"squeezenet": 349.15, "resnet50": 4089.18, "shufflenet": 124.66, "inception_v1": 1431.56, "bvlc_alexnet": 654.56}


@pytest.mark.parametrize("name", MACS)
def test_graphs_of_caffe2(name):
    found = read(LIGHT / f"light_{name}.onnx")
    assert found.unknown == () and found.macs / 1e6 == pytest.approx(MACS[name], abs=0.01)
    kinds = [operator.kind for operator in found.operators]
    assert kinds.count("shuffle") == (16 if name == "shufflenet" else 0) and kinds[-1] == "softmax"


@pytest.mark.parametrize("name", ["mobile_shuffle_32", "mobile_shuffle"])
@pytest.mark.parametrize("opset", [11, 13, 17])
def test_an_exported_network_is_read_as_what_its_blocks_say(name, opset, tmp_path):
    space, chance = search_spaces.load(name), random.Random(opset)
    for number in range(2):
        network = space.network(space.architecture(tuple(chance.randrange(gene.options) for gene in space.genes)), 3, 10)
        path = tmp_path / f"{number}.onnx"
        export(Network(network).eval(), path, opset)
        found = read(path)
        assert found.operators == tuple(operator for block in network.blocks for operator in blocks.operators(block))
        assert found.unknown == () and found.macs == blocks.macs(network) and found.weights == blocks.weights(network)


def test_a_shuffle_at_the_end_is_not_free():
    shapes = "int64[5] a = {1,2,4,16,16}, int64[4] b = {1,8,16,16}"
    found = parsed("r = Reshape(x, a) t = Transpose<perm=[0,2,1,3,4]>(r) y = Reshape(t, b)", weights=shapes)
    assert found.operators == (Operator("shuffle", 8, 8, 1, 1, 16, 16),)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobile_shuffle_32", "mobile_shuffle"])
def test_every_block_is_read_as_what_it_says(name, tmp_path):
    found = search_spaces.load(name).unique_blocks(3, 10)
    for spec in random.Random(0).sample(sorted(found, key=str), 150):
        module, images = blocks.load(spec.kind).build(spec).eval(), torch.zeros(1, spec.in_channels, spec.in_height, spec.in_width)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # this exporter is deprecated, and ten times faster than the other
            torch.onnx.export(module, (images,), str(tmp_path / "block.onnx"), dynamo=False, opset_version=17)
        network = read(tmp_path / "block.onnx")
        assert network.operators == blocks.operators(spec) and network.unknown == (), spec


PUBLISHED = {
    "mobilenetv2.mobilenetv2b_w1": 300.8,
    "mobilenetv3.mobilenetv3_large_w1": 216.6,
    "mobilenetv3.mobilenetv3_small_w1": 56.9,
    "shufflenetv2b.shufflenetv2b_w1": 145.8,
    "mnasnet.mnasnet_a1": 311.6,
    "efficientnet.efficientnet_b0": 385.8,
    "efficientnet.efficientnet_b0b": 385.8,
    "proxylessnas.proxylessnas_mobile": 320.4,
    "ghostnet.ghostnet": 140.8,
}


def multiply_accumulates(network, images):
    """Of all convolutions and linear layers, from the shapes of what they return."""
    counted = []
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(lambda module, _, out: counted.append(out.numel() * module.weight[0].numel()))
    with torch.no_grad():
        network(images)
    return sum(counted)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("dynamo", [False, True])
def test_published_networks_have_their_published_macs(name, dynamo, tmp_path):
    pytest.importorskip("pytorchcv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters and of the package, not ours
        module, _, function = name.partition(".")
        network = getattr(importlib.import_module(f"pytorchcv.models.{module}"), function)().eval()
        images = torch.zeros(2, 3, 224, 224) if dynamo else torch.zeros(1, 3, 224, 224)
        options = (
            dict(dynamic_shapes=({0: torch.export.Dim("n")},))
            if dynamo
            else dict(opset_version=13, dynamic_axes={"x": {0: "n"}}, input_names=["x"])
        )
        torch.onnx.export(network, (images,), str(tmp_path / "model.onnx"), dynamo=dynamo, **options)
    found = read(tmp_path / "model.onnx")
    assert found.unknown == () and found.macs == multiply_accumulates(network, torch.zeros(1, 3, 224, 224))
    assert found.macs / 1e6 == pytest.approx(PUBLISHED[name], abs=0.1)
