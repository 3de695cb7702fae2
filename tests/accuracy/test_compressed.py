"""What a candidate is worth in another precision, or pruned, with the supernet's weights."""

import pickle
from dataclasses import replace

import pytest
import torch

import search_spaces
from nas import compressors
from nas.accuracy import rounding
from nas.accuracy.compressed import CompressedAccuracy
from nas.accuracy.supernet import SupernetAccuracy, calibration_batch
from nas.joint_space import JointSpace
from nas.network import fold_batch_norms, recalibrate
from nas.supernet import Supernet
from nas.training import Schedule, accuracy, make_optimizer, sample, train_supernet
from search_spaces import blocks
from tests.tiny import CLASSES, SPACE, images

DATA = images()
JOINT = JointSpace(SPACE, ("fp32", "fp16", "int8"), (1.0, 0.75, 0.5))
PRUNE = compressors.load("hidden_channels")


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    made, schedule = Supernet(SPACE, 1, CLASSES), Schedule(8, 32, 0.2, 1e-4)
    for _ in train_supernet(made, make_optimizer(made, schedule), DATA, schedule, 1, seed=0, start=0):
        pass
    return made


@pytest.fixture
def evaluate(supernet, monkeypatch):
    monkeypatch.setattr(search_spaces, "load", {"tiny": SPACE}.__getitem__)
    return CompressedAccuracy(JOINT, SupernetAccuracy.of(supernet, DATA, calibration_images=64, validation_images=45))


def version(architecture, precision, keep):
    return JOINT.architecture([*architecture.genes, JOINT.precisions.index(precision), JOINT.keeps.index(keep)])


def facts(evaluation):
    return replace(evaluation, seconds=0.0)


def test_a_whole_network_in_fp32_has_the_evaluation_of_the_plain_search(evaluate, supernet):
    plain = SupernetAccuracy.of(supernet, DATA, calibration_images=64, validation_images=45)
    for architecture in sample(SPACE, 6, "whole"):
        assert facts(evaluate(version(architecture, "fp32", 1.0))) == facts(plain(architecture))


def test_a_pruned_one_is_cut_and_calibrated_as_the_compressor_and_a_run_would(evaluate, supernet):
    for architecture in [*sample(SPACE, 6, "pruned"), SPACE.smallest(), SPACE.largest()]:
        asked = version(architecture, "fp32", 0.5)
        network = supernet.extract(SPACE.network(architecture, 1, CLASSES))
        calibration = calibration_batch(evaluate.whole.data, network.spec.resolution)
        recalibrate(network, calibration)
        smaller = PRUNE.compress(network, 0.5)
        assert smaller.spec == JOINT.network(asked, 1, CLASSES)
        recalibrate(smaller, calibration)
        for _ in range(2):  # what first blocks gave is kept after the first time
            found = evaluate(asked)
            assert found.accuracy == accuracy(smaller, evaluate.whole.data, evaluate.whole.data.validation)
            assert found.macs == blocks.macs(smaller.spec) < blocks.macs(network.spec)
            assert found.params == sum(parameter.numel() for parameter in smaller.parameters())


def test_int8_is_the_calibrated_network_rounded(evaluate, supernet):
    for architecture, keep in [(SPACE.largest(), 1.0), (SPACE.smallest(), 0.5)]:
        asked = version(architecture, "int8", keep)
        network = supernet.extract(SPACE.network(architecture, 1, CLASSES))
        calibration = calibration_batch(evaluate.whole.data, network.spec.resolution)
        recalibrate(network, calibration)
        if keep < 1.0:
            network = PRUNE.compress(network, keep)
            recalibrate(network, calibration)
        fold_batch_norms(network)
        rounded = rounding.int8(network, calibration)
        rounded.spec = network.spec
        found = evaluate(asked)
        assert found.accuracy == pytest.approx(accuracy(rounded, evaluate.whole.data, evaluate.whole.data.validation))
        assert abs(found.accuracy - evaluate(version(architecture, "fp32", keep)).accuracy) <= 0.15
        assert (found.macs, found.params) == (facts(evaluate(version(architecture, "fp32", keep))).macs, found.params)


def test_half_precision_costs_next_to_nothing(evaluate):
    for architecture in sample(SPACE, 4, "half"):
        whole, half = (evaluate(version(architecture, precision, 1.0)).accuracy for precision in ("fp32", "fp16"))
        assert half == pytest.approx(whole, abs=1.5 / 45)


def test_order_does_not_matter_and_the_evaluator_travels(evaluate):
    kinds = [("fp32", 1.0), ("fp32", 0.5), ("int8", 1.0), ("int8", 0.5)]
    asked = [version(architecture, *kind) for architecture in sample(SPACE, 3, "order") for kind in kinds]
    found = [facts(evaluate(one)) for one in asked]
    fresh = pickle.loads(pickle.dumps(evaluate))
    assert [facts(fresh(one)) for one in reversed(asked)] == found[::-1]


def test_what_is_clearly_beaten_is_not_scored_to_the_end(evaluate, monkeypatch):
    from nas.accuracy import supernet as module

    monkeypatch.setattr(module, "BATCH", 10)
    nothing = {name: torch.zeros_like(tensor) for name, tensor in evaluate.whole.weights.items()}
    broken = CompressedAccuracy(JOINT, SupernetAccuracy("tiny", nothing, evaluate.whole.data))
    for precision in ("fp32", "int8"):
        assert broken(version(SPACE.largest(), precision, 0.5), 0.9).rejected_after == 10
        assert broken(version(SPACE.largest(), precision, 0.5)).rejected_after == 0
