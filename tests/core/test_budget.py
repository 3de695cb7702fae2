"""Limits: each metric against its own, on upper bounds, and nothing that is not known is taken for nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.budget import Budget, Costs
from nas.core.errors import UnitError
from nas.core.latency import Interval

ALL = Budget(20.0, 4.0, 64.0, 50.0)
LABOUR = Budget(20.0, macs=10e6)
FITTING = Costs(Interval(8.0, 6.0, 10.0), 4.0, 1.5, 5.0)
AMOUNTS = st.one_of(st.none(), st.floats(1e-3, 1e3))


def test_energy_is_measured_power_for_as_long_as_the_latency():
    assert (FITTING.energy_mj, FITTING.energy_high_mj) == (40.0, 50.0)


@pytest.mark.parametrize("costs", [Costs(Interval(8.0, 6.0, 10.0), 4.0, 1.5), Costs(None, 4.0, 1.5, 5.0)], ids=["no power", "no latency"])
def test_energy_is_never_invented(costs):
    assert costs.energy_mj is None and costs.energy_high_mj is None


def test_overruns_are_relative_and_on_the_upper_bounds():
    assert ALL.violations(FITTING) == {"latency": -0.5, "size": 0.0, "memory": pytest.approx(1.5 / 64 - 1), "energy": 0.0}
    assert ALL.holds(FITTING)
    over = Costs(Interval(8.0, 6.0, 30.0), 8.0, 128.0, 5.0)
    assert ALL.violations(over) == {"latency": 0.5, "size": 1.0, "memory": 1.0, "energy": 2.0} and not ALL.holds(over)


def test_what_is_not_limited_does_not_matter():
    assert Budget(20.0).violations(Costs(Interval(8.0, 6.0, 10.0), 1e9, 1e9, 1e9)) == {"latency": -0.5}


def test_what_is_not_known_neither_holds_nor_fails():
    assert Budget(20.0).verdict(Costs(None)) is None
    assert ALL.verdict(Costs(FITTING.latency, 4.0, None, 5.0)) is None and not ALL.holds(Costs(FITTING.latency, 4.0, None, 5.0))
    assert ALL.verdict(Costs(None, 4.1)) is False, "one limit that is exceeded is enough"


@given(st.floats(1e-3, 1e3), AMOUNTS, AMOUNTS, AMOUNTS, st.floats(0, 1e3), AMOUNTS, AMOUNTS, AMOUNTS)
def test_it_holds_if_no_limit_is_exceeded_and_all_that_is_limited_is_known(ms, size, memory, energy, high, costs_size, costs_memory, watts):
    budget, costs = Budget(ms, size, memory, energy), Costs(Interval(high, 0.0, high), costs_size, costs_memory, watts)
    pairs = [(ms, high), (size, costs_size), (memory, costs_memory), (energy, None if watts is None else watts * high)]
    within = [None if cost is None else cost / limit <= 1.0 for limit, cost in pairs if limit is not None]
    assert budget.verdict(costs) is (False if False in within else None if None in within else True)


def test_operations_are_a_limit_as_any_other():
    costs = Costs(FITTING.latency, macs=12e6)
    assert LABOUR.violations(costs) == {"latency": -0.5, "macs": pytest.approx(0.2)} and not LABOUR.holds(costs)
    assert LABOUR.verdict(FITTING) is None, "nobody counted them"
    assert str(LABOUR) == "20.00 ms, 10.0 M MACs"


def test_what_is_expected_is_the_middle_and_what_is_limited_the_upper_end():
    assert (FITTING.value("latency"), FITTING.bound("latency")) == (8.0, 10.0)
    assert (FITTING.value("energy"), FITTING.bound("energy")) == (40.0, 50.0)
    assert (FITTING.value("size"), FITTING.value("memory"), FITTING.value("macs")) == (4.0, 1.5, None)


def test_it_says_every_limit():
    assert str(Budget(20.0)) == "20.00 ms"
    assert str(ALL) == "20.00 ms, 4.00 MB on disk, 64.00 MB of memory, 50.00 mJ"
    assert ALL.say("size") == "4.00 MB on disk"


@pytest.mark.parametrize(
    "limits", [(0.0,), (20.0, -1.0), (20.0, None, float("nan")), (20.0, None, None, float("inf")), (20.0, None, None, None, 0.0)]
)
def test_a_limit_is_above_zero_and_finite(limits):
    with pytest.raises(UnitError, match="limit must be above zero and finite, got"):
        Budget(*limits)
