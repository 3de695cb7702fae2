import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from latency_models import input_shapes, onnx_file, onnx_graph
from latency_models.onnx_file import from_model
from nas.core.errors import ModelFileError


def model(body, inputs="float[1,4,8,8] x", weights="float[4,4,3,3] w", more="", opsets=""):
    text = f'<ir_version: 8, opset_import: ["" : 17{opsets}]> g ({inputs}) => (float y) <{weights}> {{ {body} }} {more}'
    found = onnx.parser.parse_model(text)
    found.graph.output[0].type.tensor_type.ClearField("shape")
    for value in found.graph.value_info:
        kind = value.type.tensor_type
        array = np.zeros([dim.dim_value for dim in kind.shape.dim], onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        found.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    return found


RECURSIVE = dict(opsets=', "l" : 1', more='<opset_import: ["" : 17, "l" : 1], domain: "l"> f (a) => (b) { b = l.f(a) }')


@pytest.mark.parametrize(
    ("body", "rest", "said"),
    [
        ("y = Relux(x)", {}, "No Op registered for Relux with domain_version of 17"),
        ("y = Relu(x, x)", {}, r"Relu:14\) has input size 2 not in range"),
        ("y = Relu(z)", {}, "Relu y reads 'z', which nothing gives"),
        ("y = Relu(x) y = Neg(x)", {}, "'y' has been used as output names multiple times"),
        ("y = Transpose<perm=[0,1,2]>(x)", {}, r"Transpose y has the order \[0, 1, 2\] for 1x4x8x8"),
        ("y = Transpose<perm=[0,1,2,9]>(x)", {}, r"Transpose y has the order \[0, 1, 2, 9\]"),
        ("y = Reshape(x, s)", dict(weights="int64[2] s = {3, 5}"), "Reshape y makes 3x5 of 1x4x8x8"),
        ("y = Conv<group=0>(x, w)", {}, "Conv y has 0 groups"),
        ("y = Conv<group=3>(x, w)", {}, r"Conv y has weights of 4x4x3x3 in 3 group\(s\) for an image of 1x4x8x8"),
        ("y = Conv(x, w)", dict(weights="float[4,7,3,3] w"), "weights of 4x7x3x3"),
        ("f = Flatten(x) y = Conv(f, w)", {}, "weights of 4x4x3x3 in 1 group\\(s\\) for an image of 1x256"),
        ("y = ConvTranspose(x, w)", dict(weights="float[5,4,3,3] w"), "weights of 5x4x3x3"),
        ("y = l.f(x)", RECURSIVE, "functions must not be recursive"),
    ],
)
def test_what_is_no_valid_model_is_not_priced(body, rest, said):
    with pytest.raises(ModelFileError, match=rf"m\.onnx is no valid ONNX model: .*{said}"):
        from_model(model(body, **rest), Path("m.onnx"))


@pytest.mark.parametrize(
    "valid",
    [
        "y = Transpose<perm=[3,1,0,2]>(x)",
        "y = Conv<group=2>(x, h)",
        "y = ConvTranspose<group=2>(x, h)",
        "y = Relu(t) t = Neg(x)",  # converters append at the end
    ],
)
def test_what_is_valid_is_let_through(valid):
    from_model(model(valid, weights="float[4,2,3,3] h"), Path("m.onnx"))


def test_weights_are_not_looked_at_but_few_numbers_are():
    def short(weights):
        found = model("y = Conv(x, w)", weights=weights)
        found.graph.initializer[0].raw_data = b"too short"
        return onnx_graph.network(from_model(found, Path("m.onnx")))

    assert len(short("float[999,4,3,3] w").operators) == 1
    with pytest.raises(ModelFileError, match=r"m\.onnx is damaged: constant 'w' is not 4x4x3x3"):
        short("float[4,4,3,3] w")


def test_nothing_to_price_is_said_as_such(tmp_path):
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"empty\.onnx is not an ONNX file: it is empty, of 0 bytes; export or copy"):
        onnx_graph.read(tmp_path / "empty.onnx")
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])), tmp_path / "bare.onnx")
    with pytest.raises(ModelFileError, match=r"bare\.onnx holds a graph without nodes"):
        onnx_graph.read(tmp_path / "bare.onnx")


LSTM = dict(weights="float[1,16,8] w, float[1,16,4] r")


@pytest.mark.parametrize(
    ("inputs", "body", "rest", "shapes"),
    [
        ("float[10,1,8] x, float[2,1,4] h", "a, y = LSTM<hidden_size=4>(x, w, r, , h)", LSTM, [(10, 1, 8), (2, 1, 4)]),
        ("float[10,n,8] x, float[2,n,4] h", "a, y = LSTM<hidden_size=4>(x, w, r, , h)", LSTM, [(10, 1, 8), (2, 1, 4)]),
        ("float[1,10,8] x", "a, y = LSTM<hidden_size=4, layout=1>(x, w, r)", LSTM, [(1, 10, 8)]),
        ("float[3] s, float[n,4,8,8] x", "y = Mul(x, x)", {}, [(3,), (1, 4, 8, 8)]),
        ("float[1,4,8,8] x, float[6,4] e", "y = Mul(x, x)", {}, [(1, 4, 8, 8), (6, 4)]),
        ("float[n,4] x, float[n,n] e", "y = Relu(x)", {}, [(1, 4), (1, 1)]),
    ],
)
def test_the_batch_is_that_of_the_images_or_the_first_input(inputs, body, rest, shapes):
    found = from_model(model(body, inputs, **rest), Path("m.onnx"))
    assert [found.values[name].shape for name in found.inputs] == shapes


@pytest.mark.parametrize(
    ("inputs", "body", "rest", "said"),
    [
        ("float[10,4,8] x", "a, y = LSTM<hidden_size=4>(x, w, r)", LSTM, r"batch of 4 \(input 'x', 10x4x8\)"),
        ("float[8,10,8] x", "a, y = LSTM<hidden_size=4, layout=1>(x, w, r)", LSTM, "batch of 8 "),
        ("float[6,4] e, float[2,4,8,8] x", "y = Relu(x)", {}, r"batch of 2 \(input 'x', 2x4x8x8\)"),
        ("float[1,c,8,8] x", "y = Relu(x)", {}, r"\(1xcx8x8\): --input-size gives rows and columns alone: export the model with a fixed"),
        ("float[1,c,h,w] x", "y = Relu(x)", {}, "--input-size gives rows and columns alone"),
        ("float[1,t,8] x", "y = Relu(x)", {}, "--input-size gives rows and columns alone"),
    ],
)
def test_another_batch_and_open_channels_are_refused(inputs, body, rest, said):
    for input_size in (None, 8) if "8,8" in inputs or "h,w" in inputs else (None,):
        with pytest.raises(ModelFileError, match=said):
            from_model(model(body, inputs, **rest), Path("m.onnx"), input_size)


@pytest.mark.slow
def test_every_example_of_the_standard_is_read(monkeypatch):
    """Nearly two thousand small models, one or more an operator; of any batch, since most are not of images."""
    from onnx.backend.test.case.node import collect_testcases

    monkeypatch.setattr(
        input_shapes, "of", lambda inputs, *rest: [tuple(dim.dim_value for dim in each.type.tensor_type.shape.dim) for each in inputs]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of onnx, in the numbers of its examples
        cases = [case for case in collect_testcases(None) if case.model is not None]
        assert len(cases) > 1000
        for case in cases:
            onnx_graph.network(onnx_file.from_model(case.model, Path(f"{case.name}.onnx")))
