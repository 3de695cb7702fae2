"""Weight sharing on a tiny space; `tests/conformance/test_spaces.py` has the law of equality for every real one."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from nas.core.network import BlockSpec
from nas.network import batch_norms
from nas.supernet import Supernet, crop
from tests.tiny import SPACE, architectures


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    return Supernet(SPACE, 1, 3)


def batch(spec, count=4):
    return torch.randn(count, 1, spec.resolution, spec.resolution, generator=torch.Generator().manual_seed(0))


def test_a_crop_is_the_first_channels_and_the_middle_of_the_kernel():
    shared = torch.arange(3 * 2 * 5 * 5.0).view(3, 2, 5, 5)
    found = crop(shared, torch.Size((2, 1, 3, 3)))
    assert torch.equal(found, shared[:2, :1, 1:4, 1:4])
    assert found.data_ptr() == shared[0, 0, 1, 1].data_ptr()  # a view: what a small network learns, the large one has
    assert crop(shared, shared.shape) is shared


def test_a_crop_larger_than_what_is_shared_is_impossible():
    with pytest.raises((RuntimeError, IndexError)):
        crop(torch.zeros(3, 2, 3, 3), torch.Size((3, 2, 5, 5)))


@settings(max_examples=30)
@given(architectures())
@torch.no_grad()
def test_a_network_inside_equals_the_one_cut_out(architecture):
    torch.manual_seed(0)
    shared = Supernet(SPACE, 1, 3)
    spec = SPACE.network(architecture, 1, 3)
    assert torch.equal(shared(batch(spec), spec), shared.extract(spec).train()(batch(spec)))


def test_a_network_cut_out_is_a_copy(supernet):
    spec = SPACE.network(SPACE.largest(), 1, 3)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    cut_out = supernet.extract(spec)
    assert not any(parameter.is_meta for parameter in cut_out.parameters())
    with torch.no_grad():
        for parameter in cut_out.parameters():
            parameter.fill_(7.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())


def test_statistics_of_a_network_cut_out_begin_at_none(supernet):
    for norm in batch_norms(supernet.extract(SPACE.network(SPACE.largest(), 1, 3))):
        assert (norm.running_mean == 0).all() and (norm.running_var == 1).all() and norm.num_batches_tracked == 0


def test_running_changes_nothing_and_depends_on_nothing_run_before(supernet):
    small, large = (SPACE.network(one, 1, 3) for one in (SPACE.smallest(), SPACE.largest()))
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    first = supernet(batch(small), small)
    supernet(batch(large), large)
    assert torch.equal(supernet(batch(small), small), first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())


def test_gradients_reach_the_crop_and_nothing_else():
    torch.manual_seed(0)
    shared = Supernet(SPACE, 1, 3)
    spec = SPACE.network(SPACE.architecture([0, 0, 0, 1, 0, 0, 0, 1, 0]), 1, 3)  # stage1_layer0 is mbconv_k3_e2, 8 to 8 channels
    shared(batch(spec), spec).square().sum().backward()
    touched = {name for name, parameter in shared.named_parameters() if parameter.grad is not None}
    assert {name.rpartition(".")[0].split(".")[0] for name in touched} == set(spec.slots)
    assert not any("shuffle_unit" in name for name in touched)
    grad = shared.get_parameter("stage1_layer0.mbconv.depthwise.conv.weight").grad
    assert grad.shape == (24, 1, 5, 5) and grad[:16, :, 1:4, 1:4].abs().min() > 0
    grad[:16, :, 1:4, 1:4] = 0
    assert grad.abs().max() == 0


def test_the_state_holds_one_tensor_a_name_and_no_statistics(supernet):
    names = set(supernet.state_dict())
    assert names == {name for name, _ in supernet.named_parameters()}
    assert "stage1_layer1.shuffle_unit.right.expand.conv.weight" in names and "stem.conv.conv.weight" in names
    assert not any("running" in name for name in names)


def test_networks_of_one_block_at_many_sizes_are_one_template(supernet):
    for resolution in (8, 12):
        spec = SPACE.network(SPACE.architecture([SPACE.resolutions.index(resolution), *[0] * 8]), 1, 3)
        assert supernet(batch(spec), spec).shape == (4, 3)


def test_a_pruned_network_can_be_cut_out_too(supernet):
    spec = SPACE.network(SPACE.largest(), 1, 3)
    pruned = replace(spec, blocks=tuple(fewer(block) for block in spec.blocks))
    with torch.no_grad():
        assert torch.equal(supernet(batch(pruned), pruned), supernet.extract(pruned).train()(batch(pruned)))


def fewer(block: BlockSpec) -> BlockSpec:
    return replace(block, hidden_channels=block.hidden_channels - 8) if block.kind == "mbconv" else block
