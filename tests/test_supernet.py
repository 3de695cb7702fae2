"""Weight sharing on a tiny space; `tests/conformance/test_spaces.py` has the law of equality for every real one."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from nas.core.network import BlockSpec
from nas.network import batch_norms
from nas.supernet import Supernet, crop, transformed
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


@torch.no_grad()
def test_a_copy_of_a_supernet_has_weights_of_its_own():
    torch.manual_seed(0)
    shared = Supernet(SPACE, 1, 3)
    spec = SPACE.network(SPACE.largest(), 1, 3)
    first = shared(batch(spec), spec)
    for other in (copy.deepcopy(shared), pickle.loads(pickle.dumps(shared))):
        assert torch.equal(other(batch(spec), spec), first)
        other.get_parameter("stem.conv.conv.weight").fill_(0.0)
        assert not torch.equal(other(batch(spec), spec), first)
    assert torch.equal(shared(batch(spec), spec), first)


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


# Kernels that are a learned map of the larger one.

LEARNED = replace(SPACE, kernel_transforms=True)


def learned(seed=0):
    """A supernet whose kernel matrices do something."""
    torch.manual_seed(seed)
    shared = Supernet(LEARNED, 1, 3)
    with torch.no_grad():
        for name, parameter in shared.named_parameters():
            if name.endswith("_matrix"):
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return shared


@settings(max_examples=12)
@given(architectures(LEARNED))
@torch.no_grad()
def test_a_network_with_learned_kernels_inside_equals_the_one_cut_out(architecture):
    shared, spec = learned(), LEARNED.network(architecture, 1, 3)
    assert torch.equal(shared(batch(spec), spec), shared.extract(spec).train()(batch(spec)))


def test_a_learned_kernel_is_the_middle_of_the_next_larger_times_a_matrix():
    generator = torch.Generator().manual_seed(0)
    kernels, to5, to3 = (torch.randn(size, generator=generator) for size in ((6, 1, 7, 7), (25, 25), (9, 9)))
    found = transformed(kernels, 3, {"conv.7to5_matrix": to5, "conv.5to3_matrix": to3}, "conv.weight")
    five = torch.einsum("ij,cj->ci", to5, kernels[:, :, 1:6, 1:6].flatten(1)).view(6, 5, 5)
    three = torch.einsum("ij,cj->ci", to3, five[:, 1:4, 1:4].flatten(1)).view(6, 1, 3, 3)
    torch.testing.assert_close(found, three)
    assert transformed(kernels, 7, {}, "conv.weight") is kernels


def test_learned_kernels_begin_as_crops():
    torch.manual_seed(0)
    shared = Supernet(LEARNED, 1, 3)
    spec = LEARNED.network(LEARNED.architecture([0, 0, 0, 1, 0, 0, 0, 1, 0]), 1, 3)  # stage1_layer0 is mbconv_k3_e2, 8 to 8 channels
    full = shared.get_parameter("stage1_layer0.mbconv.depthwise.conv.weight")
    assert full.shape == (24, 1, 5, 5)
    assert torch.equal(shared.extract(spec).get_parameter("stage1_layer0.depthwise.conv.weight"), full[:16, :, 1:4, 1:4])


def test_gradients_reach_the_matrices_of_smaller_kernels_and_the_larger_kernel():
    shared = learned()
    spec = LEARNED.network(LEARNED.architecture([0, 0, 0, 1, 0, 0, 0, 1, 0]), 1, 3)
    shared(batch(spec), spec).square().sum().backward()
    layer = shared.get_submodule("stage1_layer0.mbconv.depthwise.conv")
    assert layer.get_parameter("5to3_matrix").grad.abs().min() > 0
    assert layer.weight.grad[:16, :, 1:4, 1:4].abs().min() > 0
    largest = LEARNED.network(LEARNED.largest(), 1, 3)
    shared.zero_grad()
    shared(batch(largest), largest).square().sum().backward()
    assert layer.get_parameter("5to3_matrix").grad is None


def test_only_depthwise_kernels_that_shrink_have_matrices(supernet):
    matrices = {name for name in learned().state_dict() if name.endswith("_matrix")}
    kinds = {name.split(".")[1] for name in matrices}
    assert kinds == {"mbconv"} and all(name.endswith(".depthwise.conv.5to3_matrix") for name in matrices)  # the shuffle units are all 3x3
    assert not any(name.endswith("_matrix") for name in supernet.state_dict())
