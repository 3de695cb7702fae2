"""What networks that were timed make of prices: a bias is learned, noise is not, and every bound holds what was seen."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.table_file import NetworkTiming, Timing
from latency_models.calibration import calibrate
from latency_models.lookup_table import LookupTable
from latency_models.pricing import PriceTable
from latency_models.refitting import MIN_TIMED, Corrected, Timed, TimedPrices, bias, refit
from nas.core.latency import Interval, estimate
from search_spaces import blocks
from tests import tiny

SPACE, TARGET = tiny.SPACE, tiny.TARGET
DRAW = random.Random(1)
NETWORKS = [SPACE.network(SPACE.architecture([DRAW.randrange(gene.options) for gene in SPACE.genes]), 1, 3) for _ in range(60)]
ROWS = {
    block: Timing(ms, 1.2 * ms, 50)
    for block in SPACE.unique_blocks(1, 3)
    for ms in [0.02 + sum(operator.macs for operator in blocks.operators(block)) / 1e6]
}


def known():
    """Networks of a table: 0.95 of their blocks, less 0.01 ms a join, give or take two per cent."""
    noise, found = random.Random(2), []
    for i, network in enumerate(NETWORKS[:40]):
        total = sum(ROWS[block].p10_ms for block in network.blocks)
        ms = (0.95 * total - 0.01 * (len(network.blocks) - 1)) * (1 + noise.gauss(0, 0.02))
        found.append(NetworkTiming(SPACE.key, len(network.blocks), blocks.macs(network), 0.1, total, ms, i >= 32))
    return found


KNOWN = known()
TABLE = LookupTable(TARGET, "measured", calibrate(KNOWN), ROWS, "measure")
MODELS = {"table": (TABLE, KNOWN), "kernels": (tiny.Device(), ())}
UNSEEN = NETWORKS[40:]


def timed(model, networks, factor=1.0, noise=0.0, seed=3):
    chance = random.Random(seed)
    return [Timed(one, estimate(model, one).total.ms * factor * (1 + chance.gauss(0, noise))) for one in networks]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_bias_of_a_third_is_learned_from_five_networks(name, noise):
    model, own = MODELS[name]
    found = refit(model, timed(model, UNSEEN[:5], 1.3, noise), own)
    for network in UNSEEN[5:]:
        truth = 1.3 * estimate(model, network).total.ms
        price = estimate(found.model, network)
        assert price.total.ms == pytest.approx(truth, rel=0.03)
        assert price.total.low_ms <= truth <= price.total.high_ms
    assert found.left_out_ms == pytest.approx([1.3 * estimate(model, one).total.ms for one in UNSEEN[:5]], rel=0.04)
    assert found.model.origin == ("measured" if name == "table" else "calibrated")
    assert (found.model.target, found.model.confidence) == (TARGET, model.confidence)


@pytest.mark.parametrize("name", MODELS)
def test_noise_is_not_learned(name):
    model, own = MODELS[name]
    found = refit(model, timed(model, UNSEEN[:6], 1.0, 0.02), own).model
    for network in UNSEEN[6:]:
        assert estimate(found, network).total.ms == pytest.approx(estimate(model, network).total.ms, rel=0.015)


@pytest.mark.parametrize("name", MODELS)
def test_too_few_networks_change_no_price_but_widen_bounds_that_are_wrong(name):
    model, own = MODELS[name]
    assert refit(model, (), own) == (refit(model, (), own)) and refit(model, (), own).model is model
    slow = timed(model, UNSEEN[: MIN_TIMED - 1], 1.5)
    found = refit(model, slow, own)
    assert found.left_out_ms == pytest.approx([one.ms / 1.5 for one in slow])
    for network in UNSEEN:
        before, after = estimate(model, network), estimate(found.model, network)
        assert after.total.ms == pytest.approx(before.total.ms) and after.origin == before.origin
        assert after.total.high_ms >= 1.4 * after.total.ms, "as wide as the two show, in halves of the interval that it had"
    for one in slow:
        assert estimate(found.model, one.network).total.high_ms >= one.ms * (1 - 1e-9)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=15, deadline=None)
@given(ratios=st.lists(st.floats(0.4, 3.0), min_size=1, max_size=8))
def test_bounds_hold_every_network_that_was_timed(name, ratios):
    model, own = MODELS[name]
    seen = [Timed(one, ratio * estimate(model, one).total.ms) for one, ratio in zip(UNSEEN, ratios, strict=False)]
    found = refit(model, seen, own)
    for one in seen:
        total = estimate(found.model, one.network).total
        assert total.low_ms * (1 - 1e-9) <= one.ms <= total.high_ms * (1 + 1e-9)
    assert len(found.left_out_ms) == len(seen) and all(math.isfinite(ms) and ms >= 0 for ms in found.left_out_ms)


def test_few_networks_that_agree_do_not_make_a_bound_thinner_than_they_allow():
    """Three networks two per cent apart: a t-interval of two degrees of freedom is wide."""
    model = tiny.Device()
    ratios = (1.0, 1.02, 1.04)
    found = refit(model, [Timed(one, ratio * estimate(model, one).total.ms) for one, ratio in zip(UNSEEN, ratios, strict=False)]).model
    total = estimate(found, UNSEEN[5]).total
    assert total.high_ms / total.ms - 1 > 2 * 0.02
    many = refit(model, timed(model, UNSEEN[:20], 1.0, 0.02)).model
    assert estimate(many, UNSEEN[5]).total.high_ms < total.high_ms


def test_an_overhead_is_found_where_a_factor_does_not_do():
    model = tiny.Device()
    seen = [Timed(one, 2.0 * (estimate(model, one).total.ms - model.overhead.ms) + 3.0) for one in UNSEEN[:8]]
    found = refit(model, seen).model
    assert (
        isinstance(found, Corrected) and found.overhead.ms == pytest.approx(3.0, rel=1e-3) and found.factor == pytest.approx(2.0, rel=1e-3)
    )
    assert found.overhead.low_ms < found.overhead.ms < found.overhead.high_ms
    for network in UNSEEN[8:]:
        assert estimate(found, network).total.ms == pytest.approx(2.0 * (estimate(model, network).total.ms - 0.5) + 3.0, rel=1e-3)


@given(st.floats(-1, 1), st.integers(1, 12), st.floats(0.01, 0.2))
def test_a_bias_is_never_taken_for_more_than_it_is(mean, count, spread):
    found = bias(np.full(count, mean), spread)
    assert 0 <= found / mean <= 1 if mean else found == 0
    assert abs(bias(np.full(count + 1, mean), spread)) >= abs(found) - 1e-12, "more networks are believed more"
    assert bias(np.array([]), spread) == 0


def test_a_corrected_model_prices_blocks_and_bounds_alike():
    model = tiny.Device()
    found = refit(model, timed(model, UNSEEN[:6], 1.3)).model
    block = UNSEEN[0].blocks[1]
    before, after = model.block(block), found.block(block)
    assert after.interval.ms / before.interval.ms == pytest.approx(found.factor) == pytest.approx(after.covered_ms / before.covered_ms)
    assert 0 <= after.interval.low_ms <= after.interval.ms <= after.interval.high_ms
    assert found.spill.per_mb == Interval(0, 0, 0)


def test_architectures_that_were_timed_cost_what_was_measured_in_bulk_too():
    plain = PriceTable.of(SPACE, tiny.Device(), 1, 3)
    chance = random.Random(5)
    architectures = [SPACE.architecture([chance.randrange(gene.options) for gene in SPACE.genes]) for _ in range(200)]
    genes = np.array([one.genes for one in architectures], dtype=np.int32)
    measured = {architectures[i].genes: Interval(1.0 + i, 0.5 + i, 2.0 + i) for i in (3, 50, 199)}
    found, before = TimedPrices.over(plain, measured).price(genes), plain.price(genes)
    for i, one in enumerate(architectures):
        wanted = measured.get(one.genes)
        if wanted:
            assert (found.ms[i], found.low_ms[i], found.high_ms[i], found.coverage[i]) == (wanted.ms, wanted.low_ms, wanted.high_ms, 1.0)
        else:
            assert (found.ms[i], found.low_ms[i], found.high_ms[i]) == (before.ms[i], before.low_ms[i], before.high_ms[i])
    assert np.array_equal(TimedPrices.over(plain, {}).price(genes).ms, before.ms)


def test_a_table_without_enough_networks_of_its_own_gets_a_factor():
    bare = replace(TABLE.calibration, factor=1.0, join_ms=0.0)
    table = LookupTable(TARGET, "measured", bare, ROWS, "measure")
    found = refit(table, timed(table, UNSEEN[:5], 1.3), KNOWN[:2]).model
    assert isinstance(found, Corrected) and found.factor == pytest.approx(1.3, rel=0.02)


def test_a_table_follows_a_device_that_has_become_another():
    """Joins save nothing any more and blocks cost a fifth more: terms that a common factor cannot say."""
    chance = random.Random(7)

    def truth(network):
        return 1.15 * sum(ROWS[block].p10_ms for block in network.blocks) * (1 + chance.gauss(0, 0.01))

    seen = [Timed(one, truth(one)) for one in UNSEEN[:10]]
    found = refit(TABLE, seen, KNOWN)
    truths = [truth(one) for one in UNSEEN[10:]]

    def off(model):
        return np.mean([abs(estimate(model, one).total.ms / ms - 1) for one, ms in zip(UNSEEN[10:], truths, strict=True)])

    assert off(found.model) < 0.02 < 0.1 < off(TABLE)
    assert np.mean([abs(ms / one.ms - 1) for ms, one in zip(found.left_out_ms, seen, strict=True)]) < 0.025
