"""ONNX Runtime: what is written is whole, of the opset asked for, agrees with torch, and runs without torch."""

import copy
import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import nas.files
from nas import runtimes
from nas.core.errors import ExportError, UnknownNameError
from nas.core.network import BlockSpec, NetworkSpec
from nas.network import Network, recalibrate
from search_spaces import blocks

SIZE = 12
SPEC = NetworkSpec(
    SIZE,
    3,
    5,
    ("stem", "shuffle2", "shuffle1", "v3", "head"),
    (
        BlockSpec("conv", 3, 8, 8, 3, 1, False, "relu6", SIZE, SIZE),
        BlockSpec("shuffle_unit", 8, 8, 16, 5, 2, False, "relu", SIZE, SIZE),
        BlockSpec("shuffle_unit", 16, 8, 16, 3, 1, False, "relu", 6, 6),
        BlockSpec("mbconv", 16, 32, 24, 7, 2, True, "hard_swish", 6, 6),
        BlockSpec("head", 24, 32, 5, 1, 1, False, "hard_swish", 3, 3),
    ),
)
RUNTIME = runtimes.load("onnxruntime")


def images(count: int) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(count))


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    made = Network(SPEC)
    recalibrate(made, images(64))
    return made


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    RUNTIME.export(network, path, 13)
    return path


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_file_agrees_with_torch_for_any_batch(network, tmp_path, opset) -> None:
    path = tmp_path / "net.onnx"
    RUNTIME.export(network, path, opset)
    for count, batch_size in ((1, 250), (7, 3), (7, 7)):
        found = RUNTIME.verify(path, network, images(count).numpy(), batch_size=batch_size)
        assert found.agreement == 1.0
    logits = RUNTIME.logits(path, images(7).numpy())
    assert logits.dtype == np.float32
    assert logits.shape == (7, 5)
    np.testing.assert_allclose(logits, RUNTIME.logits(path, images(7).numpy(), threads=2, batch_size=2), atol=1e-5)


def test_opset_13_has_no_hard_swish_and_opset_14_has(network, tmp_path) -> None:
    operators = {}
    for opset in (13, 14):
        path = tmp_path / f"{opset}.onnx"
        RUNTIME.export(network, path, opset)
        model = onnx.load(path)
        assert [entry.version for entry in model.opset_import if not entry.domain] == [opset]
        operators[opset] = {node.op_type for node in model.graph.node}
        newest = max(onnx.defs.get_schema(name, opset).since_version for name in operators[opset])
        assert newest <= opset
    assert "HardSwish" not in operators[13]
    assert "HardSwish" in operators[14]


def test_a_newer_opset_than_ours_is_capped(network, tmp_path) -> None:
    RUNTIME.export(network, tmp_path / "net.onnx", 99)
    assert onnx.load(tmp_path / "net.onnx").opset_import[0].version == 17


def test_batch_norms_are_folded_and_the_interface_is_named(exported) -> None:
    graph = onnx.load(exported).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    (given,), (result,) = graph.input, graph.output
    assert (given.name, result.name) == ("images", "logits")
    assert [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim] == ["batch", 3, SIZE, SIZE]
    assert [axis.dim_param or axis.dim_value for axis in result.type.tensor_type.shape.dim] == ["batch", 5]


def test_size_is_in_millions_of_bytes(exported, tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1_500_000)
    assert runtimes.size_mb(tmp_path / "file") == 1.5
    assert runtimes.size_mb(exported) > blocks.weights(SPEC) * 4 / 1e6


def test_training_mode_is_refused(tmp_path) -> None:
    with pytest.raises(ExportError, match="training mode; call `eval"):
        RUNTIME.export(Network(SPEC), tmp_path / "net.onnx", 13)
    assert not list(tmp_path.iterdir())


def test_an_opset_too_old_is_an_error(network, tmp_path) -> None:
    with pytest.raises(ExportError, match=r"opset 10; 11 is the oldest"):
        RUNTIME.export(network, tmp_path / "net.onnx", 10)


class MixesBatch(nn.Module):
    """A reshape in which the batch is not the first axis."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, -1, x.shape[-2], x.shape[-1]).reshape(x.shape)


def test_a_reshape_that_mixes_images_is_refused(network, tmp_path) -> None:
    mixing = copy.deepcopy(network)
    mixing.stem.add_module("act", MixesBatch())
    with pytest.raises(ExportError, match="does not keep the batch as its first axis"):
        RUNTIME.export(mixing, tmp_path / "net.onnx", 13)


@pytest.mark.parametrize("call", ["write", "replace"])
def test_full_disk_is_one_clear_error_and_leaves_the_old_file(network, tmp_path, monkeypatch, call) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(nas.files.os, "replace" if call == "replace" else "fsync", full)
    with pytest.raises(ExportError, match=r"net\.onnx could not be written: No space left on device; .*free space"):
        RUNTIME.export(network, path, 13)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


def test_a_file_of_another_network_does_not_pass(network, tmp_path) -> None:
    torch.manual_seed(1)
    other = Network(SPEC)
    recalibrate(other, images(64))
    path = tmp_path / "net.onnx"
    RUNTIME.export(other, path, 13)
    assert RUNTIME.compare(path, network, images(32).numpy()).max_difference > 0.01
    with pytest.raises(ExportError, match=r"net\.onnx disagrees with the network"):
        RUNTIME.verify(path, network, images(32).numpy())


def test_not_a_number_does_not_pass(network, exported) -> None:
    broken = images(4).numpy()
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(ExportError, match="disagrees"):
        RUNTIME.verify(exported, network, broken)


def test_damaged_missing_and_wrongly_shaped_are_named(network, tmp_path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(ExportError, match=r"cannot run .*net\.onnx"):
        RUNTIME.logits(path, images(1).numpy())
    RUNTIME.export(network, path, 13)
    with pytest.raises(ExportError, match=r"images of shape \(1, 3, 5, 5\)"):
        RUNTIME.logits(path, images(1).numpy()[:, :, :5, :5])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ExportError, match=r"cannot run .*net\.onnx"):
        RUNTIME.logits(path, images(1).numpy())


def test_accuracy_is_the_share_of_right_classes(exported) -> None:
    classes = RUNTIME.logits(exported, images(8).numpy()).argmax(axis=1)
    assert RUNTIME.accuracy(exported, images(8).numpy(), classes) == 1.0
    classes[:2] = (classes[:2] + 1) % 5
    assert RUNTIME.accuracy(exported, images(8).numpy(), torch.from_numpy(classes)) == 0.75


def test_a_file_runs_in_a_fresh_process_that_has_no_torch(network, exported) -> None:
    np.save(exported.parent / "images.npy", images(4).numpy())
    code = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession('net.onnx', providers=['CPUExecutionProvider'])\n"
        "numpy.save('logits.npy', session.run(['logits'], {'images': numpy.load('images.npy')})[0])\n"
        "assert 'torch' not in sys.modules and 'nas' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=exported.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        np.testing.assert_allclose(np.load(exported.parent / "logits.npy"), network(images(4)).numpy(), atol=1e-4)


def test_running_through_the_project_needs_no_torch_either(exported) -> None:
    code = (
        "import pathlib, sys, numpy\n"
        "from nas import runtimes\n"
        f"runtimes.load('onnxruntime').logits(pathlib.Path({str(exported)!r}), numpy.zeros((1, 3, {SIZE}, {SIZE})))\n"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_unknown_runtime_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'onnxruntime'"):
        runtimes.load("onnx-runtime")
    assert "onnxruntime" in runtimes.names()
