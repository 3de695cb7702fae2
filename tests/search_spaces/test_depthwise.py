"""The depthwise convolution with a fast weight gradient is PyTorch's convolution, gradient and all."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search_spaces.blocks import depthwise
from search_spaces.blocks.depthwise import DepthwiseConv, weight_gradient


def plain(kernel, stride, channels, dtype=torch.float64):
    return nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False, dtype=dtype)


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 20),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    kernel=st.sampled_from([5, 7, 9]),
    stride=st.sampled_from([1, 2]),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_gradient_is_pytorchs(n, channels, height, width, kernel, stride, last, seed):
    generator = torch.Generator().manual_seed(seed)
    layout = torch.channels_last if last else torch.contiguous_format
    images = torch.randn(n, channels, height, width, generator=generator, dtype=torch.float64).contiguous(memory_format=layout)
    convolution = plain(kernel, stride, channels)
    convolved = convolution(images)
    gradient = torch.randn(convolved.shape, generator=generator, dtype=torch.float64)
    convolved.backward(gradient)
    torch.testing.assert_close(weight_gradient(gradient, images, kernel, stride), convolution.weight.grad)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [2, 7, 16, 33])
@pytest.mark.parametrize("kernel", [5, 7])
def test_the_gradient_is_pytorchs_in_the_kernels_that_training_uses(kernel, size, stride):
    """Single precision, channels last: what oneDNN has kernels for."""
    torch.manual_seed(0)
    images = torch.randn(4, 24, size, size).contiguous(memory_format=torch.channels_last)
    convolution = plain(kernel, stride, 24, torch.float32)
    convolved = convolution(images)
    gradient = torch.randn_like(convolved)
    convolved.backward(gradient)
    torch.testing.assert_close(weight_gradient(gradient, images, kernel, stride), convolution.weight.grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "size"), [(5, 6), (7, 3), (7, 8)])
def test_it_passes_the_numerical_check(kernel, size, stride):
    fast = DepthwiseConv(2, 2, kernel, stride, kernel // 2, groups=2, bias=False, dtype=torch.float64)
    images = torch.randn(2, 2, size, size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: torch.func.functional_call(fast, {"weight": w}, (x,)), (images, fast.weight))


@pytest.mark.parametrize("kernel", [3, 5])
def test_outputs_are_equal_to_the_bit_with_and_without_gradients(kernel):
    torch.manual_seed(0)
    fast = DepthwiseConv(8, 8, kernel, 1, kernel // 2, groups=8, bias=False)
    images = torch.randn(2, 8, 9, 9)
    with torch.no_grad():
        wanted = nn.Conv2d.forward(fast, images)
        assert torch.equal(fast(images), wanted)
    assert torch.equal(fast(images), wanted)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_trace_sees_a_convolution():
    fast = DepthwiseConv(4, 4, 5, 1, 2, groups=4, bias=False)
    assert "aten::_convolution" in str(torch.jit.trace(fast, torch.randn(1, 4, 8, 8)).inlined_graph)


def test_a_gradient_of_nothing_is_not_computed(monkeypatch):
    monkeypatch.setattr(depthwise, "weight_gradient", None)
    fast = DepthwiseConv(4, 4, 5, 1, 2, groups=4, bias=False)
    fast.weight.requires_grad_(False)
    images = torch.randn(1, 4, 8, 8, requires_grad=True)
    fast(images).sum().backward()
    assert images.grad is not None
