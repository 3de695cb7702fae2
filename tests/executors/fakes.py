"""A search whose evaluations cost nothing and misbehave on demand. Also a program, to be killed:

python -m tests.executors.fakes FOLDER EXECUTOR WORKERS TRIALS SECONDS
"""

import hashlib
import itertools
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from nas import executors, footprint
from nas.core.architecture import Architecture
from nas.core.budget import Budget
from nas.core.evaluation import Evaluation
from nas.core.latency import Interval, estimate
from nas.core.space import Choice, SearchSpace, Stage
from nas.strategies import nsga2
from nas.study import SearchStudy
from search_spaces import blocks
from tests.tiny import SPACE, Device

SHUFFLE = (Choice("shuffle_unit", 3), Choice("mbconv", 3, 2))
TWELVE = SearchSpace("twelve", (8, 12), 8, 1, "relu", (Stage((16,), (1, 2), 2, SHUFFLE, False, "relu"),), 32, "relu")
"""A space of twelve architectures."""
LOOSE = Budget(1000.0)


SPACES = {space.key: space for space in (SPACE, TWELVE)}


def network(architecture):
    return SPACES[architecture.space].network(architecture, 1, 3)


def price(architecture):
    return estimate(Device(), network(architecture))


def costs(architecture):
    return footprint.costs(network(architecture), price(architecture).total, "fp32", None)


def macs(architecture):
    return blocks.macs(network(architecture))


def everything(space):
    """All architectures of a space."""
    return {space.architecture(genes) for genes in itertools.product(*(range(gene.options) for gene in space.genes))}


def search(folder, trials, seed=0, space=SPACE, budget=LOOSE, sampling=nsga2.sampler, counted=None, slower=1.0, **asked):
    """A search in `folder`, with Optuna's NSGA-II as it comes, which repeats itself.

    `counted` collects what is priced, `slower` is how many times longer everything takes; the rest is as in `SearchStudy`.
    """

    def priced(architecture):
        if counted is not None:
            counted.append(architecture)
        found = costs(architecture)
        return replace(found, latency=Interval(*(slower * ms for ms in (found.latency.ms, found.latency.low_ms, found.latency.high_ms))))

    return SearchStudy(folder, space, priced, macs, budget, sampling, trials, seed, **asked)


def accuracy(architecture):
    """A number between 0.5 and 1 that larger genes raise; the same everywhere."""
    noise = int(hashlib.sha256(architecture.id.encode()).hexdigest()[:4], 16) / 65535
    return 0.5 + 0.18 * sum(architecture.genes) / len(architecture.genes) + 0.05 * noise


def evaluation(architecture):
    return Evaluation(accuracy(architecture), macs(architecture), 10 + sum(architecture.genes), ("aten::add",), 0.25)


@dataclass(frozen=True)
class Evaluator:
    """Notes every evaluation in `log`, sleeps, and dies (the first `deaths` times) or raises over an architecture of its own."""

    log: Path
    seconds: float = 0.0
    deaths: int = 0
    raises: bool = False
    after: int = 0
    payload: list = field(default_factory=list)

    def __getstate__(self):
        note(self.log, "packed", "-")
        return dict(self.__dict__)

    def __setstate__(self, state):
        self.__dict__.update(state)
        note(self.log, "unpacked", "-")

    def __call__(self, architecture: Architecture, accuracy_to_beat: float = float("-inf")) -> Evaluation:
        seen = notes(self.log)
        note(self.log, "begun", architecture.id)
        note(self.log, "to_beat", accuracy_to_beat)
        time.sleep(self.seconds)
        if counted(seen, "ended") >= self.after:
            if counted(seen, "dying") < self.deaths:
                note(self.log, "dying", architecture.id)
                os.kill(os.getpid(), signal.SIGKILL)
            if self.raises:
                raise ZeroDivisionError("no such luck")
        note(self.log, "ended", architecture.id)
        return evaluation(architecture)


def note(log, what, who):
    with log.open("ab", buffering=0) as file:
        file.write(f"{what} {who} {os.getpid()}\n".encode())


def notes(log):
    """(what, architecture, process) of every note so far."""
    return [tuple(line.split()) for line in log.read_text().splitlines()] if log.exists() else []


def counted(seen, what):
    return Counter(note[0] for note in seen)[what]


def job(study, evaluate, folder, workers=1, told=lambda: None):
    return executors.Job(study, evaluate, told, workers, None, folder)


def shape(study):
    """What two searches must have in common to be the same: trials in order, with all figures but the times."""
    return [(record.architecture.genes, record.latency, record.macs, record.evaluation) for record in study.records]


def run(folder, study):
    """Evaluates in this process to the end; the architectures evaluated."""
    done = []
    while candidate := study.ask():
        done.append(candidate.architecture)
        study.tell(candidate.number, evaluation(candidate.architecture))
    return done


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def eventually(condition, seconds=30.0):
    """Whether `condition` comes true within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    where, executor, workers, trials, seconds = sys.argv[1:]
    one = search(Path(where), int(trials))
    executors.load(executor)(job(one, Evaluator(Path(where) / "log", float(seconds)), Path(where), int(workers)))
