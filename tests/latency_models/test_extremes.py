import itertools
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_profiles
import latency_models
import search_spaces
from latency_models.extremes import fastest, greatest, least, slowest
from latency_models.pricing import PriceTable
from nas.core.latency import BlockPrice, Interval, Spill, estimate
from nas.core.space import Choice, SearchSpace, Stage
from tests.tiny import Device

NANO = latency_models.load(hardware_profiles.load("jetson-nano"))
CHOICES = (Choice("mbconv", 5, 3), Choice("shuffle_unit", 3), Choice("mbconv", 3, 2))
SMALL = SearchSpace(
    name="small",
    resolutions=(16, 24),
    stem_width=8,
    stem_stride=1,
    stem_activation="relu",
    stages=(
        Stage(widths=(16, 24), depths=(1, 2), stride=2, choices=CHOICES, se=False, activation="relu"),
        Stage(widths=(32, 40), depths=(1, 2), stride=2, choices=CHOICES, se=True, activation="hard_swish"),
    ),
    head_width=64,
    head_activation="relu",
)
EVERY = sorted(
    {SMALL.architecture(genes) for genes in itertools.product(*(range(gene.options) for gene in SMALL.genes))}, key=lambda one: one.genes
)
BIG = search_spaces.load("mobile_shuffle_32")
FASTEST, SLOWEST = fastest(BIG, NANO, 1, 10)[1], slowest(BIG, NANO, 1, 10)[1]


def test_extremes_of_a_small_space_are_those_of_all_its_networks():
    assert len(EVERY) == SMALL.size
    bounds = [estimate(NANO, SMALL.network(architecture, 1, 10)).total.high_ms for architecture in EVERY]
    assert fastest(SMALL, NANO, 1, 10)[1].total.high_ms == pytest.approx(min(bounds))
    assert slowest(SMALL, NANO, 1, 10)[1].total.high_ms == pytest.approx(max(bounds))


class Cached(Device):
    """A device on which every block has a time and a size of its own, and what does not stay in the cache costs time."""

    def __init__(self, seed, cached_mb, per_mb):
        super().__init__(spill=Spill(cached_mb, Interval(per_mb, per_mb, per_mb)))
        object.__setattr__(self, "seed", seed)

    def block(self, spec):
        chance = random.Random(f"{self.seed}{spec}")
        ms = chance.random()
        return BlockPrice(Interval(ms, ms, ms), ms, chance.random())


@pytest.mark.parametrize("seed", range(40))
def test_extremes_hold_where_weights_exceed_the_cache(seed):
    chance = random.Random(seed)
    model = Cached(seed, cached_mb=chance.uniform(0, 6), per_mb=chance.choice([0.01, 0.3, 3.0]))
    high_ms = PriceTable.of(SMALL, model, 1, 10).price([one.genes for one in EVERY]).high_ms
    assert slowest(SMALL, model, 1, 10)[1].total.high_ms == pytest.approx(high_ms.max())
    quick, latency = fastest(SMALL, model, 1, 10)
    assert latency == estimate(model, SMALL.network(quick, 1, 10))
    assert high_ms.min() - 1e-9 <= latency.total.high_ms <= 1.15 * high_ms.min()

    def weights_mb(cost):
        network = SMALL.network(least(SMALL, cost, "sum", 1, 10), 1, 10)
        return sum(model.block(block).weights_mb for block in network.blocks)

    within = weights_mb(lambda block: model.block(block).interval.ms) <= model.spill.cached_mb
    beyond = weights_mb(lambda block: model.block(block).interval.ms + model.spill.per_mb.ms * model.block(block).weights_mb)
    if within or beyond >= model.spill.cached_mb:  # else the edge of the cache lies between, and a bound is all that is promised
        assert latency.total.high_ms == pytest.approx(high_ms.min())


def test_the_architecture_returned_has_the_latency_returned():
    for found, latency in (fastest(SMALL, NANO, 3, 7), slowest(SMALL, NANO, 3, 7)):
        assert estimate(NANO, SMALL.network(found, 3, 7)) == latency


@pytest.mark.parametrize("combine", ["sum", "max"])
@pytest.mark.parametrize("seed", range(5))
def test_extremes_of_any_cost_are_those_of_all_networks(seed, combine):
    def cost(block):
        return random.Random(f"{seed}{block}").uniform(-1, 1)

    space = replace(SMALL, stem_pool=True, last_conv_width=48, head_kind="wide_head") if seed % 2 else SMALL

    def total(architecture):
        return (sum if combine == "sum" else max)(map(cost, space.network(architecture, 1, 10).blocks))

    totals = [total(space.architecture(one.genes)) for one in EVERY]
    assert total(least(space, cost, combine, 1, 10)) == pytest.approx(min(totals))
    assert total(greatest(space, cost, combine, 1, 10)) == pytest.approx(max(totals))


def test_stages_of_one_layer_and_of_many_have_their_extremes():
    stages = (replace(SMALL.stages[0], depths=(1,)), replace(SMALL.stages[1], depths=(2, 4)))
    space = replace(SMALL, stages=stages)
    assert least(space, lambda block: 1.0, "sum", 1, 10).genes[5] == 0 and greatest(space, lambda block: 1.0, "sum", 1, 10).genes[4] == 1
    assert len(space.network(least(space, lambda block: block.kernel, "max", 1, 10), 1, 10).blocks) == 5


@given(st.tuples(*(st.integers(0, gene.options - 1) for gene in BIG.genes)))
def test_no_network_lies_beyond_the_extremes(genes):
    found = estimate(NANO, BIG.network(BIG.architecture(genes), 1, 10)).total.high_ms
    assert FASTEST.total.high_ms - 1e-9 <= found <= SLOWEST.total.high_ms + 1e-9


def test_an_answer_comes_before_anybody_waits():
    space = search_spaces.load("mobile_shuffle")
    fresh = latency_models.load(hardware_profiles.load("jetson-nano"))
    start = time.process_time()
    fastest(space, fresh, 3, 1000)
    assert time.process_time() - start < 1.0  # 0.2 s where nothing else runs
