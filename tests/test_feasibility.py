"""Whether a budget can be met and whether it limits anything, on a device whose prices anyone can compute."""

import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import search_spaces
from nas import feasibility, footprint
from nas.core.budget import Budget
from nas.core.errors import DeviceError, InfeasibleBudgetError
from nas.core.latency import Interval, estimate
from nas.core.objectives import KEYS
from nas.core.units import format_latency, parse_energy_mj, parse_latency_ms, parse_macs, parse_size_mb
from tests.tiny import SPACE, Device

DEVICE = Device()
EVERY = [SPACE.architecture(genes) for genes in itertools.product(*(range(gene.options) for gene in SPACE.genes))]
BOUNDS = sorted((estimate(DEVICE, SPACE.network(one, 1, 10)).total.high_ms, SPACE.describe(one)) for one in EVERY)
(FASTEST_MS, FASTEST), (SLOWEST_MS, _) = BOUNDS[0], BOUNDS[-1]
WIDER = replace(SPACE, name="wider", head_width=2000)
WIDEST = replace(SPACE, name="widest", resolutions=(8, 64))


@pytest.fixture
def spaces(monkeypatch):
    """The spaces that there are, in place of the real ones."""
    known = {space.name: space for space in (SPACE, WIDER, WIDEST)}
    monkeypatch.setattr(search_spaces, "names", lambda: tuple(sorted(known)))
    monkeypatch.setattr(search_spaces, "load", known.__getitem__)
    return known


def slowest_ms(space):
    return estimate(DEVICE, space.network(space.largest(), 1, 10)).total.high_ms


def check(budget_ms, device=DEVICE, space=SPACE):
    return feasibility.check(space, device, Budget(budget_ms), 1, 10)


def test_a_budget_that_some_meet_and_some_do_not_needs_no_words(spaces):
    assert check(FASTEST_MS + 1e-9) == check((FASTEST_MS + SLOWEST_MS) / 2) == check(SLOWEST_MS - 1e-6) == ()


def test_a_budget_below_the_fastest_network_is_refused_with_it():
    with pytest.raises(InfeasibleBudgetError) as caught:
        check(FASTEST_MS - 0.1)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "is below the fastest network of tiny on abacus: " in message
    assert f"{format_latency(FASTEST_MS)} at its upper bound" in message and "expected, estimated;" in message
    assert FASTEST in message
    with pytest.raises(InfeasibleBudgetError, match=rf"budget {FASTEST_MS - 1e-6:.7g} ms is below .*: {FASTEST_MS:.7g} ms at its upper"):
        check(FASTEST_MS - 1e-6)


def test_the_budget_that_the_refusal_asks_for_is_met():
    with pytest.raises(InfeasibleBudgetError) as caught:
        check(0.01)
    check(parse_latency_ms(str(caught.value).rpartition("Give --budget ")[2].removesuffix(" or more")))


@given(st.floats(1e-4, 5000))
def test_for_any_device_the_budget_that_is_asked_for_is_met(overhead):
    device = Device(overhead=Interval(overhead, overhead, overhead))
    with pytest.raises(InfeasibleBudgetError) as caught:
        check(overhead * 0.5, device)
    wanted = parse_latency_ms(str(caught.value).rpartition("Give --budget ")[2].removesuffix(" or more"))
    fastest_ms = estimate(device, SPACE.network(next(one for one in EVERY if SPACE.describe(one) == FASTEST), 1, 10)).total.high_ms
    assert fastest_ms <= wanted <= fastest_ms + 0.11


def test_a_budget_that_limits_nothing_says_so_and_names_the_next_larger_space(spaces):
    (sentence,) = check(SLOWEST_MS + 1e-6)
    assert sentence.startswith(
        f"The budget of {format_latency(SLOWEST_MS)} limits nothing: even the slowest network of tiny takes at most "
    )
    assert f"takes at most {format_latency(SLOWEST_MS)} on abacus (estimated). " in sentence
    assert f"try --space wider (8 to 12 px, up to {format_latency(slowest_ms(WIDER))});" in sentence
    assert sentence.endswith(f"for a limit that binds give less than {format_latency(SLOWEST_MS)}.")


def test_the_space_to_try_is_one_that_the_budget_limits(spaces):
    (sentence,) = check(slowest_ms(WIDER) + 0.1)
    assert f"try --space widest (8 to 64 px, up to {format_latency(slowest_ms(WIDEST))})" in sentence


def test_a_space_for_larger_images_alone_is_not_advised(spaces):
    spaces["wider"] = replace(WIDER, resolutions=(SPACE.resolutions[-1] + 4,))
    (sentence,) = check(SLOWEST_MS + 1e-6)
    assert "--space widest" in sentence


def test_where_no_space_is_slow_enough_none_is_advised(spaces):
    (sentence,) = check(1000.0)
    assert "--space" not in sentence and sentence.endswith(f"For a limit that binds give less than {format_latency(SLOWEST_MS)}.")


@dataclass(frozen=True)
class Table(Device):
    """A device of which only narrow heads were measured."""

    def block(self, spec):
        if spec.kind == "head" and spec.hidden_channels > 100:
            raise DeviceError("nothing near")
        return Device.block(self, spec)


def test_a_space_that_the_device_cannot_price_is_not_advised(spaces):
    (sentence,) = check(SLOWEST_MS + 1e-6, Table())
    assert "--space widest" in sentence


def test_a_space_of_its_own_that_it_cannot_price_is_an_error(spaces):
    with pytest.raises(DeviceError, match="nothing near"):
        check(1000.0, Table(), WIDER)


COSTS = {one: footprint.costs(SPACE.network(one, 1, 10), estimate(DEVICE, SPACE.network(one, 1, 10)).total, "fp32", 5.0) for one in EVERY}
METRICS = ("size", "memory", "energy", "macs")


def extreme(metric, pick):
    return pick(costs.bound(metric) for costs in COSTS.values())


def limited(**limits):
    return feasibility.check(SPACE, DEVICE, Budget(SLOWEST_MS - 1e-6, **limits), 1, 10, power_w=5.0)


def limit(metric, amount):
    return {KEYS[metric]: amount}


@pytest.mark.parametrize("metric", METRICS)
def test_a_limit_below_the_least_of_the_space_is_refused_with_it(spaces, metric):
    lowest = extreme(metric, min)
    with pytest.raises(InfeasibleBudgetError) as caught:
        limited(**limit(metric, 0.999 * lowest))
    parse = {"energy": parse_energy_mj, "macs": parse_macs}.get(metric, parse_size_mb)
    message = str(caught.value)
    wanted = parse(message.rpartition(f"Give --max-{metric} ")[2].removesuffix(" or more"))
    assert lowest <= wanted <= 1.06 * lowest + 0.0001
    assert any(SPACE.describe(one) in message for one, costs in COSTS.items() if costs.bound(metric) == pytest.approx(lowest))
    limited(**limit(metric, wanted))


@pytest.mark.parametrize("metric", METRICS)
def test_a_limit_that_some_keep_and_some_do_not_needs_no_words_and_one_that_all_keep_does(spaces, metric):
    lowest, highest = extreme(metric, min), extreme(metric, max)
    assert limited(**limit(metric, (lowest + highest) / 2)) == ()
    (sentence,) = limited(**limit(metric, 1.001 * highest))
    assert "limits nothing" in sentence and Budget(1.0, **limit(metric, highest)).say(metric).split()[0] in sentence


SHARES = st.floats(0, 1)


@given(SHARES, st.none() | SHARES, SHARES, SHARES, st.none() | SHARES)
def test_limits_together_are_refused_only_where_no_network_keeps_them(ms, size, memory, energy, macs):
    """Each limit lies between the least and the most of the space; whoever keeps all of them is known."""

    def between(metric, share):
        if share is None:
            return None
        return extreme(metric, min) + share**3 * (extreme(metric, max) - extreme(metric, min)) + 1e-12

    budget = Budget(
        between("latency", ms), between("size", size), between("memory", memory), between("energy", energy), between("macs", macs)
    )
    keeping = any(budget.holds(costs) for costs in COSTS.values())
    try:
        feasibility.check(SPACE, DEVICE, budget, 1, 10, power_w=5.0)
        assert keeping
    except InfeasibleBudgetError as error:
        assert "widen at least one" in str(error)
        assert not keeping or "not proven" in str(error)
