import dataclasses
import random

import numpy as np
import pytest

import search_spaces
from hardware_profiles.table_file import Calibration, NetworkTiming, Timing
from latency_models import drawn_networks
from latency_models.lookup_table import LookupTable
from nas.core.device import RuntimeTarget
from nas.core.errors import SpaceError
from nas.core.latency import combine
from nas.core.operators import convolution
from search_spaces import blocks

SPACE = search_spaces.load("mobile_shuffle_32")
TARGET = RuntimeTarget("abacus", "beads", "1", "fp32", 2)
CALIBRATION = Calibration(1.0, 0.0, 0.0, 0.0, 0.9, 1.1, 0.95)
CALL_MS, LAUNCH_MS, MS_A_MMAC, MS_A_MB = 0.02, 0.002, 0.05, 0.03
"""What a session costs once, each operator, and its work: all that a block alone shows."""

FACTOR, HANDOVER_MS, ONCE_MS = 1.15, 0.01, 0.05
"""What a whole network makes of an operator, what it costs beyond that between any two, and once."""

UNSEEN = [SPACE.network(one, 1, 10) for one in SPACE.random(160)[80:]]


def alone_ms(operator):
    return LAUNCH_MS + MS_A_MMAC * operator.macs / 1e6 + MS_A_MB * (operator.in_elements + operator.out_elements) * 4 / 1e6


def operators(network):
    return [operator for block in network.blocks for operator in blocks.operators(block)]


def network_ms(network, of=operators):
    return ONCE_MS + sum(FACTOR * alone_ms(operator) + HANDOVER_MS for operator in of(network))


def table(noise=0.0, networks=80, space=SPACE, classes=10):
    """A table of the device; whole networks repeat within `noise`, every other one is held out."""
    rows = {block: CALL_MS + sum(map(alone_ms, blocks.operators(block))) for block in space.unique_blocks(1, classes)}
    chance, timed = random.Random(3), []
    for i, one in enumerate(space.random(networks)):
        spec = space.network(one, 1, classes)
        measured_ms = network_ms(spec) * (1 + chance.uniform(-noise, noise))
        sum_ms = sum(rows[block] for block in spec.blocks)
        timed.append(NetworkTiming(space.key, len(spec.blocks), blocks.macs(spec), 0.1, sum_ms, measured_ms, i % 2 == 1))
    timings = {block: Timing(ms, ms, 9) for block, ms in rows.items()}
    return LookupTable(TARGET, "measured", CALIBRATION, timings, "measure it", networks=tuple(timed))


def price(model, network):
    parts = operators(network)
    return combine(model, [operator.kind for operator in parts], [model.operator(operator) for operator in parts])


def ratios(model, networks=UNSEEN):
    return np.array([price(model, network).total.ms / network_ms(network) for network in networks])


def test_whole_networks_correct_what_blocks_alone_do_not_show():
    found = table()
    alone = dataclasses.replace(found, networks=()).by_operator()
    plain = ratios(alone)
    assert alone.origin == "estimated" and plain.max() < 0.8, "the handing over is in no block"
    corrected = found.by_operator()
    assert np.abs(ratios(corrected) - 1).max() < 0.03 and corrected.overhead.ms == pytest.approx(ONCE_MS, rel=0.3)
    one = price(corrected, UNSEEN[0])
    assert one.origin == "calibrated" and one.coverage == pytest.approx(1.0) and one.confidence == 0.95


def test_the_interval_is_what_is_left_of_whole_networks():
    quiet, noisy = table().by_operator(), table(noise=0.1).by_operator()
    assert 0.96 < quiet.low_factor <= 1 <= quiet.high_factor < 1.04
    assert 0.85 < noisy.low_factor < 0.94 and 1.06 < noisy.high_factor < 1.15
    chance = random.Random(5)
    inside = 0
    for network in UNSEEN:
        total = price(noisy, network).total
        inside += total.low_ms <= network_ms(network) * (1 + chance.uniform(-0.1, 0.1)) <= total.high_ms
    assert inside >= 0.9 * len(UNSEEN)


def test_bounds_of_an_operator_hold_the_error_of_left_out_rows_too():
    found = table(noise=0.02)
    model, rows = found.by_operator(), found.kernel_model().factors
    like = model.operator(next(operator for operator in operators(UNSEEN[0]) if operator.kind == "pointwise"))
    unlike = model.operator(convolution(256, 256, 3, 1, 56, 56, "relu"))
    dilated = model.operator(dataclasses.replace(next(one for one in operators(UNSEEN[0]) if one.kind == "depthwise"), dilation=2))
    assert dilated.covered_ms == 0 and dilated.interval.ms > 0
    assert like.interval.high_ms == pytest.approx(like.interval.ms * model.high_factor * rows.high) and rows.high > 1
    assert like.covered_ms == like.interval.ms and unlike.covered_ms == 0
    assert unlike.interval.high_ms == pytest.approx(2 * unlike.interval.ms * model.high_factor * rows.high)
    assert unlike.interval.low_ms == pytest.approx(unlike.interval.ms / 2 * model.low_factor * rows.low)


def test_a_table_says_nothing_of_its_networks_but_they_are_found_again():
    for classes in (10, 7):
        found = table(classes=classes)
        known = drawn_networks.specs(found.networks, found.rows)
        assert [timing for timing, _ in known] == list(found.networks) and {spec.classes for _, spec in known} == {classes}
    other = [dataclasses.replace(one, space="mobile_shuffle_32@00000000") for one in found.networks]
    strange = [dataclasses.replace(one, space="nowhere@00000000") for one in found.networks]
    damaged = [dataclasses.replace(found.networks[0], macs=1), *found.networks[1:]]
    for networks in (other, strange, damaged):
        assert drawn_networks.specs(networks, found.rows) == []
    mixed = drawn_networks.specs([*other, *found.networks], found.rows)
    assert [timing for timing, _ in mixed] == list(found.networks), "those of another space are left out, and only those"


def test_chance_draws_the_same_networks_in_the_same_order():
    few, many = SPACE.random(5), SPACE.random(40)
    assert few == many[:5] and len(set(many)) == 40 and SPACE.random(5, seed=1) != few
    with pytest.raises(SpaceError, match=rf"mobile_shuffle_32 has {SPACE.size} networks, {SPACE.size + 1} were asked for"):
        SPACE.random(SPACE.size + 1)
