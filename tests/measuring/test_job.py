import dataclasses
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_profiles
import latency_models
from hardware_profiles import table_file
from latency_models.hosts import ConnectionLostError
from latency_models.hosts.local import LocalHost
from nas.core.errors import MeasurementError
from nas.core.latency import estimate
from nas.core.space import SearchSpace
from nas.measuring import job as measuring
from nas.measuring import probes
from nas.measuring.job import FULL, Job, measure
from search_spaces import blocks
from tests.measuring.fakes import PLAN, THIS, TINY, FakeHost

BLOCKS = TINY.unique_blocks(1, 4)
TIMINGS = 2 * len(BLOCKS) + measuring.NETWORK_PASSES * 5
"""Two passes over the blocks, more over the five whole networks."""
HALF = -(-TIMINGS // 2)


def at(done, total):
    """Nobody watches."""


@pytest.fixture
def job(tmp_path):
    (tmp_path / "local.toml").write_text((hardware_profiles.FOLDER / "local.toml").read_text())
    target = hardware_profiles.load("local").targets[0].target
    return Job(target, THIS, TINY, 1, 4, PLAN, table_file.path_of(tmp_path / "local.toml", target), 17, "pytest")


@pytest.fixture
def no_files(monkeypatch):
    """Files are written at once, and empty."""
    monkeypatch.setattr(measuring.model_files, "write", lambda spec, path, target, opset: path.write_text("x"))


def test_a_real_measurement_prices_the_networks_that_it_is_for(job, tmp_path):
    steps = []
    measure(job, LocalHost(), lambda done, total: steps.append((done, total)))
    assert steps[0] == (0, TIMINGS) and steps[-1] == (TIMINGS, TIMINGS) and not job.journal.exists()
    profile = hardware_profiles.load(str(tmp_path / "local.toml"))
    found = estimate(latency_models.load(profile), TINY.network(TINY.largest(), 1, 4))
    assert 0 < found.total.low_ms <= found.total.ms <= found.total.high_ms < 1000
    assert found.origin == "measured" and found.coverage == pytest.approx(1.0) and found.target == job.target
    assert profile.targets[0].error.rows == 1 and profile.targets[0].provenance.command == "pytest"
    table = table_file.read(job.table)
    assert set(table.rows) == set(BLOCKS) and all(row.runs >= 3 for row in table.rows.values())
    assert len(table.head.networks) == 5 and table.head.machine == THIS
    assert not job.wanted().keys(job.plan)


def test_an_interrupted_measurement_continues_and_repeats_one_model_at_most(job, no_files):
    host = FakeHost(limit=TIMINGS // 2)
    with pytest.raises(ConnectionLostError):
        measure(job, host, at)
    assert not job.table.exists()
    with job.journal.open("a") as journal:
        journal.write('{"pass": 0, "item": "torn')  # what a power cut leaves
    host.limit = None
    steps = []
    measure(job, host, lambda done, total: steps.append(done))
    sentinels = sum(1 for name in host.timed) - TIMINGS
    assert steps[0] == TIMINGS // 2 - 1 and sentinels <= 4  # two a stream, and none of the rest twice
    assert job.table.exists() and not job.journal.exists()


def test_an_interruption_on_a_device_that_is_never_calm_costs_no_round(job, no_files):
    """Each timing has its four tries, whichever call they were made in, and the least tried ones go first."""
    whole = FakeHost(changed={"undisturbed": 0.0})
    measure(job, whole, at)
    job.table.unlink()
    host = FakeHost(changed={"undisturbed": 0.0})
    for limit in (TIMINGS // 2, TIMINGS, 3 * TIMINGS, 4 * TIMINGS):
        host.limit = limit
        with pytest.raises(ConnectionLostError):
            measure(job, host, at)
        lines = [json.loads(line) for line in job.journal.read_text().split("\n")[1:] if line]
        tries = Counter((line["item"], line["pass"]) for line in lines if line["item"]).values()
        assert max(tries) - (min(tries) if len(tries) == TIMINGS else 0) <= 1
    host.limit = None
    steps = []
    table = measure(job, host, lambda done, total: steps.append((done, total)))
    streams = 2 * 4  # of an interrupted one the sentinels are timed once more
    assert len(whole.timed) >= measuring.ROUNDS * TIMINGS and len(host.timed) <= len(whole.timed) + streams
    assert steps == sorted(steps) and steps[-1] == (TIMINGS, TIMINGS)
    assert f"; {TIMINGS} of the last timings disturbed" in table.head.provenance.source


def test_what_a_drifting_sentinel_encloses_is_measured_again(job, no_files, monkeypatch):
    monkeypatch.setattr(measuring, "CHUNK", HALF)
    host = FakeHost(ms=lambda path, count: 3.0 if count <= 1 + HALF else 1.0)  # hot at first, which shows only later
    table = measure(job, host, at)
    assert all(row.p10_ms == 1.0 for row in table.rows.values())
    assert len(host.timed) == (TIMINGS + 3) + (HALF + 2)


def test_a_model_during_which_the_processor_was_never_calm_is_measured_again(job, no_files):
    host = FakeHost(ms=lambda path, count: 1.0 + (count in (3, 4)), disturbed=(3, 4))
    table = measure(job, host, at)
    assert len(host.timed) == (TIMINGS + 2) + (2 + 2) and max(row.p95_ms for row in table.rows.values()) == 2.0


def test_a_device_that_never_settles_is_measured_in_the_end_and_says_how_bad_it_is(job, no_files):
    host = FakeHost(ms=lambda path, count: 1.0 + (count % 7) / 3)
    table = measure(job, host, at)
    assert len(host.timed) <= measuring.ROUNDS * (TIMINGS + (TIMINGS // measuring.CHUNK + 2))
    assert f"; {TIMINGS} of the last timings disturbed whenever they were made" in table.head.provenance.source


def test_of_a_model_that_was_disturbed_in_every_round_the_least_timing_counts(job, no_files):
    """Rounds get louder here: the last one of them must not be what is kept."""
    host = FakeHost(ms=lambda path, count: 1.0 + count / 1000, changed={"undisturbed": 0.0})
    table = measure(job, host, at)
    assert len(host.timed) > (measuring.ROUNDS - 1) * TIMINGS
    assert max(row.p10_ms for row in table.rows.values()) < 1.0 + (TIMINGS + TIMINGS // measuring.CHUNK + 2) / 1000


def test_a_disturbed_sentinel_says_nothing_of_what_lies_between(job, no_files):
    """It ran while a neighbour was busy; the models beside it did not."""
    last = TIMINGS + 2
    host = FakeHost(ms=lambda path, count: 9.0 if count in (1, last) else 1.0, disturbed=(1, last))
    table = measure(job, host, at)
    assert len(host.timed) == last and all(row.p10_ms == 1.0 for row in table.rows.values())


def test_the_sentinel_is_the_smallest_network(job, no_files):
    host = FakeHost()
    measure(job, host, at)
    items = job.wanted().items
    named = list(items)[int(host.timed[0].partition(".")[0])]
    assert blocks.macs(items[named]) == min(blocks.macs(one) for one in job.networks().values())


def test_every_pass_has_its_own_order(job, no_files):
    host = FakeHost()
    measure(job, host, at)
    names = host.timed[1:-1]
    one = len(BLOCKS) + 5
    first, second = names[:one], names[one : 2 * one]
    assert first != second and sorted(first) == sorted(second)


def test_the_journal_of_something_else_is_not_continued(job, no_files):
    with pytest.raises(ConnectionLostError):
        measure(job, FakeHost(limit=3), at)
    with pytest.raises(MeasurementError, match=r"unfinished measurement of something else .*; finish it by its own command, or delete"):
        measure(dataclasses.replace(job, in_channels=3), FakeHost(), at)


def test_blocks_that_another_space_has_too_are_measured_once(job, no_files):
    measure(job, FakeHost(), at)
    names = ("stem_width", "stem_stride", "stem_activation", "stages", "head_width", "head_activation")
    other = SearchSpace("other", (8, 16), *[getattr(TINY, name) for name in names])
    second = dataclasses.replace(job, space=other)
    host = FakeHost()
    measure(second, host, at)
    table = table_file.read(job.table)
    new = set(other.unique_blocks(1, 4)) - set(BLOCKS)
    assert len(host.timed) == 2 * len(new) + measuring.NETWORK_PASSES * 5 + 2
    assert [fit.space for fit in table.head.fits] == sorted((job.space.key, other.key))
    assert set(BLOCKS) | new == set(table.rows)
    assert {network.space for network in table.head.networks} == {TINY.key, other.key} and len(table.head.networks) == 10


def test_the_table_keeps_what_the_device_said_of_itself(job, no_files):
    host = FakeHost(changed={"power_w": 4.2, "clock_mhz": 1479.0, "governor": "performance", "temperature_after_c": 41.5})
    head = measure(job, host, at).head
    assert head.power_w == 4.2 and head.conditions == "clock 1479 to 1479 MHz, governor performance, 42 to 42 °C"
    assert table_file.read(job.table).head == head


def test_every_line_of_the_journal_is_whole_before_the_next_model_is_timed(job, no_files):
    seen = []

    def look(path, count):
        seen.append(sum(line.startswith("{") for line in job.journal.read_text().splitlines()))
        return 1.0

    measure(job, FakeHost(ms=look), at)
    assert seen == list(range(1, TIMINGS + 3))


def test_a_space_too_small_to_calibrate_is_refused(job):
    with pytest.raises(MeasurementError, match="tiny has 6 networks, 70 are needed"):
        dataclasses.replace(job, plan=FULL).wanted()


def test_the_title_is_plain_json(job):
    assert json.loads(json.dumps(job.title)) == job.title


def more(job, passes):
    """The job as `--passes` gives it."""
    return dataclasses.replace(job, plan=dataclasses.replace(job.plan, passes=passes, at_least=passes))


def test_more_passes_add_to_those_that_are_there(job, no_files):
    first = measure(job, FakeHost(ms=lambda path, count: 2.0), at)
    assert {row.passes for row in first.rows.values()} == {2} and {network.passes for network in first.head.networks} == {5}
    assert not more(job, 2).wanted().keys(more(job, 2).plan) and not more(job, 1).wanted().keys(more(job, 1).plan)
    host = FakeHost(ms=lambda path, count: 3.0 if int(path.stem) < len(BLOCKS) and int(path.stem) % 2 else 1.0)
    second = measure(more(job, 3), host, at)
    assert len(host.timed) == len(BLOCKS) + 2  # one more pass over the blocks; networks had five
    assert {row.passes for row in second.rows.values()} == {3} and {row.runs for row in second.rows.values()} == {30}
    assert {row.p10_ms for row in second.rows.values()} == {1.0, 2.0}, "the best of all passes"
    assert all(network.measured_ms == 2.0 and network.passes == 5 for network in second.head.networks)
    assert "3 passes; 5 whole networks, 5 passes" in second.head.provenance.source
    assert table_file.read(job.table) == second
    third = measure(more(job, 7), FakeHost(ms=lambda path, count: 1.5), at)
    assert {network.passes for network in third.head.networks} == {7} and {network.measured_ms for network in third.head.networks} == {1.5}
    assert [network.held_out for network in third.head.networks] == [network.held_out for network in first.head.networks]


def test_an_interrupted_addition_is_finished_and_what_was_there_counts_once(job, no_files):
    measure(job, FakeHost(), at)
    with pytest.raises(ConnectionLostError):
        measure(more(job, 4), FakeHost(limit=len(BLOCKS)), at)
    kept = job.table.read_text()
    table = measure(more(job, 4), FakeHost(), at)
    assert {row.passes for row in table.rows.values()} == {4} and job.table.read_text() != kept


def test_measured_afresh_the_old_table_stays_until_the_new_one_is_whole(job, no_files):
    measure(job, FakeHost(ms=lambda path, count: 1.0), at)
    kept = job.table.read_text()
    with pytest.raises(ConnectionLostError):
        measure(more(job, 3), FakeHost(limit=2), at)
    afresh = dataclasses.replace(job, fresh=True)
    afresh.discard()  # what was to be added to the table that is given up
    assert not job.journal.exists()
    with pytest.raises(ConnectionLostError):
        measure(afresh, FakeHost(ms=lambda path, count: 2.0, limit=HALF), at)
    assert job.table.read_text() == kept
    with pytest.raises(MeasurementError, match="finish it by its own command"):
        measure(job, FakeHost(), at)
    afresh.discard()  # the same command again goes on
    host = FakeHost(ms=lambda path, count: 2.0)
    table = measure(afresh, host, at)
    assert len(host.timed) < TIMINGS and {row.p10_ms for row in table.rows.values()} == {2.0}, "nothing of the old table counts"


def test_a_table_that_does_not_tell_its_passes_counts_as_made_in_one(job, no_files):
    measure(job, FakeHost(), at)
    lines = [line for line in job.table.read_text().splitlines() if line != "# passes = 5"]
    old = [line if line.startswith("#") else line.rpartition(",")[0] for line in lines]
    job.table.write_text("\n".join(old) + "\n")
    assert {row.passes for row in table_file.read(job.table).rows.values()} == {1}
    assert not job.wanted().keys(job.plan)
    host = FakeHost()
    table = measure(more(job, 2), host, at)
    assert {row.passes for row in table.rows.values()} == {2} and {network.passes for network in table.head.networks} == {5}
    assert len(host.timed) == len(BLOCKS) + 4 * 5 + 2


def test_more_networks_join_those_that_are_there(job, no_files):
    measure(job, FakeHost(ms=lambda path, count: 2.0), at)
    larger = dataclasses.replace(job, plan=dataclasses.replace(job.plan, networks=5, held_out=1))
    assert not larger.wanted().keys(larger.plan), "only --passes asks for more"
    host = FakeHost(ms=lambda path, count: 3.0)
    head = measure(more(larger, 2), host, at).head
    assert len(host.timed) == 5 + 2 and [network.measured_ms for network in head.networks] == [2.0] * 5 + [3.0]
    assert [network.held_out for network in head.networks] == [False] * 5 + [True]
    assert len(measure(more(job, 3), FakeHost(), at).head.networks) == 6, "a smaller plan throws none away"


def test_networks_for_other_images_are_measured_anew(job, no_files):
    measure(job, FakeHost(), at)
    other = dataclasses.replace(job, classes=7)
    host = FakeHost()
    assert len(measure(other, host, at).head.networks) == 5
    new = set(TINY.unique_blocks(1, 7)) - set(BLOCKS)
    assert len(host.timed) == 2 * len(new) + measuring.NETWORK_PASSES * 5 + 2


def test_probes_are_rows_of_the_table_that_no_space_has(job, no_files):
    measure(job, FakeHost(), at)
    probed = dataclasses.replace(job, probes=True)
    host = FakeHost()
    table = measure(probed, host, at)
    new = set(probes.blocks()) - set(BLOCKS)
    assert len(host.timed) >= 2 * len(new) + 2 and set(table.rows) == set(BLOCKS) | new
    assert len(table.head.networks) == 5 and not probed.wanted().keys(probed.plan)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_passes_go_on_where_the_table_ends(passes, at_least, known, whole):
    spec = TINY.network(TINY.smallest(), 1, 4) if whole else BLOCKS[0]
    found = dataclasses.replace(PLAN, passes=passes, at_least=at_least).passes_over(spec, known)
    total = known + len(found)
    least = measuring.NETWORK_PASSES if whole else 1
    assert not found or found[0] == known
    assert total == (max(passes, least) if not known else max(known, at_least, least if at_least else 0))
