"""Stand-alone networks and their batch-norm statistics."""

import pytest
import torch

from nas.data import normalise
from nas.network import Network, batch_norms, channels_last, fold_batch_norms, recalibrate
from nas.supernet import Supernet
from nas.training import Schedule, accuracy, make_optimizer, train_supernet
from tests.tiny import SPACE, images

SPEC = SPACE.network(SPACE.largest(), 1, 3)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network(SPEC)


def batch(count):
    return torch.randn(count, 1, 12, 12, generator=torch.Generator().manual_seed(3)) * 2 + 1


def statistics(network):
    return [(norm.running_mean.clone(), norm.running_var.clone()) for norm in batch_norms(network)]


def close(one, other):
    return all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-6) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


def test_parameters_are_named_by_slot(network):
    assert [name for name, _ in network.named_children()] == list(SPEC.slots)
    assert "stage2_layer0.se.reduce.weight" in dict(network.named_parameters())
    assert network(batch(2)).shape == (2, 3)


def test_channels_last_changes_the_order_in_memory_alone(network):
    before = network.stage1_layer0.expand.conv.weight.clone()
    assert channels_last(network) is network
    assert network.stem.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(network.stage1_layer0.expand.conv.weight, before)


def test_statistics_of_the_first_norm_are_those_of_what_it_sees(network):
    recalibrate(network, batch(32), batch_size=32)
    with torch.no_grad():
        seen = network.stem.conv(batch(32))
    assert torch.allclose(network.stem.norm.running_mean, seen.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-6)
    assert torch.allclose(network.stem.norm.running_var, seen.var(dim=(0, 2, 3)), rtol=1e-4)


def test_recalibration_forgets_what_was_there_and_leaves_evaluation_mode(network):
    recalibrate(network, batch(32))
    wanted = statistics(network)
    network.train()(batch(8) * 50)
    recalibrate(network, batch(32))
    assert not network.training and close(statistics(network), wanted)
    assert {norm.momentum for norm in batch_norms(network)} == {0.1}


def test_the_order_of_batches_does_not_matter(network):
    images = batch(40)
    recalibrate(network, images, batch_size=10)
    wanted = statistics(network)
    recalibrate(network, torch.cat(images.split(10)[::-1]), batch_size=10)
    assert close(statistics(network), wanted)


def test_no_image_weighs_more_than_another(network):
    """41 images at most 40 at a time are 21 and 20, not 40 and a single one that counts as much as those."""
    images = torch.cat((batch(40), 100 + 0 * batch(1)))
    recalibrate(network, images, batch_size=40)
    with torch.no_grad():
        seen = network.stem.conv(images)
    halves = torch.stack([half.mean(dim=(0, 2, 3)) for half in seen.tensor_split(2)]).mean(dim=0)
    assert torch.allclose(network.stem.norm.running_mean, halves, rtol=1e-4, atol=1e-6)


def test_recalibration_trains_nothing(network):
    before = [parameter.clone() for parameter in network.parameters()]
    recalibrate(network, batch(16))
    assert all(torch.equal(parameter, old) and parameter.grad is None for parameter, old in zip(network.parameters(), before, strict=True))


def test_recalibration_is_not_optional():
    """Without it a network cut out of trained shared weights guesses."""
    data, schedule = images(), Schedule(8, 32, 0.2, 1e-4)
    torch.manual_seed(0)
    shared = Supernet(SPACE, 1, 3)
    for _ in train_supernet(shared, make_optimizer(shared, schedule), data, schedule, 1, seed=0, start=0):
        pass
    cut_out = shared.extract(SPEC)
    without = accuracy(cut_out, data, data.validation)
    recalibrate(cut_out, normalise(data.train.images, data, 12))
    assert accuracy(cut_out, data, data.validation) >= 0.9
    assert without <= 0.6


def test_folded_batch_norms_leave_the_function_and_no_norm(network):
    recalibrate(network, batch(64))
    images = batch(20)
    with torch.no_grad():
        before = network(images)
        fold_batch_norms(network)
        assert torch.allclose(network(images), before, rtol=1e-4, atol=1e-5)
    assert not batch_norms(network)
