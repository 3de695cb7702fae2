"""Peak memory of ONNX graphs that are not ours, small enough to count by hand."""

import pytest
from onnx import TensorProto, helper, save

from nas import lifetimes
from nas.core.errors import ExportError

KB = 4 * 250 / 1e6
"""A float tensor of 250 numbers, in MB."""


def graph(tmp_path, nodes, outputs, shape=("batch", 250), kind=TensorProto.FLOAT):
    """A file of `nodes` from "x" to `outputs`."""
    given = [helper.make_tensor_value_info("x", kind, shape)]
    wanted = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    model = helper.make_model(helper.make_graph(nodes, "test", given, wanted), opset_imports=[helper.make_opsetid("", 17)])
    save(model, tmp_path / "graph.onnx")
    return tmp_path / "graph.onnx"


def node(kind, reads, writes, **attributes):
    return helper.make_node(kind, reads.split(), writes.split(), **attributes)


@pytest.mark.parametrize(
    ("nodes", "output", "tensors"),
    [
        ([node("Transpose", "x", "a", perm=[0, 1]), node("Transpose", "a", "b", perm=[0, 1])], "b", 2),
        ([node("Transpose", "x", "a", perm=[0, 1]), node("Relu", "a", "b"), node("Relu", "b", "c")], "c", 2),
        ([node("Relu", "x", "a")], "a", 2),
        ([node("Flatten", "x", "a"), node("Identity", "a", "b"), node("Transpose", "b", "c", perm=[0, 1])], "c", 2),
        ([node("Transpose", "x", "a", perm=[0, 1]), node("Add", "a x", "b"), node("Transpose", "b", "c", perm=[0, 1])], "c", 2),
        (
            [
                node("Transpose", "x", "a", perm=[0, 1]),
                node("Relu", "a", "b"),
                node("Transpose", "b", "c", perm=[0, 1]),
                node("Add", "a c", "d"),
            ],
            "d",
            3,
        ),
        ([node("Transpose", "x", "a", perm=[0, 1]), node("HardSigmoid", "a", "b"), node("Mul", "a b", "c")], "c", 2),
        ([node("Concat", "x x", "a", axis=1)], "a", 3),
        ([node("Split", "x", "a b", axis=1), node("Concat", "b a", "c", axis=1)], "c", 2),
    ],
    ids=[
        "chain",
        "in place",
        "never over the input",
        "views",
        "over what dies",
        "not over what is read again",
        "h-swish",
        "concat",
        "split",
    ],
)
def test_counted_by_hand(tmp_path, nodes, output, tensors):
    path = graph(tmp_path, nodes, [output])
    assert lifetimes.peak_memory_mb(path) == pytest.approx(tensors * KB)
    assert lifetimes.peak_memory_mb(path, batch=3) == pytest.approx(3 * tensors * KB)


def test_an_output_of_the_graph_lives_to_the_end(tmp_path):
    nodes = [node("Transpose", "x", "a", perm=[0, 1]), node("Transpose", "a", "b", perm=[0, 1]), node("Transpose", "b", "c", perm=[0, 1])]
    assert lifetimes.peak_memory_mb(graph(tmp_path, nodes, ["c"])) == pytest.approx(2 * KB)
    assert lifetimes.peak_memory_mb(graph(tmp_path, nodes, ["a", "c"])) == pytest.approx(3 * KB)


def test_half_precision_takes_half(tmp_path):
    path = graph(tmp_path, [node("Transpose", "x", "a", perm=[0, 1])], ["a"], kind=TensorProto.FLOAT16)
    assert lifetimes.peak_memory_mb(path) == pytest.approx(KB)


def test_sizes_that_cannot_be_inferred_are_named(tmp_path):
    with pytest.raises(ExportError, match=r"the size of a in .*graph\.onnx cannot be inferred"):
        lifetimes.peak_memory_mb(graph(tmp_path, [node("Transpose", "x", "a", perm=[0, 1])], ["a"], shape=("batch", "length")))


@pytest.mark.parametrize("content", [None, b"", b"no model"], ids=["missing", "empty", "text"])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    path = tmp_path / "file.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExportError, match=r"file\.onnx"):
        lifetimes.peak_memory_mb(path)
