"""The file of what a run has timed: only closed rounds count, and nothing that a crash can leave stops it."""

import json

import pytest

from nas import timed_networks
from nas.core.architecture import Architecture
from nas.core.errors import StudyError
from nas.core.latency import Interval
from nas.timed_networks import Round, TimedNetwork, begin, close, read

TITLE = {"target": "board onnxruntime 1.17.0 fp32, 1 thread, batch 1", "machine": "A board", "space": "tiny@0"}


def network(number, gene, ms=2.0):
    predicted, measured = Interval(1.0, 0.5, 1.5), Interval(ms, 0.9 * ms, 1.1 * ms)
    when = "2026-01-02T03:04:05+00:00"
    return TimedNetwork(
        Architecture("tiny@0", (gene, 1)), number, "front", predicted, "estimated", measured, 6, 0.9, when, "1.17.0", "clock 1400 MHz"
    )


def test_what_was_kept_is_read_again(tmp_path):
    assert read(tmp_path).rounds == () and begin(tmp_path, TITLE).networks == ()
    close(tmp_path, [network(1, 0), network(1, 1, 3.0)], Round(1, 12, 0.25, ""))
    close(tmp_path, [], Round(2, 24, None, "the connection was cut"))
    found = begin(tmp_path, TITLE)
    assert found == read(tmp_path)
    assert found.networks == (network(1, 0), network(1, 1, 3.0)) and found.evaluated == 24
    assert found.rounds == (Round(1, 12, 0.25, ""), Round(2, 24, None, "the connection was cut"))
    assert found.prices == {
        Architecture("tiny@0", (0, 1)): Interval(2.0, 1.8, 2.2),
        Architecture("tiny@0", (1, 1)): network(1, 1, 3.0).measured,
    }
    assert json.loads((tmp_path / "measured.jsonl").read_text().splitlines()[1])["id"] == found.networks[0].architecture.id


@pytest.mark.parametrize("left", [b'{"kind": "netw', b"", "torn in the middle"])
def test_a_round_that_was_not_closed_does_not_count_and_goes_with_the_next(tmp_path, left):
    begin(tmp_path, TITLE)
    close(tmp_path, [network(1, 0)], Round(1, 12, 0.25, ""))
    path = tmp_path / timed_networks.FILE_NAME
    whole = path.read_bytes()
    close(tmp_path, [network(2, 5)], Round(2, 24, 0.25, ""))
    unclosed = path.read_bytes()[len(whole) :].split(b"\n")[0] + b"\n"
    path.write_bytes(whole + (unclosed + left if isinstance(left, bytes) else unclosed[:20]))
    assert read(tmp_path).networks == (network(1, 0),)
    close(tmp_path, [network(2, 6)], Round(2, 24, 0.25, ""))
    assert [one.architecture.genes[0] for one in read(tmp_path).networks] == [0, 6]


def test_a_torn_title_is_written_again(tmp_path):
    (tmp_path / timed_networks.FILE_NAME).write_text('{"kind": "ti')
    assert read(tmp_path).title == {} and begin(tmp_path, TITLE).title["machine"] == "A board"


def test_another_device_is_refused_and_both_are_named(tmp_path):
    begin(tmp_path, TITLE)
    with pytest.raises(StudyError, match="machine was 'A board' and is now 'Another'"):
        begin(tmp_path, {**TITLE, "machine": "Another"})


@pytest.mark.parametrize("line", ["no json", '{"kind": "round"}', '{"kind": "network", "id": "x"}', "3"])
def test_a_damaged_line_is_named(tmp_path, line):
    begin(tmp_path, TITLE)
    with (tmp_path / timed_networks.FILE_NAME).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(StudyError, match=r"line 2 of .*measured\.jsonl is damaged"):
        read(tmp_path)
