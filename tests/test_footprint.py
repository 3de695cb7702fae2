"""Memory and size of a network from its spec: figures that anyone can compute by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import footprint
from nas.core.errors import DeviceError
from nas.core.latency import Interval
from nas.core.network import BlockSpec
from tests.tiny import SPACE, architectures

NETWORK = SPACE.network(SPACE.largest(), 1, 3)


def elements(kind, hidden, out, stride=1, se=False):
    return footprint.block_elements(BlockSpec(kind, 8, hidden, out, 3, stride, se, "relu", 10, 10))


def test_peaks_of_blocks_by_hand():
    """On 100 pixels: what an operator reads and writes, and what waits for a later one."""
    assert elements("conv", 16, 16) == (8 + 16) * 100
    assert elements("mbconv", 32, 16) == (32 + 32) * 100, "the depthwise convolution"
    assert elements("mbconv", 32, 8) == (32 + 32 + 8) * 100, "the same, while the shortcut waits"
    assert elements("mbconv", 32, 16, stride=2) == (8 + 32) * 100, "the expansion"
    assert elements("mbconv", 32, 8, se=True) == (32 + 32 + 8) * 100, "a gate takes next to nothing"
    assert elements("shuffle_unit", 4, 8) == (8 + 8) * 100, "the split, or the shuffle"
    assert elements("shuffle_unit", 40, 8) == (40 + 40 + 4) * 100, "its depthwise convolution, while the other half waits"
    assert elements("shuffle_unit", 12, 24, stride=2) == 8 * 100 + 12 * 100 + 12 * 25, "right expansion, with the left branch done"


@given(architectures())
def test_bytes_follow_the_precision(architecture):
    network = SPACE.network(architecture, 1, 3)
    memory = [footprint.memory_mb(network, precision) for precision in ("fp32", "fp16", "int8")]
    assert memory == pytest.approx([memory[2] * 4, memory[2] * 2, memory[2]])
    size = {precision: footprint.size_mb(network, precision) for precision in ("fp32", "fp16", "int8")}
    assert size["fp16"] < size["fp32"]


@given(architectures(), st.sampled_from(["fp32", "fp16", "int8"]))
def test_a_network_needs_the_most_of_its_blocks_and_the_sum_of_their_weights(architecture, precision):
    network = SPACE.network(architecture, 1, 3)
    number = footprint.BYTES[precision]
    assert footprint.memory_mb(network, precision) == max(map(footprint.block_elements, network.blocks)) * number / 1e6
    assert footprint.size_mb(network, precision) == pytest.approx(sum(footprint.block_bytes(b, precision) for b in network.blocks) / 1e6)


def test_costs_are_all_together():
    costs = footprint.costs(NETWORK, Interval(2.0, 1.0, 3.0), "fp16", 5.0)
    assert (costs.size_mb, costs.memory_mb) == (footprint.size_mb(NETWORK, "fp16"), footprint.memory_mb(NETWORK, "fp16"))
    assert (costs.energy_mj, costs.energy_high_mj) == (10.0, 15.0)


@pytest.mark.parametrize("ask", [footprint.memory_mb, footprint.size_mb])
def test_a_precision_that_nobody_knows_is_refused(ask):
    with pytest.raises(DeviceError, match="how many bytes a number has is not known for 'fp8', only for fp32, fp16, int8"):
        ask(NETWORK, "fp8")
