"""ONNX Runtime Web as a runtime: its files are ONNX, and a browser computes what torch computes."""

import numpy as np
import pytest

from latency_models import timing_web
from nas import runtimes
from nas.core.errors import ExportError
from nas.core.network import BlockSpec, NetworkSpec
from nas.network import Network, recalibrate
from tests.latency_models.test_timing_web import needs_browser

RUNTIME = runtimes.load("onnxruntime_web")
SIZE = 12
SPEC = NetworkSpec(
    SIZE,
    3,
    5,
    ("stem", "shuffle2", "shuffle1", "v3", "v2", "head"),
    (
        BlockSpec("conv", 3, 8, 8, 3, 1, False, "relu6", SIZE, SIZE),
        BlockSpec("shuffle_unit", 8, 8, 16, 5, 2, False, "relu", SIZE, SIZE),
        BlockSpec("shuffle_unit", 16, 8, 16, 3, 1, False, "relu", 6, 6),
        BlockSpec("mbconv", 16, 32, 24, 7, 2, True, "hard_swish", 6, 6),
        BlockSpec("mbconv", 24, 32, 24, 3, 1, False, "relu", 3, 3),
        BlockSpec("head", 24, 32, 5, 1, 1, False, "hard_swish", 3, 3),
    ),
)


def images(count):
    return np.random.default_rng(count).standard_normal((count, 3, SIZE, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    import torch

    torch.manual_seed(0)
    made = Network(SPEC)
    recalibrate(made, torch.from_numpy(images(64)))
    return made


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("web") / "net.onnx"
    RUNTIME.export(network, path, 17)
    return path


@needs_browser
def test_every_kind_of_block_agrees_with_torch(network, exported):
    found = RUNTIME.verify(exported, network, images(7), batch_size=3)
    assert found.agreement == 1.0
    assert RUNTIME.suffix == ".onnx"


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize(("space_name", "seed"), [("mobile_shuffle_32", 1), ("mobile_shuffle_32", 2), ("mobile_shuffle", 3)])
def test_random_networks_agree_with_torch(space_name, seed, tmp_path):
    from tests.runtimes.test_litert import images_of, network_of

    network, path = network_of(space_name, seed), tmp_path / "net.onnx"
    RUNTIME.export(network, path, 17)
    RUNTIME.verify(path, network, images_of(network, 3), threads=2, batch_size=2)


@needs_browser
def test_damaged_files_and_other_shapes_are_errors(exported, tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(exported.read_bytes()[:100])
    with pytest.raises(ExportError, match=r"ONNX Runtime Web cannot run .*bad\.onnx on images of shape \(1, 3, 12, 12\)"):
        RUNTIME.logits(bad, images(1))
    with pytest.raises(ExportError, match=r"images of shape \(1, 3, 5, 5\)"):
        RUNTIME.logits(exported, images(1)[:, :, :5, :5])


def test_without_the_runtime_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(timing_web, "FOLDER", tmp_path)
    with pytest.raises(ExportError, match="run: make web"):
        RUNTIME.logits(tmp_path / "any.onnx", images(1))
