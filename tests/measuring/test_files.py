import numpy as np
import onnx
import onnxruntime
import pytest

import search_spaces
from nas.core.device import RuntimeTarget
from nas.core.errors import MeasurementError
from nas.measuring import files

SPACE = search_spaces.load("mobile_shuffle_32")
BLOCKS = {block.kind: block for block in SPACE.unique_blocks(1, 10)}
BLOCKS |= zip(("last_conv", "wide_head"), (block for _, block in search_spaces.load("mobilenet_v3").ending(160, 4, 10)), strict=True)


def target(runtime="onnxruntime", precision="fp32"):
    return RuntimeTarget("local", runtime, "1", precision, 1)


def run(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    kind = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}[given.type]
    return given.type, session.run(None, {given.name: np.ones(given.shape, kind)})[0]


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_an_int8_block_takes_and_gives_integers_as_between_two_others(tmp_path, kind):
    files.write(BLOCKS[kind], tmp_path / "b.onnx", target(precision="int8"), 17)
    given, result = run(tmp_path / "b.onnx")
    assert given == ("tensor(float)" if kind == "conv" else "tensor(uint8)")
    assert result.dtype == (np.float32 if kind in ("head", "wide_head") else np.uint8)
    nodes = [node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node]
    assert "QuantizeLinear" in nodes and "Conv" in nodes


def test_a_whole_int8_network_takes_and_gives_floats(tmp_path):
    files.write(SPACE.network(SPACE.smallest(), 1, 10), tmp_path / "n.onnx", target(precision="int8"), 17)
    given, result = run(tmp_path / "n.onnx")
    assert given == "tensor(float)" and result.shape == (1, 10) and result.dtype == np.float32


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_an_fp32_block_keeps_its_shape(tmp_path, kind):
    block = BLOCKS[kind]
    files.write(block, tmp_path / "b.onnx", target(), 13)
    _, result = run(tmp_path / "b.onnx")
    assert result.shape == ((1, 10) if kind in ("head", "wide_head") else (1, block.out_channels, block.out_height, block.out_width))


def test_what_cannot_be_written_is_said():
    with pytest.raises(MeasurementError, match=r"tensorrt fp16 cannot be measured by this program \(it measures onnxruntime fp32 or int8"):
        files.require(target("tensorrt", "fp16"))
