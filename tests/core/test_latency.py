"""Budgets, intervals and estimates."""

import pytest
from hypothesis import given

from nas.core.budget import Budget, Costs
from nas.core.errors import DeviceError, UnitError
from nas.core.latency import BlockPrice, Interval, LatencyEstimate, combine, estimate
from tests.tiny import SPACE, Device, architectures

DEVICE = Device()


@pytest.mark.parametrize("ms", [0.0, -1.0, float("inf"), float("nan")])
def test_a_budget_is_above_zero_and_finite(ms):
    with pytest.raises(UnitError, match=f"above zero and finite, got {ms:g} ms"):
        Budget(ms)


def test_a_budget_holds_on_the_upper_bound():
    assert Budget(20).holds(Costs(Interval(15, 12, 20)))
    assert not Budget(20).holds(Costs(Interval(15, 12, 20.001)))
    assert Budget(20).violations(Costs(Interval(15, 12, 30))) == {"latency": pytest.approx(0.5)}
    assert Budget(20).violations(Costs(Interval(5, 5, 10))) == {"latency": pytest.approx(-0.5)}
    assert str(Budget(20)) == "20.00 ms"


@pytest.mark.parametrize(
    "bounds", [(1, 2, 3), (3, 1, 2), (2, -1, 3), (1, 1, float("inf")), (float("nan"), 0, 1), (1, 0, float("nan"))], ids=str
)
def test_what_is_no_interval_is_refused(bounds):
    with pytest.raises(DeviceError, match="not an interval"):
        Interval(*bounds)


def test_intervals_add_up():
    assert Interval(2, 1, 3) + Interval(20, 10, 30) == Interval(22, 11, 33)


@given(architectures())
def test_a_network_costs_the_overhead_and_the_sum_of_its_blocks(architecture):
    network = SPACE.network(architecture, 1, 10)
    found = estimate(DEVICE, network)
    assert [slot for slot, _ in found.parts] == ["overhead", *network.slots]
    assert dict(found.parts) == {
        "overhead": DEVICE.overhead,
        **{slot: DEVICE.block(block).interval for slot, block in zip(network.slots, network.blocks, strict=True)},
    }
    for field in ("ms", "low_ms", "high_ms"):
        assert getattr(found.total, field) == pytest.approx(sum(getattr(part, field) for _, part in found.parts))
    assert (found.origin, found.confidence, found.target) == ("estimated", 0.9, DEVICE.target)


def test_coverage_is_the_share_that_was_measured():
    prices = [BlockPrice(Interval(1.0, 1.0, 1.0), 1.0), BlockPrice(Interval(2.5, 1.0, 4.0), 0.0)]
    assert combine(DEVICE, ("a", "b"), prices).coverage == pytest.approx((0.5 + 1.0) / 4.0)


def test_an_origin_is_one_of_three():
    with pytest.raises(DeviceError, match="origin is one of measured, calibrated, estimated, not 'guessed'"):
        LatencyEstimate(Interval(1, 1, 1), (), "guessed", 1.0, 0.9, DEVICE.target)


def test_a_target_reads_as_a_sentence():
    assert str(DEVICE.target) == "abacus beads 1 fp32, 1 thread, batch 1"
