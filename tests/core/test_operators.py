"""Counts by hand."""

from nas.core.network import BlockSpec
from nas.core.operators import Operator, convolution, depthwise, elementwise, squeeze_excite
from search_spaces import blocks


def test_a_mobilenet_v2_block_by_hand():
    """Sandler et al. 2018, table 1, with t = 6 on 14 x 14 x 16, stride 2, to 24 channels."""
    found = blocks.operators(BlockSpec("mbconv", 16, 96, 24, 3, 2, False, "relu6", 14, 14))
    assert found == (
        Operator("pointwise", 16, 96, 1, 1, 14, 14, "relu6"),
        Operator("depthwise", 96, 96, 3, 2, 14, 14, "relu6"),
        Operator("pointwise", 96, 24, 1, 1, 7, 7),
    )
    assert [operator.macs for operator in found] == [16 * 96 * 196, 9 * 96 * 49, 96 * 24 * 49]
    assert [operator.weights for operator in found] == [16 * 96 + 96, 9 * 96 + 96, 96 * 24 + 24]
    assert [operator.in_elements for operator in found] == [16 * 196, 96 * 196, 96 * 49]
    assert [operator.out_elements for operator in found] == [96 * 196, 96 * 49, 24 * 49]


def test_a_block_that_keeps_its_shape_adds_its_input():
    found = blocks.operators(BlockSpec("mbconv", 16, 32, 16, 3, 1, False, "relu6", 7, 7))
    assert found[-1] == elementwise("add", 16, 7, 7)
    assert (found[-1].macs, found[-1].weights, found[-1].in_elements, found[-1].out_elements) == (0, 0, 2 * 16 * 49, 16 * 49)


def test_squeeze_excite_by_hand():
    pool, reduce, expand, scale = squeeze_excite(32, 8, 5, 5)
    assert (pool.in_elements, pool.out_elements, pool.macs) == (32 * 25, 32, 0)
    assert (reduce.macs, expand.macs) == (32 * 8, 8 * 32)
    assert (reduce.weights, expand.weights) == (32 * 8 + 8, 8 * 32 + 32)
    assert (scale.in_elements, scale.out_elements, scale.macs) == (32 * 25 + 32, 32 * 25, 0)


def test_dense_and_linear_by_hand():
    stem = convolution(3, 16, 3, 2, 9, 7, "relu")
    assert (stem.kind, stem.out_height, stem.out_width, stem.macs, stem.weights) == ("dense", 5, 4, 27 * 16 * 20, 27 * 16 + 16)
    classifier = Operator("linear", 64, 10, 1, 1, 1, 1)
    assert (classifier.macs, classifier.weights, classifier.out_elements) == (640, 650, 10)
    assert depthwise(8, 5, 1, 4, 4).macs == 25 * 8 * 16
