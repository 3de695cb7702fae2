"""The study: what is told stays told, whatever the moment of the end; what the budget rules out is never evaluated."""

import json
import warnings

import optuna
import pytest
from optuna.trial import TrialState

from nas.core.budget import Budget
from nas.core.errors import StudyError
from nas.study import FILE_NAME, load, records, repair
from tests.executors.fakes import LOOSE, SPACE, TWELVE, costs, evaluation, everything, macs, price, run, search, shape

TIGHT = Budget(0.73)
"""Rules out most of the tiny space on the tiny device."""


@pytest.fixture
def counted_random(monkeypatch):
    """How often a random architecture was put before the strategy's own proposal."""
    calls = []
    enqueue = optuna.Study.enqueue_trial
    monkeypatch.setattr(optuna.Study, "enqueue_trial", lambda self, *given, **named: (calls.append(1), enqueue(self, *given, **named))[1])
    return calls


@pytest.fixture
def instant_disk(monkeypatch):
    """No waiting for the disk, for tests that write thousands of times."""
    monkeypatch.setattr("nas.study_journal.os.fsync", lambda handle: None)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("nas.study._GIVE_UP", 300)


class Always(optuna.samplers.RandomSampler):
    """Proposes the same architecture again and again."""

    def sample_independent(self, study, trial, name, distribution):
        return distribution.high


def test_asks_and_tells_to_the_number_asked_for(tmp_path):
    study = search(tmp_path, 30)
    done = run(tmp_path, study)
    assert len(done) == len(set(done)) == study.evaluated == 30
    assert study.ask() is None
    assert [record.evaluation for record in study.records] == [evaluation(one) for one in done]


def test_records_come_back_from_the_file_as_they_were_told(tmp_path):
    study = search(tmp_path, 25, budget=TIGHT)
    run(tmp_path, study)
    assert records(load(tmp_path)) == list(study.records) == list(search(tmp_path, 25, budget=TIGHT).records)
    one = next(record for record in study.records if record.evaluation)
    assert (one.macs, one.latency) == (macs(one.architecture), price(one.architecture).total)
    assert one.evaluation.uncounted == ("aten::add",)


def test_what_the_budget_rules_out_is_told_and_never_evaluated(tmp_path):
    study = search(tmp_path, 20, budget=TIGHT)
    done = run(tmp_path, study)
    assert all(price(one).total.high_ms <= TIGHT.latency_ms for one in done)
    ruled_out = [record for record in study.records if record.evaluation is None]
    assert ruled_out and all(record.latency.high_ms > TIGHT.latency_ms for record in ruled_out)
    trials = {trial.number: trial for trial in load(tmp_path).trials}
    assert all(trials[record.number].values == [float("-inf"), record.latency.ms] for record in ruled_out)
    assert all(trials[record.number].constraints["latency"] > 0 for record in ruled_out)
    assert all(trials[record.number].constraints["latency"] <= 0 for record in study.records if record.evaluation)


def test_every_limit_is_a_constraint_of_its_own_and_rules_out_what_is_beyond_it(tmp_path):
    needs = [costs(one) for one in everything(SPACE)]
    limited = Budget(1000.0, sorted(one.size_mb for one in needs)[len(needs) // 3], sorted(one.memory_mb for one in needs)[len(needs) // 2])
    study = search(tmp_path, 20, budget=limited)
    done = run(tmp_path, study)
    assert len(done) == 20 and all(limited.holds(costs(one)) for one in done)
    told = [record for record in study.records if record.evaluation is None]
    assert told, "this seed proposes some that are too large"
    trials = {trial.number: trial for trial in load(tmp_path).trials}
    for record in study.records:
        assert dict(trials[record.number].constraints) == dict(limited.violations(costs(record.architecture)))
        assert record.costs == costs(record.architecture), "raw figures are kept"
        assert (max(trials[record.number].constraints.values()) > 0) == (record.evaluation is None)


def test_a_run_of_version_0_1_goes_on(tmp_path):
    """It told the latency alone."""
    run(tmp_path, search(tmp_path, 6))
    path = tmp_path / FILE_NAME
    new = [json.loads(line) for line in path.read_text().splitlines()]
    for event in new:
        for key in ("size_mb", "memory_mb", "power_w"):
            event.get("user_attr", {}).get("candidate", {}).pop(key, None)
    path.write_text("".join(json.dumps(event) + "\n" for event in new))
    study = search(tmp_path, 9)
    assert study.evaluated == 6 and {record.costs.size_mb for record in study.records} == {None}
    assert len(run(tmp_path, study)) == 3
    assert study.records[-1].costs == costs(study.records[-1].architecture)


def test_best_trials_are_feasible_and_nobody_beats_them(tmp_path):
    study = search(tmp_path, 20, budget=TIGHT)
    run(tmp_path, study)
    best = {tuple(trial.values) for trial in load(tmp_path).best_trials}
    told = {(record.evaluation.accuracy, record.latency.ms) for record in study.records if record.evaluation}
    front = {one for one in told if not any(other != one and other[0] >= one[0] and other[1] <= one[1] for other in told)}
    assert best == front


def test_repeats_are_told_known_figures_and_do_not_count(tmp_path):
    study = search(tmp_path, 60)
    done = run(tmp_path, study)
    complete = load(tmp_path).get_trials(states=(TrialState.COMPLETE,))
    assert len(complete) > len(done) == len(set(done)) == 60, "this seed has repeats"
    figures = {}
    for trial in complete:
        told = trial.user_attrs["candidate"]
        assert figures.setdefault(told["id"], (trial.values, told)) == (trial.values, told)


def test_the_same_search_again_asks_for_nothing(tmp_path):
    first = search(tmp_path, 12)
    run(tmp_path, first)
    before = load(tmp_path).trials
    again = search(tmp_path, 12)
    assert again.ask() is None
    assert again.evaluated == 12
    assert load(tmp_path).trials == before


def test_more_trials_go_on_as_if_asked_for_at_once(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    run(tmp_path, search(tmp_path / "one", 40))
    for trials in (7, 23, 40):
        run(tmp_path, search(tmp_path / "two", trials))
    assert shape(search(tmp_path / "one", 40)) == shape(search(tmp_path / "two", 40))


def test_seeds_differ_and_repeat(tmp_path):
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        found.append(run(tmp_path, search(tmp_path / name, 8, seed=seed)))
    assert found[0] == found[1] != found[2]


def whole_lines(data):
    return data[: data.rfind(b"\n") + 1]


def test_cut_at_any_byte_of_its_last_trials_nothing_complete_is_lost_and_it_ends_the_same(tmp_path, instant_disk):
    """Every offset is opened; the run to the end is made from every line boundary and from some bytes within lines."""
    study = search(tmp_path, 8)
    run(tmp_path, study)
    path = tmp_path / FILE_NAME
    whole, wanted = path.read_bytes(), shape(study)
    lines = whole.splitlines(keepends=True)
    created = [number for number, line in enumerate(lines) if b'"op_code":4' in line]
    first = sum(map(len, lines[: created[-2]]))
    assert len(whole) - first > 2000
    complete, boundary = {}, 0
    for line in lines:  # states of complete trials, and where each line that says so ends
        boundary += len(line)
        if b'"op_code":6' in line and b'"state":1' in line:
            complete[boundary] = len(complete) + 1
    finished = set()
    for cut in range(first, len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert repair(path) == cut - len(whole_lines(whole[:cut]))
        kept = path.read_bytes()
        if kept in finished:  # what was opened is the same file as for the offset before
            continue
        finished.add(kept)
        path.write_bytes(whole[:cut])
        reopened = search(tmp_path, 8)
        held = reopened.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        assert len(held) == max(count for end, count in complete.items() if end <= cut)
        run(tmp_path, reopened)
        assert shape(reopened) == wanted
    assert len(finished) > 25


@pytest.mark.parametrize("size", [0, 1, 40, 130])
def test_cut_within_its_first_lines_it_begins_again(tmp_path, size):
    run(tmp_path, search(tmp_path, 3))
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:size])
    study = search(tmp_path, 3)
    assert len(run(tmp_path, study)) == 3


def test_a_line_damaged_in_the_middle_is_named(tmp_path):
    run(tmp_path, search(tmp_path, 3))
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = b"\0" * (len(lines[4]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    for opening in (lambda: search(tmp_path, 3), lambda: load(tmp_path)):
        with pytest.raises(StudyError, match=r"line 5 of .*study\.journal is damaged .* --fresh"):
            opening()


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    study = search(tmp_path, 5)
    first = study.ask()
    before = (tmp_path / FILE_NAME).read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("nas.study_journal.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            study.tell(first.number, evaluation(first.architecture))
    assert (tmp_path / FILE_NAME).read_bytes() == before
    again = search(tmp_path, 5)
    assert run(tmp_path, again)[0] == first.architecture


def test_candidates_in_flight_at_the_end_are_asked_again_with_their_seeds(tmp_path):
    (tmp_path / "whole").mkdir()
    wanted = run(tmp_path, search(tmp_path / "whole", 3))
    study = search(tmp_path, 3)
    study.ask(), study.ask()  # two that nobody will tell
    third = study.ask()
    study.tell(third.number, evaluation(third.architecture))
    again = search(tmp_path, 3)
    assert again.evaluated == 1
    assert run(tmp_path, again) == wanted[:2]


def test_several_in_flight_are_all_different(tmp_path):
    study = search(tmp_path, 10, space=TWELVE)
    candidates = [study.ask() for _ in range(10)]
    assert len({candidate.architecture for candidate in candidates}) == 10
    assert study.ask() is None
    pruned = study.study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    assert pruned, "ten of twelve cannot be drawn without a duplicate"
    for candidate in candidates:
        study.tell(candidate.number, evaluation(candidate.architecture))
    assert study.evaluated == 10


def test_a_failed_candidate_leaves_room_and_may_be_proposed_again(tmp_path):
    study = search(tmp_path, 12, space=TWELVE)
    failed = study.ask()
    study.fail(failed.number, "no such luck")
    assert study.evaluated == 0
    done = run(tmp_path, study)
    assert len(done) == 12 and failed.architecture in done
    trial = load(tmp_path).trials[failed.number]
    assert (trial.state, trial.user_attrs["failure"]) == (TrialState.FAIL, "no such luck")


def test_after_a_failure_the_search_goes_on_elsewhere(tmp_path):
    study = search(tmp_path, 5)
    failed = study.ask()
    study.fail(failed.number, "no such luck")
    assert search(tmp_path, 5).ask().architecture != failed.architecture


def test_a_result_is_told_once(tmp_path):
    study = search(tmp_path, 2)
    candidate = study.ask()
    study.tell(candidate.number, evaluation(candidate.architecture))
    for call in (lambda: study.tell(candidate.number, evaluation(candidate.architecture)), lambda: study.fail(99, "?")):
        with pytest.raises(StudyError, match="waits for no result"):
            call()


def test_a_small_space_is_searched_through_and_ends(tmp_path):
    study = search(tmp_path, 100, space=TWELVE)
    assert len(run(tmp_path, study)) == TWELVE.size == 12
    assert search(tmp_path, 100, space=TWELVE).ask() is None


def test_a_small_space_under_a_budget_ends_with_what_fits(tmp_path):
    limit = sorted(price(one).total.high_ms for one in everything(TWELVE))[4]
    study = search(tmp_path, 100, space=TWELVE, budget=Budget(limit))
    assert set(run(tmp_path, study)) == {one for one in everything(TWELVE) if price(one).total.high_ms <= limit}
    assert len(study.records) == 12


def test_a_budget_that_fits_few_finds_them_all_and_then_says_so(tmp_path, impatient):
    limit = sorted(price(one).total.high_ms for one in everything(SPACE))[5]
    study = search(tmp_path, 60, budget=Budget(limit))
    done = []
    with pytest.raises(StudyError, match=r"300 proposals in a row .* budget of .* ms; 6 .* evaluated, 60 .* Give fewer --trials"):
        while candidate := study.ask():
            done.append(candidate.architecture)
            study.tell(candidate.number, evaluation(candidate.architecture))
    assert set(done) == {one for one in everything(SPACE) if price(one).total.high_ms <= limit}
    with pytest.raises(StudyError, match="proposals in a row"):  # at once: nothing has changed
        search(tmp_path, 60, budget=Budget(limit)).ask()
    assert search(tmp_path, 6, budget=Budget(limit)).ask() is None


def test_while_results_are_on_their_way_it_waits_for_them(tmp_path, impatient):
    limit = sorted(price(one).total.high_ms for one in everything(SPACE))[0]
    study = search(tmp_path, 60, budget=Budget(limit))
    only = study.ask()
    assert study.ask() is None
    study.tell(only.number, evaluation(only.architecture))
    with pytest.raises(StudyError, match="1 architectures are evaluated"):
        study.ask()


def test_a_strategy_that_repeats_itself_is_helped_by_chance(tmp_path, counted_random):
    study = search(tmp_path, 4, sampling=Always)
    done = run(tmp_path, study)
    assert len(set(done)) == 4 and len(counted_random) == 3
    assert done[0] == SPACE.architecture([gene.options - 1 for gene in SPACE.genes])


def test_helped_by_chance_it_still_goes_on_as_if_never_stopped(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = search(tmp_path / "whole", 3, sampling=Always)
    run(tmp_path, whole)
    study = search(tmp_path, 3, sampling=Always)
    run_one = study.ask()
    study.tell(run_one.number, evaluation(run_one.architecture))
    for _ in range(20):
        study._propose()
    study._write(durable=True)
    again = search(tmp_path, 3, sampling=Always)
    run(tmp_path, again)
    assert shape(again) == shape(whole)


def test_loaded_for_reading_it_refuses_to_be_written(tmp_path):
    run(tmp_path, search(tmp_path, 3))
    study = load(tmp_path)
    assert isinstance(study, optuna.Study)
    assert study.metric_names == ["accuracy", "latency_ms"]
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(StudyError, match="opened for reading"):
        study.ask()
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME], "no lock file is left"


def test_it_can_be_read_while_it_is_written(tmp_path):
    study = search(tmp_path, 3)
    run(tmp_path, study)
    reader = load(tmp_path)
    candidate = search(tmp_path, 4).ask()
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'{"op_code":8,"trial_')
    assert len(reader.trials) == len(load(tmp_path).trials) == candidate.number + 1


def test_optunas_own_storage_reads_the_journal(tmp_path):
    run(tmp_path, search(tmp_path, 3))
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / FILE_NAME))
    study = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend))
    assert study.trials == load(tmp_path).trials


def test_a_folder_without_a_study_says_what_to_give(tmp_path):
    with pytest.raises(StudyError, match=r"holds no study .*nas\.search --out"):
        load(tmp_path)
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(StudyError, match="has not begun"):
        load(tmp_path)


def test_only_our_use_of_metric_names_is_silenced(tmp_path):
    search(tmp_path, 1)
    with pytest.raises(optuna.exceptions.ExperimentalWarning), warnings.catch_warnings(action="error"):
        optuna.create_study().set_metric_names(["accuracy"])


def test_prices_are_asked_for_once_a_proposal(tmp_path):
    counted = []
    study = search(tmp_path, 10, budget=LOOSE, counted=counted)
    counted.clear()  # a few are asked for on opening, to tell whether prices have changed
    run(tmp_path, study)
    assert len(counted) == len(study.study.trials)
