"""The law of pricing in one call: what it says of a network is what the blocks of that network say one by one."""

import itertools
import random
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hardware_profiles
import latency_models
import search_spaces
from latency_models import pricing
from latency_models.pricing import BlockValues, GeneTable, PriceTable
from nas.core.device import RuntimeTarget
from nas.core.errors import DeviceError, SpaceError, UnknownNameError
from nas.core.latency import NO_SPILL, BlockPrice, Interval, Spill, estimate
from nas.core.space import Choice, SearchSpace, Stage
from search_spaces import blocks
from tests.tiny import SPACE

CHANNELS, CLASSES = 3, 7
TARGET = RuntimeTarget("abacus", "beads", "1", "fp32", 1)
OVERHEAD = Interval(0.5, 0.25, 0.75)
CHOICES = Choice.grid("mbconv", (3, 5), (2, 3)) + Choice.grid("shuffle_unit", (3, 5, 7))


@dataclass(frozen=True)
class Rows:
    """Prices without any rule, as a table's are: each block has its own bounds and its own covered share."""

    seed: str = ""
    target: RuntimeTarget = TARGET
    origin: str = "measured"
    confidence: float = 0.9
    overhead: Interval = OVERHEAD
    spill: Spill = NO_SPILL

    def block(self, spec):
        chance = random.Random(f"{self.seed}{spec}")
        ms = chance.random()
        return BlockPrice(
            Interval(ms, ms * chance.random(), ms * (1 + chance.random())), ms * chance.choice([0.0, 0.5, 1.0]), chance.random()
        )


HEADS = ("head", "wide_head")


@st.composite
def spaces(draw):
    """Spaces of one to three stages, with depths that leave gaps, single options, stages of one layer, and all ends."""
    stages = []
    for number in range(draw(st.integers(1, 3))):
        widths = sorted(draw(st.sets(st.sampled_from([8, 16, 24]), min_size=1))) if number % 2 else [32, 40][: draw(st.integers(1, 2))]
        depths = sorted(draw(st.sets(st.integers(1, 4), min_size=1, max_size=3)))
        choices = draw(st.lists(st.sampled_from(CHOICES), min_size=1, max_size=4, unique=True))
        stages.append(Stage(tuple(widths), tuple(depths), draw(st.sampled_from([1, 2])), tuple(choices), draw(st.booleans()), "relu"))
    resolutions = sorted(draw(st.sets(st.sampled_from([8, 11, 12, 16]), min_size=1)))
    ends = {"stem_pool": draw(st.booleans()), "last_conv_width": draw(st.sampled_from([0, 48])), "head_kind": draw(st.sampled_from(HEADS))}
    return SearchSpace("drawn", tuple(resolutions), 16, draw(st.sampled_from([1, 2])), "relu", tuple(stages), 32, "relu", **ends)


@cache
def model(name):
    return Rows() if name == "rows" else latency_models.load(hardware_profiles.load(name))


@cache
def table(space, name):
    return PriceTable.of(search_spaces.load(space), model(name), CHANNELS, CLASSES)


def check(space, latencies, genes, prices):
    """`prices` are the estimates of the architectures of `genes`, in every field."""
    for row, ms, low_ms, high_ms, coverage in zip(genes, prices.ms, prices.low_ms, prices.high_ms, prices.coverage, strict=True):
        found = estimate(latencies, space.network(space.architecture(row), CHANNELS, CLASSES))
        expected = (found.total.ms, found.total.low_ms, found.total.high_ms, found.coverage)
        assert (ms, low_ms, high_ms, coverage) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ["rows", "jetson-nano"])
@pytest.mark.parametrize("space", search_spaces.names())
@settings(max_examples=20)
@given(data=st.data())
def test_prices_are_the_estimates_of_the_networks(space, name, data):
    found = search_spaces.load(space)
    row = st.tuples(*(st.integers(0, gene.options - 1) for gene in found.genes))
    genes = np.array(data.draw(st.lists(row, min_size=1, max_size=4)))
    check(found, model(name), genes, table(space, name).price(genes))


@settings(max_examples=40)
@given(space=spaces(), seed=st.integers(0, 99), cached_mb=st.floats(0, 5))
def test_prices_are_the_estimates_in_any_space(space, seed, cached_mb):
    latencies = Rows(str(seed), spill=Spill(cached_mb, Interval(0.3, 0.2, 0.5)))
    genes = pricing.sample(space, 5, np.random.default_rng(seed))
    check(space, latencies, genes, PriceTable.of(space, latencies, CHANNELS, CLASSES).price(genes))


@settings(max_examples=20)
@given(space=spaces(), seed=st.integers(0, 99))
def test_counts_and_maxima_are_those_of_the_networks(space, seed):
    genes = pricing.sample(space, 5, np.random.default_rng(seed))
    networks = [space.network(space.architecture(row), CHANNELS, CLASSES) for row in genes]

    def largest(block):
        return max(operator.in_elements + operator.out_elements for operator in blocks.operators(block))

    peaks = GeneTable.of(space, lambda block: (largest(block), -largest(block)), "max", CHANNELS, CLASSES).values(genes)
    assert peaks.tolist() == [[max(map(largest, network.blocks)), max(-largest(block) for block in network.blocks)] for network in networks]
    assert pricing.macs(space, CHANNELS, CLASSES).values(genes).tolist() == [blocks.macs(network) for network in networks]
    assert pricing.weights(space, CHANNELS, CLASSES).values(genes).tolist() == [blocks.weights(network) for network in networks]


def test_each_distinct_block_is_asked_once():
    asked = []
    BlockValues.of(SPACE, lambda block: asked.append(block) or 1.0, "sum", CHANNELS, CLASSES)
    assert len(asked) == len(set(asked)) and set(asked) == set(SPACE.unique_blocks(CHANNELS, CLASSES))


def test_a_long_array_is_the_same_as_its_pieces(monkeypatch):
    genes = pricing.sample(SPACE, 1000, np.random.default_rng(0))
    prices = PriceTable.of(SPACE, Rows(), CHANNELS, CLASSES)
    whole = prices.price(genes)
    monkeypatch.setattr(pricing, "CHUNK", 7)
    pieces = prices.price(genes)
    for field in ("ms", "low_ms", "high_ms", "coverage"):
        assert np.array_equal(getattr(whole, field), getattr(pieces, field))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_any_integers_will_do(dtype):
    genes = pricing.sample(SPACE, 10, np.random.default_rng(0))
    prices = PriceTable.of(SPACE, Rows(), CHANNELS, CLASSES)
    assert np.array_equal(prices.price(np.asfortranarray(genes.astype(dtype))).ms, prices.price(genes).ms)


def test_no_architectures_have_no_prices():
    assert PriceTable.of(SPACE, Rows(), CHANNELS, CLASSES).price(np.empty((0, 9), dtype=int)).ms.shape == (0,)


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ([[0] * 8], r"architectures of tiny are integers of shape \(n, 9\), not int64 of shape \(1, 8\)"),
        ([0] * 9, r"of shape \(9,\)"),
        ([[0.0] * 9], "not float64"),
        ([[True] * 9], "not bool"),
        ([[0] * 9, [0, 0, 0, 3, 0, 0, 0, 0, 0]], "gene stage1_layer0 of tiny goes from 0 to 2, row 1 has 3"),
        ([[-1, 0, 0, 0, 0, 0, 0, 0, 0]], "gene resolution of tiny goes from 0 to 1, row 0 has -1"),
        ([[0, 0, 0, 0, 3, 0, 0, 0, 0]], "gene stage1_layer1 of tiny goes from 0 to 2, row 0 has 3"),  # though it does not count
    ],
)
def test_what_is_no_architecture_is_refused(genes, message):
    with pytest.raises(SpaceError, match=message):
        PriceTable.of(SPACE, Rows(), CHANNELS, CLASSES).price(np.array(genes))


def test_a_wrong_gene_is_named_by_its_row_in_the_whole_array(monkeypatch):
    monkeypatch.setattr(pricing, "CHUNK", 4)
    genes = np.zeros((10, 9), dtype=int)
    genes[9, 1] = 2
    with pytest.raises(SpaceError, match="stage1_depth of tiny goes from 0 to 1, row 9 has 2"):
        pricing.macs(SPACE, CHANNELS, CLASSES).values(genes)


def test_a_block_without_a_price_is_not_passed_over():
    class Torn(Rows):
        def block(self, spec):
            raise DeviceError(f"nothing near {spec}")

    with pytest.raises(DeviceError, match="nothing near"):
        PriceTable.of(SPACE, Torn(), CHANNELS, CLASSES)


def test_blocks_are_combined_in_two_ways_only():
    with pytest.raises(UnknownNameError, match="no way to combine blocks is named 'mean'"):
        GeneTable.of(SPACE, lambda block: 1.0, "mean", CHANNELS, CLASSES)


def test_samples_are_canonical_and_every_option_is_as_frequent():
    genes = pricing.sample(SPACE, 6000, np.random.default_rng(0))
    assert all(SPACE.architecture(row).genes == tuple(row) for row in genes[:500])
    for number, gene in enumerate(SPACE.genes):
        used = genes[genes[:, number - 3] == 1] if gene.name.endswith("layer1") else genes  # only where its stage is two deep
        shares = np.bincount(used[:, number], minlength=gene.options) / len(used)
        assert shares == pytest.approx(1 / gene.options, abs=0.04), gene
    assert np.array_equal(genes, pricing.sample(SPACE, 6000, np.random.default_rng(0)))


def test_a_space_of_single_options_has_one_price():
    one = replace(SPACE, resolutions=(8,), stages=(Stage((16,), (2,), 2, CHOICES[:1], False, "relu"),))
    genes = np.array(list(itertools.product(*(range(gene.options) for gene in one.genes))))
    check(one, Rows(), genes, PriceTable.of(one, Rows(), CHANNELS, CLASSES).price(genes))
