"""What strategies are told of many architectures is what the study is told of one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

import hardware_profiles
import latency_models
import search_spaces
from nas import footprint, landscapes
from nas.core.budget import Budget
from nas.core.errors import ObjectivesError
from nas.core.latency import estimate
from nas.core.objectives import Objectives
from nas.core.units import format_latency, format_macs, format_size
from tests.executors.fakes import SPACE, TWELVE, costs, everything
from tests.strategies.problems import space_landscape
from tests.tiny import CLASSES, Device, architectures


@given(architectures())
def test_prices_of_many_are_those_of_one(architecture):
    need = costs(architecture)
    budget = Budget(need.latency.high_ms * 1.1, need.size_mb * 2, need.memory_mb * 0.9)
    prices = space_landscape(budget).price(np.array([architecture.genes], dtype=np.int32))
    assert prices.costs.shape == (1, 1) and prices.costs[0, 0] == pytest.approx(need.latency.ms)
    assert prices.overrun[0] == pytest.approx(max(budget.violations(need).values()))


@given(architectures())
def test_every_objective_is_priced_as_the_study_tells_it(architecture):
    objectives = Objectives(("size", "energy", "accuracy", "macs", "latency", "memory"))
    table = landscapes.CostTable.of(SPACE, Device(), 1, CLASSES, 2.0)
    need = replace(costs(architecture), power_w=2.0)
    budget = Budget(1000.0, macs=need.macs / 2)
    prices = table.price(np.array([architecture.genes], dtype=np.int32), budget, objectives)
    assert prices.costs[0] == pytest.approx(objectives.of(need))
    assert prices.overrun[0] == pytest.approx(1.0)


def test_energy_is_no_objective_where_nobody_measured_power():
    table = landscapes.CostTable.of(SPACE, Device(), 1, CLASSES, None)
    with pytest.raises(ObjectivesError, match="no power was measured"):
        table.price(np.array([SPACE.largest().genes], dtype=np.int32), Budget(1.0), Objectives(("accuracy", "energy")))


def test_energy_is_limited_where_power_is_known():
    table = landscapes.CostTable.of(SPACE, Device(), 1, CLASSES, 2.0)
    genes = np.array([SPACE.largest().genes], dtype=np.int32)
    high_ms = estimate(Device(), SPACE.network(SPACE.largest(), 1, CLASSES)).total.high_ms
    assert table.bounds(genes, {"energy": 1.0})["energy"][0] == pytest.approx(2.0 * high_ms)


def test_a_small_space_is_listed_whole_and_canonical():
    landscape = space_landscape(space=TWELVE)
    listed = {TWELVE.architecture([int(gene) for gene in genes]) for genes in landscape.everything}
    assert listed == everything(TWELVE) and len(landscape.everything) == TWELVE.size == landscape.size
    assert (landscape.nearest(landscape.everything) == landscape.everything).all()


def test_genes_without_effect_are_set_to_zero_as_the_space_does():
    landscape, rng = space_landscape(), np.random.default_rng(0)
    raw = np.stack([rng.integers(0, gene.options, 200) for gene in SPACE.genes], axis=1)
    wanted = [SPACE.architecture([int(gene) for gene in genes]).genes for genes in raw]
    assert [tuple(map(int, genes)) for genes in landscape.nearest(raw)] == wanted


def test_a_survey_says_what_limits_and_how_much():
    table = landscapes.CostTable.of(SPACE, Device(), 1, CLASSES, None)
    needs = [costs(one) for one in everything(SPACE)]
    high = sorted(one.latency.high_ms for one in needs)
    found = landscapes.survey(table, Budget(high[len(high) // 4], max(one.size_mb for one in needs)))
    assert found.binding == "latency" and found.shares["size"] == 1.0 and found.share == found.shares["latency"]
    assert found.share == pytest.approx(0.25, abs=0.15), "draws are even over genes, not over architectures"
    assert set(found.ranges) == {"latency", "size", "memory", "macs"}
    assert high[0] <= found.ranges["latency"].least <= found.ranges["latency"].median <= found.ranges["latency"].most <= high[-1]


def test_an_overview_has_the_exact_ends_and_the_limit_that_binds():
    table = landscapes.CostTable.of(SPACE, Device(), 1, CLASSES, 2.0)
    needs = [costs(one) for one in everything(SPACE)]
    budget = Budget(sorted(one.latency.high_ms for one in needs)[len(needs) // 4], macs=max(one.macs for one in needs))
    first, *metrics, last = landscapes.overview(table, Device(), budget, 1, CLASSES)
    assert first.startswith(f"tiny on abacus, {SPACE.size:,} networks") and len(metrics) == 5
    for metric, text in (("latency", format_latency), ("size", format_size), ("memory", format_size), ("macs", format_macs)):
        values = [one.bound(metric) for one in needs]
        line = next(line for line in metrics if line.strip().startswith({"size": "model file", "macs": "operations"}.get(metric, metric)))
        low, _, high = line.partition(": ")[2].split(", ")
        assert (low, high) == (text(min(values)), text(max(values)))
    assert "binds most is the limit of" in last and budget.say("latency") in last and "%" in last


def test_a_shipped_space_on_a_shipped_device():
    space, model = search_spaces.load("mobile_shuffle_32"), latency_models.load(hardware_profiles.load("jetson-nano"))
    table = landscapes.CostTable.of(space, model, 1, 10, None)
    landscape = landscapes.of_space(table, model, Budget(10.0, 1.0, 0.2), 1, 10)
    genes = landscape.draw(20, np.random.default_rng(0))
    prices = landscape.price(genes)
    for row, ms, overrun in zip(genes, prices.costs[:, 0], prices.overrun, strict=True):
        network = space.network(space.architecture([int(gene) for gene in row]), 1, 10)
        need = footprint.costs(network, estimate(model, network).total, "fp32", None)
        assert ms == pytest.approx(need.latency.ms)
        assert overrun == pytest.approx(max(Budget(10.0, 1.0, 0.2).violations(need).values()))
