"""A small trained network on patterns that are easy but not trivial to tell apart: what compression must not spoil."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn import functional

from nas.compressors import Evidence
from nas.core.network import BlockSpec, NetworkSpec
from nas.network import Network, recalibrate

CLASSES = 4


def specification(hidden: int = 384) -> NetworkSpec:
    """Every kind of block, with both activations, at 12 px; about a quarter of a million parameters."""
    blocks = (
        BlockSpec("conv", 1, 16, 16, 3, 2, False, "relu", 12, 12),
        BlockSpec("mbconv", 16, 64, 32, 3, 2, False, "relu", 6, 6),
        BlockSpec("shuffle_unit", 32, 16, 32, 3, 1, False, "relu", 3, 3),
        BlockSpec("shuffle_unit", 32, 48, 96, 3, 2, False, "hard_swish", 3, 3),
        BlockSpec("mbconv", 96, hidden, 96, 5, 1, True, "hard_swish", 2, 2),
        BlockSpec("head", 96, 256, CLASSES, 1, 1, False, "hard_swish", 2, 2),
    )
    return NetworkSpec(12, 1, CLASSES, ("stem", "a", "b", "c", "d", "head"), blocks)


@dataclass(frozen=True, slots=True)
class Trained:
    network: Network
    train: torch.Tensor
    evidence: Evidence


def patterns(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (count, 1, 12, 12) and labels (count,): one of four fixed patterns under noise."""
    fixed = torch.randn(CLASSES, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return 0.35 * fixed[labels] + torch.randn(count, 1, 12, 12, generator=generator), labels


@pytest.fixture(scope="session")
def trained() -> Trained:
    torch.manual_seed(0)
    network = Network(specification())
    images, labels = patterns(1200, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    network.train()
    for start in range(0, 1200, 50):
        loss = functional.cross_entropy(network(images[start : start + 50]), labels[start : start + 50])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    recalibrate(network, images[:300])
    validation, classes = patterns(400, seed=2)
    evidence = Evidence(images[:100].numpy(), validation.numpy(), classes.numpy())
    return Trained(network, images, evidence)


@pytest.fixture
def fp32(trained, tmp_path_factory):
    """The trained network as an fp32 file of opset 17."""
    from nas import runtimes

    path = tmp_path_factory.mktemp("fp32") / "fp32.onnx"
    runtimes.load("onnxruntime").export(trained.network, path, 17)
    return path


def accuracy(network: Network, evidence: Evidence) -> float:
    with torch.no_grad():
        found = network(torch.from_numpy(evidence.images)).argmax(1).numpy()
    return float(np.mean(found == evidence.labels))
