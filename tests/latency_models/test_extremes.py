import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_profiles
import latency_models
import search_spaces
from latency_models.extremes import fastest, slowest
from nas.core.latency import estimate
from nas.core.space import Choice, SearchSpace, Stage

NANO = latency_models.load(hardware_profiles.load("jetson-nano"))
CHOICES = (Choice("mbconv", 5, 3), Choice("shuffle_unit", 3), Choice("mbconv", 3, 2))
SMALL = SearchSpace(
    name="small",
    resolutions=(16, 24),
    stem_width=8,
    stem_stride=1,
    stem_activation="relu",
    stages=(
        Stage(widths=(24, 16), depths=(2, 1), stride=2, choices=CHOICES, se=False, activation="relu"),
        Stage(widths=(32, 40), depths=(1, 2), stride=2, choices=CHOICES, se=True, activation="hard_swish"),
    ),
    head_width=64,
    head_activation="relu",
)
BIG = search_spaces.load("mobile_shuffle_32")
FASTEST, SLOWEST = fastest(BIG, NANO, 1, 10)[1], slowest(BIG, NANO, 1, 10)[1]


def test_extremes_of_a_small_space_are_those_of_all_its_networks():
    every = {SMALL.architecture(genes) for genes in itertools.product(*(range(gene.options) for gene in SMALL.genes))}
    assert len(every) == SMALL.size
    bounds = [estimate(NANO, SMALL.network(architecture, 1, 10)).total.high_ms for architecture in every]
    assert fastest(SMALL, NANO, 1, 10)[1].total.high_ms == pytest.approx(min(bounds))
    assert slowest(SMALL, NANO, 1, 10)[1].total.high_ms == pytest.approx(max(bounds))


def test_the_architecture_returned_has_the_latency_returned():
    for found, latency in (fastest(SMALL, NANO, 3, 7), slowest(SMALL, NANO, 3, 7)):
        assert estimate(NANO, SMALL.network(found, 3, 7)) == latency


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
