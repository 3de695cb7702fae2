"""The pointwise convolution as a matrix product is PyTorch's convolution, gradients and all."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from search_spaces.blocks.pointwise import PointwiseConv


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 20),
    out=st.integers(1, 20),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    bias=st.booleans(),
    last=st.booleans(),
    half=st.booleans(),
    cropped=st.booleans(),
    seed=st.integers(0, 99),
)
def test_outputs_and_gradients_are_pytorchs(n, channels, out, height, width, bias, last, half, cropped, seed):
    """In both memory orders; also on half of the channels of other images, and with the crop of a larger weight."""
    random = torch.Generator().manual_seed(seed)
    layout = torch.channels_last if last else torch.contiguous_format
    whole = torch.randn(n, channels * (2 if half else 1), height, width, generator=random, dtype=torch.float64)
    images = whole.contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(out + 3 * cropped, channels + 2 * cropped, 1, 1, generator=random, dtype=torch.float64).requires_grad_()
    fast, plain = PointwiseConv(channels, out, bias).double(), nn.Conv2d(channels, out, 1, bias=bias).double()
    plain.load_state_dict(fast.state_dict())
    gradient = torch.randn(n, out, height, width, generator=random, dtype=torch.float64)
    found = []
    for module in (fast, plain):
        given = functional_call(module, {"weight": weight[:out, :channels]}, (images[:, -channels:],))
        found.append((given, *torch.autograd.grad(given, (images, weight, *([module.bias] if bias else [])), gradient)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_without_gradients_it_is_pytorchs_to_the_bit():
    fast = PointwiseConv(8, 12)
    images = torch.randn(2, 8, 5, 5).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(fast(images), nn.Conv2d.forward(fast, images))


def test_images_stay_channels_last():
    given = PointwiseConv(8, 12)(torch.randn(2, 8, 5, 5).contiguous(memory_format=torch.channels_last))
    assert given.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_trace_sees_a_convolution():
    images = torch.randn(1, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    assert "aten::_convolution" in str(torch.jit.trace(PointwiseConv(4, 6), images).inlined_graph)


def test_a_crop_is_read_where_it_lies(monkeypatch):
    """No copy of the weight is made, which is what a supernet trains on."""
    shared = torch.randn(16, 8, 1, 1, requires_grad=True)
    images = torch.randn(2, 6, 5, 5).contiguous(memory_format=torch.channels_last)
    seen = []
    linear = nn.functional.linear
    monkeypatch.setattr(nn.functional, "linear", lambda images, weight, bias: seen.append(weight) or linear(images, weight, bias))
    functional_call(PointwiseConv(6, 12, bias=False), {"weight": shared[:12, :6]}, (images,))
    assert seen[0].untyped_storage().data_ptr() == shared.untyped_storage().data_ptr()
