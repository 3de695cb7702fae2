"""ONNX files for timing, small and of an old opset: every onnxruntime since 1.10 reads them."""

from onnx import TensorProto, helper


def squares(path, size=8, repeats=1, kind=TensorProto.FLOAT, shape=None):
    """A matrix of `size` multiplied by itself `repeats` times; with another `kind`, the identity."""
    names = [f"x{i}" for i in range(repeats + 1)]
    operator = "MatMul" if kind == TensorProto.FLOAT else "Identity"
    nodes = [helper.make_node(operator, [names[i]] * (2 if operator == "MatMul" else 1), [names[i + 1]]) for i in range(repeats)]
    values = [helper.make_tensor_value_info(name, kind, shape or [size, size]) for name in (names[0], names[-1])]
    graph = helper.make_graph(nodes, f"squares{size}", values[:1], values[1:])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7).SerializeToString())
    return path
