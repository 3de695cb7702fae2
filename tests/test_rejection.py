"""What a study knows of candidates that were given up early, and what it tells others to beat."""

from dataclasses import replace

from nas.study import load, records
from tests.executors.fakes import evaluation, search


def test_a_candidate_is_told_what_those_at_least_as_fast_have_reached(tmp_path):
    study = search(tmp_path, 25)
    told = []
    while candidate := study.ask():
        at = candidate.costs.latency.ms
        assert candidate.accuracy_to_beat == max((accuracy for ms, accuracy in told if ms <= at), default=float("-inf"))
        found = evaluation(candidate.architecture)
        study.tell(candidate.number, found)
        told.append((at, found.accuracy))
    assert len(told) == 25
    again = search(tmp_path, 26)  # and a resumed search knows it too
    candidate = again.ask()
    assert candidate.accuracy_to_beat == max((accuracy for ms, accuracy in told if ms <= candidate.costs.latency.ms), default=float("-inf"))


def test_a_rejected_candidate_keeps_its_mark_and_is_no_measure_for_others(tmp_path):
    study = search(tmp_path, 8)
    while candidate := study.ask():
        assert candidate.accuracy_to_beat == float("-inf")
        study.tell(candidate.number, replace(evaluation(candidate.architecture), rejected_after=250))
    assert [record.evaluation.rejected_after for record in records(load(tmp_path))] == [250] * 8
