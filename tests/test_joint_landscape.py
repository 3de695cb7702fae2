"""What a search over precision and pruning is told of costs, and what it makes of it."""

import numpy as np
import pytest
from hypothesis import given

from nas import footprint, strategies
from nas.core.budget import Budget
from nas.core.errors import InfeasibleBudgetError
from nas.core.evaluation import Evaluation
from nas.core.latency import estimate
from nas.core.objectives import Objectives
from nas.core.units import format_latency
from nas.joint_space import JointSpace
from nas.study import SearchStudy
from search_spaces import blocks
from tests.executors.fakes import TWELVE
from tests.joint import JOINT, Integers, prices
from tests.tiny import CLASSES, SPACE, Device, architectures

LOOSE = Budget(1000.0)
COSTS = Objectives.parse("accuracy,latency,size")
PRICES = prices()
LANDSCAPE = PRICES.landscape(Budget(0.9, size_mb=0.05, memory_mb=0.02), 1, CLASSES, COSTS)


def costs(architecture, of=PRICES):
    return of.price(architecture, 1, CLASSES)


@given(architectures(JOINT))
def test_prices_of_many_are_those_of_one(architecture):
    found, need = LANDSCAPE.price(np.array([architecture.genes], dtype=np.int32)), costs(architecture)
    assert found.costs[0] == pytest.approx(COSTS.of(need))
    assert found.overrun[0] == pytest.approx(max(Budget(0.9, size_mb=0.05, memory_mb=0.02).violations(need).values()))


def test_each_version_has_its_own_prices_whatever_stands_beside_it():
    genes = LANDSCAPE.draw(300, np.random.default_rng(0))
    together = LANDSCAPE.price(genes)
    for row, ms in zip(genes, together.costs[:, 0], strict=True):
        architecture = JOINT.architecture([int(gene) for gene in row])
        model = Integers() if JOINT.precision(architecture) == "int8" else Device()
        network = JOINT.network(architecture, 1, CLASSES)
        assert ms == pytest.approx(estimate(model, network).total.ms)
        assert costs(architecture).size_mb == footprint.size_mb(network, JOINT.precision(architecture))


def test_a_small_joint_space_is_listed_whole():
    joint = JointSpace(TWELVE, ("fp32", "int8"), (1.0, 0.5))
    listed = prices(joint).landscape(LOOSE, 1, CLASSES, Objectives()).everything
    found = {joint.architecture([int(gene) for gene in genes]) for genes in listed}
    assert len(listed) == len(found) == joint.size and {one.genes for one in found} == {tuple(map(int, genes)) for genes in listed}


def test_starts_and_draws_are_canonical_and_hold_the_fastest_of_each_combination():
    for genes in (LANDSCAPE.starts, LANDSCAPE.draw(200, np.random.default_rng(1))):
        assert (LANDSCAPE.nearest(genes) == genes).all() and LANDSCAPE.legal(genes).all()
    assert {(int(p), int(k)) for p, k in LANDSCAPE.starts[:, -2:]} == {(p, k) for p in range(2) for k in range(3)}
    everything = LANDSCAPE.price(LANDSCAPE.everything).costs[:, 0]
    assert LANDSCAPE.price(LANDSCAPE.starts).costs[:, 0].min() == pytest.approx(everything.min())


def bounds(version):
    """Upper bounds of the latencies of all networks of one combination."""
    every = LANDSCAPE.everything
    rows = every[(every[:, -2:] == version).all(axis=1)]
    return [costs(JOINT.architecture([int(gene) for gene in row])).latency.high_ms for row in rows]


def test_the_fastest_of_all_combinations_decides_whether_a_budget_can_be_met():
    least = {version: min(bounds(version)) for version in ((0, 0), (1, 0), (1, 2))}
    assert least[1, 2] < least[1, 0] < least[0, 0], "else there is nothing to tell apart"
    assert PRICES.check(Budget((least[1, 2] + least[1, 0]) / 2), 1, CLASSES) == ()
    with pytest.raises(InfeasibleBudgetError, match="below the fastest network of tiny on abacus") as caught:
        PRICES.check(Budget(0.9 * least[1, 2]), 1, CLASSES)
    said = str(caught.value)
    assert caught.value.exit_code == 3 and said.startswith("int8, 0.5 of hidden channels: ")
    assert format_latency(least[1, 2]) in said and "the fastest of the 6 combinations of precision and pruning" in said


def test_a_budget_limits_nothing_only_if_it_limits_no_combination():
    slowest = {version: max(bounds(version)) for version in ((0, 0), (1, 0))}
    assert PRICES.check(Budget((slowest[0, 0] + slowest[1, 0]) / 2), 1, CLASSES) == (), "fp32 is limited, int8 is not"
    sizes = LANDSCAPE.price(LANDSCAPE.everything).costs[:, 1]
    sentences = PRICES.check(Budget(slowest[0, 0] * 1.01, size_mb=sizes.max() + 0.001, memory_mb=0.01), 1, CLASSES)
    assert [sentence.partition(" limits nothing")[0].split()[1] for sentence in sentences] == ["budget", "limit"], sentences
    assert format_latency(slowest[0, 0]) in sentences[0]


def test_the_overview_shows_where_precisions_and_pruning_stand():
    lines = PRICES.overview(Budget(0.9), 1, CLASSES)
    assert len(lines) == 7 and "tiny on abacus" in lines[0] and f"{JOINT.size:,} networks" in lines[0]
    assert lines[1].startswith("  fp32: ") and lines[6].startswith("  int8, 0.5 of hidden channels: ") and "within 0.90 ms" in lines[6]


def accuracy(architecture):
    """What pruning and int8 cost, beside what is gained by size: a large network in int8 is better than a small one in fp32."""
    plain, keep = JOINT.plain(architecture), JOINT.keep(architecture)
    worth = np.log(blocks.macs(SPACE.network(plain, 1, CLASSES))) / 20
    return float(worth - 0.005 * (JOINT.precision(architecture) == "int8") - 0.3 * (1 - keep))


def run(folder, strategy, trials, budget, seed=0):
    sampling = strategies.load(strategy, PRICES.landscape(budget, 1, CLASSES, Objectives()), seed)
    study = SearchStudy(folder, JOINT, costs, lambda one: blocks.macs(JOINT.network(one, 1, CLASSES)), budget, sampling, trials, seed)
    done = []
    while candidate := study.ask():
        done.append(candidate.architecture)
        study.tell(candidate.number, Evaluation(accuracy(candidate.architecture), 1, 1, (), 0.0))
    return done


@pytest.mark.parametrize("strategy", ["predictor_guided", "nsga2", "local_search", "regularized_evolution"])
def test_strategies_search_both_genes_and_repeat_no_network(tmp_path, strategy):
    done = run(tmp_path, strategy, 24, Budget(0.7))
    assert len({(JOINT.precision(one), JOINT.network(one, 1, CLASSES)) for one in done}) == 24
    assert all(costs(one).latency.high_ms <= 0.75 for one in done)
    assert {JOINT.precision(one) for one in done} == {"fp32", "int8"} and len({JOINT.keep(one) for one in done}) > 1


def test_a_search_that_was_stopped_proposes_the_same(tmp_path):
    budget = Budget(0.7)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole = run(tmp_path / "a", "predictor_guided", 20, budget)
    assert run(tmp_path / "b", "predictor_guided", 13, budget) + run(tmp_path / "b", "predictor_guided", 20, budget) == whole


def test_the_best_within_a_tight_budget_is_found_whatever_its_precision(tmp_path):
    budget = Budget(0.66)
    rows = LANDSCAPE.everything[PRICES.landscape(budget, 1, CLASSES, COSTS).price(LANDSCAPE.everything).feasible]
    fits = [JOINT.architecture([int(gene) for gene in row]) for row in rows]
    best = max(fits, key=accuracy)
    assert JOINT.precision(best) == "int8", "else the two do not compete"
    assert accuracy(best) > max(accuracy(one) for one in fits if JOINT.precision(one) == "fp32")
    found = max(run(tmp_path, "predictor_guided", 40, budget), key=accuracy)
    assert accuracy(found) >= accuracy(best) - 0.005
