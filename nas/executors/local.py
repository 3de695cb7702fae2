"""Evaluates in processes on this machine. A worker that dies takes one evaluation with it, which is tried again."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from nas import workers
from nas.core.architecture import Architecture
from nas.core.errors import ExecutorError
from nas.core.evaluation import Evaluation
from nas.executors import MAX_RETRIES, Job, died, explain
from nas.study import Candidate

_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class _Worker:
    process: BaseProcess
    line: Connection

    def kill(self) -> None:
        """Ends the process at once, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.line.close()


def _run(job: Job) -> None:
    """Runs `job` to its end.

    Raises:
        ExecutorError: an evaluation failed, or workers keep dying over the same candidate.
    """
    deaths: Counter[int] = Counter()
    again: list[Candidate] = []
    idle: list[_Worker] = []
    busy: dict[object, tuple[_Worker, Candidate]] = {}
    try:
        while True:
            while len(busy) < job.workers and (candidate := again.pop() if again else job.study.ask()):
                worker = idle.pop() if idle else _start(job)
                busy[worker.line] = (worker, candidate)
                _send(worker, candidate)
            if not busy:
                return
            for line in wait([worker.line for worker, _ in busy.values()]):
                worker, candidate = busy.pop(line)
                answer = _receive(worker)
                if isinstance(answer, Evaluation):
                    idle.append(worker)
                    job.study.tell(candidate.number, answer)
                    job.told()
                    continue
                worker.kill()
                if answer is None:
                    deaths[candidate.number] += 1
                    if deaths[candidate.number] <= MAX_RETRIES:
                        again.append(candidate)
                        continue
                    answer = died(candidate.architecture)
                job.study.fail(candidate.number, answer)
                raise ExecutorError(answer)
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.kill()


def _start(job: Job) -> _Worker:
    """A worker that waits for architectures; what it evaluates with goes to it once."""
    import torch.multiprocessing

    torch.multiprocessing.set_sharing_strategy("file_system")  # the other one opens a file for every tensor of the supernet
    threads = max(1, (os.cpu_count() or 1) // job.workers)
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_work, args=(theirs, job.evaluate, threads), daemon=True)
    process.start()
    theirs.close()  # so that the line ends when the worker does
    return _Worker(process, ours)


def _send(worker: _Worker, candidate: Candidate) -> None:
    try:
        worker.line.send((candidate.architecture, candidate.accuracy_to_beat))
    except OSError:  # it died while idle: the line, which is closed now, tells on receiving
        return


def _receive(worker: _Worker) -> Evaluation | str | None:
    """The worker's evaluation, a sentence on why there is none, or None where the worker died."""
    try:
        answer: Evaluation | str = worker.line.recv()
    except (EOFError, OSError):
        return None
    return answer


def _work(line: Connection, evaluate: Callable[[Architecture, float], Evaluation], threads: int) -> None:
    """A worker's life: evaluates what comes down the line until its driver is gone."""
    workers.prepare(threads)
    while True:
        architecture, accuracy_to_beat = line.recv()
        try:
            answer: Evaluation | str = evaluate(architecture, accuracy_to_beat)
        except Exception as error:
            answer = explain(architecture, error)
        line.send(answer)


PLUGIN = _run
