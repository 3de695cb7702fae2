"""What only the processes of this machine have: blame for the right candidate, threads, weights that travel."""

from dataclasses import dataclass

import pytest
import torch

from nas import executors
from nas.core.errors import ExecutorError
from nas.core.evaluation import Evaluation
from tests.executors.fakes import Evaluator, counted, evaluation, job, notes, search

LOCAL = executors.load("local")


@dataclass(frozen=True)
class Weights:
    """An evaluator as heavy as a supernet: many tensors."""

    tensors: dict

    def __call__(self, architecture, accuracy_to_beat) -> Evaluation:
        assert torch.get_num_threads() >= 1
        found = evaluation(architecture)
        return Evaluation(found.accuracy, len(self.tensors), int(sum(tensor.sum() for tensor in self.tensors.values())), (), 0.0)


@dataclass(frozen=True)
class KillsItself(Evaluator):
    """Dies over one architecture only, as one that is too big for memory would."""

    victim: str = ""

    def __call__(self, architecture, accuracy_to_beat):
        if architecture.id == self.victim:
            return Evaluator(self.log, deaths=99)(architecture)
        return Evaluator(self.log, seconds=0.2)(architecture)


def test_a_supernet_of_two_thousand_tensors_travels_to_the_workers(tmp_path):
    """More tensors than a process may have files open, which is what torch shares them by."""
    study = search(tmp_path, 3)
    LOCAL(job(study, Weights({f"w{i}": torch.ones(3) for i in range(2000)}), tmp_path))
    assert [(record.evaluation.macs, record.evaluation.params) for record in study.records] == [(2000, 6000)] * 3


@pytest.mark.slow
def test_only_the_candidate_that_kills_is_blamed(tmp_path):
    victim = search(tmp_path, 6).ask().architecture.id
    study, log = search(tmp_path, 6), tmp_path / "log"
    with pytest.raises(ExecutorError, match=f"died 4 times while it evaluated {victim}"):
        LOCAL(job(study, KillsItself(log, victim=victim), tmp_path, workers=2))
    assert {who for what, who, _ in notes(log) if what == "dying"} == {victim}
    assert search(tmp_path, 6).evaluated == study.evaluated == counted(notes(log), "ended")
