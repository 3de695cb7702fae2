import ast
import math
import random
import time

import onnx
import pytest
from onnx import TensorProto, helper

from latency_models.agent import time_onnx
from latency_models.timing import AGENT, Effort, stream, time_models
from nas.core.errors import MeasurementError

SHORT = Effort(relative_width=0.2, max_seconds=0.05, warm_up_seconds=0.0)


@pytest.fixture
def model(tmp_path):
    """An ONNX file that squares a matrix of the given size `repeats` times."""

    def write(size, repeats=1):
        names = [f"x{i}" for i in range(repeats + 1)]
        nodes = [helper.make_node("MatMul", [names[i], names[i]], [names[i + 1]]) for i in range(repeats)]
        shape = [size, size]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (names[0], names[-1])]
        graph = helper.make_graph(nodes, "squares", values[:1], values[1:])
        path = tmp_path / f"m{size}_{repeats}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
        return path

    return write


def test_more_work_takes_longer(model):
    small, large = time_models([model(8), model(192, 6)], effort=SHORT)
    assert 0 < small.median_ms < large.median_ms
    assert small.median_ms <= small.p95_ms and small.runs >= time_onnx.MIN_RUNS


def test_no_files_no_process():
    assert time_models([]) == []


def test_a_failure_holds_what_the_agent_said_last_and_which_file(model, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    found = stream([model(8), broken], 1, SHORT)
    assert next(found).median_ms > 0
    with pytest.raises(MeasurementError, match=r"timing of .*broken\.onnx failed; the agent said: .*broken\.onnx"):
        next(found)


def test_stopping_early_ends_the_agent(model):
    found = stream([model(8), *[model(192, 6)] * 20], 1, Effort(1e-9, 3.0, 0.0))
    start = time.monotonic()
    next(found)
    found.close()  # the files that are left would take a minute
    assert time.monotonic() - start < 20


def test_the_interval_of_the_median_narrows_with_more_runs():
    draw = random.Random(0)
    samples = [draw.gauss(10, 1) for _ in range(4000)]
    few, many = time_onnx.relative_width(sorted(samples[:40])), time_onnx.relative_width(sorted(samples))
    assert many < few
    # the median of a normal sample scatters by 1.2533 sigma / sqrt(n)
    assert many == pytest.approx(1.96 * 1.2533 * 0.1 / math.sqrt(4000), rel=0.3)


def test_the_agent_is_one_file_for_python_3_6():
    tree = ast.parse(AGENT.read_text(), feature_version=(3, 6))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"argparse", "json", "math", "os", "sys", "time", "numpy", "onnxruntime"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
