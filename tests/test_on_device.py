"""A search with its device in the loop: rounds, prices fitted to what was timed, and all that can end one of them."""

import random

import numpy as np
import pytest

from nas import on_device, strategies, timed_networks
from nas.bench import Bench
from nas.core.budget import Budget
from nas.core.errors import InfeasibleBudgetError, StudyError
from nas.core.evaluation import Evaluation
from nas.core.latency import estimate
from nas.display import Silent
from nas.measuring import files as model_files
from nas.problem import Problem
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from nas.study import SearchStudy
from tests.joint import Integers
from tests.joint import prices as joint_prices
from tests.measuring.fakes import FakeHost
from tests.test_conclusion import PROFILE, latency, pick, step
from tests.tiny import SPACE, TARGET, Device

TRIALS, BUDGET_MS = 16, 1.0


class Display(Silent):
    """What was said."""

    def __init__(self):
        self.said = []

    def say(self, sentence):
        self.said.append(sentence)


class Run:
    """A search in `folder` on a device that takes `factor` times what the model says; `evaluations` are all ever made."""

    def __init__(self, folder, factor=1.3, trials=TRIALS, budget_ms=BUDGET_MS, joint=None, **host):
        settings = RunSettings(device="abacus", budget_ms=budget_ms, strategy="random", trials=trials)
        self.problem = Problem(settings, PROFILE, Device(), SPACE, Budget(budget_ms), 1, 3, (), joint=joint)
        self.folder, self.display, self.evaluations = RunFolder(folder), Display(), []
        self.truth = {"sentinel": factor * self.ms(SPACE.smallest())}
        self.factor = factor
        self.host = FakeHost(ms=self.time, **host)
        self.bench = Bench(self.host, TARGET, "An abacus, 10 beads", "cpu", 17)
        self.chunks = []
        self.stop_after = None

    def ms(self, architecture):
        return estimate(Device(), SPACE.network(architecture, 1, 3)).total.ms

    def time(self, path, count):
        return self.truth[path.stem] * (1 + 0.004 * random.Random(path.stem).random())

    def explore(self, problem):
        """The study, with accuracies that grow with the work."""
        strategy = strategies.load("random", problem.landscape(), 0)
        given = problem.price, problem.macs, problem.budget, strategy, problem.settings.trials, 0
        study = SearchStudy(self.folder.path, problem.searched, *given, price_list=problem.price_list)
        self.chunks.append(problem.settings.trials)
        while candidate := study.ask():
            if self.stop_after is not None and len(self.evaluations) >= self.stop_after:
                raise KeyboardInterrupt
            self.evaluations.append(candidate.architecture)
            work = problem.macs(candidate.architecture)
            study.tell(candidate.number, Evaluation(min(0.99, 0.5 + work / 4e6), work, 100, (), 0.0))
        return study.records

    def search(self, every=None, bench=True):
        self.folder.path.mkdir(exist_ok=True)
        return on_device.search(self.problem, self.bench if bench else None, every, self.folder, self.display, self.explore)

    @property
    def history(self):
        return timed_networks.read(self.folder.path)


@pytest.fixture(autouse=True)
def written(monkeypatch):
    """Files that cost nothing and tell which network they are."""

    def write(spec, path, of, opset):
        path.write_text("a model")
        model = Integers() if of.precision == "int8" else Device()
        for run in RUNS:
            run.truth.setdefault(path.stem, run.factor ** (1 if of.precision == "fp32" else -1) * estimate(model, spec).total.ms)

    monkeypatch.setattr(model_files, "write", write)
    monkeypatch.setattr(model_files, "require", lambda target: ".onnx")
    yield
    RUNS.clear()


RUNS = []


def run(folder, **changed):
    RUNS.append(Run(folder, **changed))
    return RUNS[-1]


def test_the_device_is_asked_in_rounds_and_its_bias_is_learned(tmp_path):
    one = run(tmp_path / "run")
    now, records = one.search()
    history = one.history
    assert [each.evaluated for each in history.rounds][:2] == [4, 8] and len(history.rounds) >= 4
    assert all(each.lost == "" and each.sentinel_ms for each in history.rounds)
    assert len(one.evaluations) == len(set(one.evaluations)), "nothing is evaluated twice"
    assert sum(record.eligible for record in records) >= TRIALS
    unseen = [architecture for architecture in one.evaluations if architecture not in now.timed]
    for architecture in unseen:
        latency = now.price(architecture).latency
        assert latency.ms == pytest.approx(1.3 * one.ms(architecture), rel=0.02)
        assert latency.low_ms <= 1.3 * one.ms(architecture) <= latency.high_ms
    for timed in history.networks:
        assert now.price(timed.architecture).latency == timed.measured
        assert timed.measured.low_ms <= timed.measured.ms <= timed.measured.high_ms
    assert {record.architecture: record.costs.latency for record in records} == {
        record.architecture: now.price(record.architecture).latency for record in records
    }, "the study holds what things cost now"
    genes = np.array([timed.architecture.genes for timed in history.networks], dtype=np.int32)
    assert now.landscape().price(genes).costs[:, 0] == pytest.approx([timed.measured.ms for timed in history.networks])


def test_what_is_timed_is_the_front_and_what_is_least_certain(tmp_path):
    one = run(tmp_path / "run", factor=1.0, budget_ms=50.0)
    one.search(every=8)
    first = [timed for timed in one.history.networks if timed.round == 1]
    assert 1 <= sum(timed.why == "front" for timed in first) <= on_device.OF_FRONT
    assert sum(timed.why == "uncertain" for timed in first) == on_device.UNCERTAIN
    assert all(timed.predicted.low_ms <= timed.predicted.ms <= timed.predicted.high_ms for timed in first)
    assert len({timed.architecture for timed in one.history.networks}) == len(one.history.networks), "nothing is timed in two rounds"
    known = set(one.evaluations)
    assert all(timed.architecture in known for timed in first if timed.why == "front")


def test_where_precision_is_a_gene_each_learns_from_its_own(tmp_path):
    """A device that takes 1.3 times what the model says in fp32, and 1/1.3 in int8; networks whole and pruned."""
    one = run(tmp_path / "run", joint=joint_prices(), trials=40)
    now, _ = one.search()
    timed = one.history.networks
    precisions = [now.joint.space.precision(each.architecture) for each in timed]
    assert precisions.count("fp32") >= 3 and precisions.count("int8") >= 3
    assert one.history.title["target"] == f"{Device().target} and {Integers().target}"
    for architecture in set(one.evaluations) - set(now.timed):
        network, latency = now.network(architecture), now.price(architecture).latency
        fp32 = now.joint.space.precision(architecture) == "fp32"
        truth = 1.3 * estimate(Device(), network).total.ms if fp32 else estimate(Integers(), network).total.ms / 1.3
        assert latency.ms == pytest.approx(truth, rel=0.02) and latency.low_ms <= truth <= latency.high_ms
    genes = np.array([each.architecture.genes for each in timed], dtype=np.int32)
    assert now.landscape().price(genes).costs[:, 0] == pytest.approx([each.measured.ms for each in timed])
    checked = on_device.check(one.problem, one.history)
    assert [each.measured for each in checked.networks] == [each.measured for each in timed]
    assert checked.error_after_percent < 1 < 20 < checked.error_before_percent
    assert all(each.description.endswith(("fp32", "int8", "of hidden channels")) for each in checked.networks)


def test_the_same_command_again_does_nothing(tmp_path):
    one = run(tmp_path / "run")
    now, records = one.search()
    evaluated, timed = len(one.evaluations), len(one.host.timed)
    again, same = one.search()
    assert (len(one.evaluations), len(one.host.timed)) == (evaluated, timed) and same == records
    assert again.price(SPACE.largest()) == now.price(SPACE.largest())


def test_without_the_device_a_run_keeps_the_prices_that_it_learned(tmp_path):
    one = run(tmp_path / "run")
    now, records = one.search()
    later, same = one.search(bench=False)
    assert later.price(SPACE.largest()) == now.price(SPACE.largest()) and same == records


def test_no_bench_is_the_search_as_it_was(tmp_path):
    one = run(tmp_path / "run")
    now, records = one.search(bench=False)
    assert now == one.problem and one.chunks == [TRIALS] and len(records) >= TRIALS and not one.host.timed
    assert on_device.check(one.problem, one.history) is None


@pytest.mark.parametrize("kill", ["evaluation 3", "evaluation 7", "timing 5", "timing 40", "timing 70"])
def test_a_killed_run_ends_as_it_would_have(tmp_path, kill):
    whole = run(tmp_path / "whole")
    _, wanted = whole.search()
    kind, number = kill.split()
    one = run(tmp_path / "run")
    if kind == "evaluation":
        one.stop_after = int(number)
    else:
        plain = one.time

        def dies(path, count):
            if count > int(number):
                raise KeyboardInterrupt
            return plain(path, count)

        one.host.ms = dies
    with pytest.raises(KeyboardInterrupt):
        one.search()
    timed = len(one.host.timed)
    one.stop_after, one.host.ms = None, one.time
    one.search()
    assert len(one.evaluations) == len(set(one.evaluations))
    assert [(each.number, each.evaluated) for each in one.history.rounds] == [
        (each.number, each.evaluated) for each in whole.history.rounds
    ]
    assert {each.architecture for each in one.history.networks} == {each.architecture for each in whole.history.networks}
    assert one.evaluations == whole.evaluations and len(wanted)
    networks = [name for name in one.host.timed if not name.startswith("sentinel")]
    repeated = len(networks) - len([name for name in whole.host.timed if not name.startswith("sentinel")])
    assert repeated <= 1 and timed >= 0


def test_a_lost_device_ends_a_round_and_not_the_search(tmp_path):
    one = run(tmp_path / "run", limit=0)
    now, records = one.search()
    assert now.timed == {} and sum(record.eligible for record in records) == TRIALS
    assert all(each.lost == "the connection was cut" for each in one.history.rounds)
    assert sum(sentence.startswith("DEVICE LOST in round") for sentence in one.display.said) == len(one.history.rounds)
    checked = on_device.check(one.problem, one.history)
    assert checked.networks == () and checked.error_before_percent is None and "was cut short" in checked.remarks[0]
    one.host.limit = None
    now, _ = one.search()
    assert now.timed and one.history.rounds[-1].lost == "", "the next command tries again"


def test_a_device_that_comes_back_is_measured_in_the_next_round(tmp_path):
    one = run(tmp_path / "run", limit=10)

    def say(sentence):
        one.host.limit = None

    one.display.say = say
    one.search()
    assert [bool(each.lost) for each in one.history.rounds][:2] == [True, False]


def test_a_device_on_which_nothing_fits_ends_the_search_with_that_figure(tmp_path):
    one = run(tmp_path / "run", factor=9.0)
    with pytest.raises(InfeasibleBudgetError, match=r"\d+ networks were timed on the device, and by that budget 1\.00 ms is below"):
        one.search()
    assert len(one.history.rounds) >= 1


def test_more_trials_go_on_with_what_was_learned(tmp_path):
    one = run(tmp_path / "run", factor=1.0)
    one.search()
    rounds = len(one.history.rounds)
    more = run(tmp_path / "run", factor=1.0, trials=TRIALS + 8)
    more.evaluations = one.evaluations
    now, records = more.search()
    assert sum(record.eligible for record in records) >= TRIALS + 8 and len(more.evaluations) == len(set(more.evaluations))
    assert len(more.history.rounds) > rounds and now.timed


def test_another_device_does_not_go_on(tmp_path):
    one = run(tmp_path / "run")
    one.search()
    one.bench = Bench(one.host, TARGET, "Another abacus", "cpu", 17)
    with pytest.raises(StudyError, match="machine was 'An abacus, 10 beads' and is now 'Another abacus'"):
        one.search()


def test_the_report_compares_predicted_and_measured(tmp_path):
    one = run(tmp_path / "run")
    one.search()
    checked = on_device.check(one.problem, one.history)
    assert checked.error_before_percent == pytest.approx(100 * (1 - 1 / 1.3), abs=0.5)
    assert checked.error_after_percent < 3 and checked.origin == "calibrated" and checked.rounds == len(one.history.rounds)
    for row, timed in zip(checked.networks, one.history.networks, strict=True):
        assert (row.id, row.measured, row.predicted) == (timed.architecture.id, timed.measured, timed.predicted)
        assert row.first.ms == pytest.approx(one.ms(timed.architecture))
        assert row.refitted_ms == pytest.approx(row.measured.ms, rel=0.05)
    late = [row for row in checked.networks if row.round > 1]
    assert late and all(row.inside for row in late), "from the second round on the bounds hold"
    assert checked.remarks == ()


def test_a_device_that_grows_slower_is_named(tmp_path):
    one = run(tmp_path / "run", factor=1.0, budget_ms=50.0)
    plain = one.time
    one.host.ms = lambda path, count: plain(path, count) * (1.2 if len(one.history.rounds) > 1 else 1.0)
    one.search()
    remarks = on_device.check(one.problem, one.history).remarks
    assert any("The sentinel network took +20 % in round 3" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("origins", "wanted"),
    [(("measured", "measured"), False), (("measured", "estimated"), True), (("measured", None), False), ((None, None), False)],
)
def test_a_pick_is_a_forecast_as_long_as_a_version_is_predicted(origins, wanted):
    steps = [step(f"version{i}", 0.9, latency(5.0, origin) if origin else None) for i, origin in enumerate(origins)]
    assert on_device.is_forecast(pick(SPACE.smallest(), *steps)) == wanted
