"""Evaluates in processes on this machine. A worker that dies takes one evaluation with it, which is tried again."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from nas.core.architecture import Architecture
from nas.core.errors import ExecutorError
from nas.core.evaluation import Evaluation
from nas.executors import MAX_RETRIES, Job
from nas.study import Candidate

_evaluate: Callable[[Architecture], Evaluation]
"""What this worker process evaluates with; set once when it starts."""


def _start_worker(evaluate: Callable[[Architecture], Evaluation], threads: int) -> None:
    global _evaluate
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    _evaluate = evaluate


def _leave_with_parent(parent: int) -> None:
    """Ends this process when its driver is gone, even if that was killed without a chance to say so."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(architecture: Architecture) -> Evaluation:
    return _evaluate(architecture)


def _run(job: Job) -> None:
    """Runs `job` to its end.

    Raises:
        ExecutorError: the workers keep dying over the same candidate.
    """
    deaths: dict[int, int] = {}
    waiting: list[Candidate] = []
    while True:
        with _pool(job) as pool:
            pending: dict[Future[Evaluation], Candidate] = {}
            try:
                while _fill(job, pool, pending, waiting):
                    for future in wait(pending, return_when=FIRST_COMPLETED).done:
                        job.study.tell(pending[future].number, future.result())
                        del pending[future]
                        job.told()
                return
            except BrokenProcessPool:
                waiting += pending.values()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for candidate in waiting:
            deaths[candidate.number] = deaths.get(candidate.number, 0) + 1
            if deaths[candidate.number] > MAX_RETRIES:
                job.study.fail(candidate.number, "worker died")
                raise ExecutorError(
                    f"a worker died {MAX_RETRIES + 1} times while it evaluated {candidate.architecture.id}: out of memory? "
                    f"Give fewer --workers; what was evaluated is kept, and the same command continues"
                )


def _fill(job: Job, pool: ProcessPoolExecutor, pending: dict[Future[Evaluation], Candidate], waiting: list[Candidate]) -> bool:
    """Hands out candidates until every worker has one; whether any is on its way."""
    while len(pending) < job.workers:
        candidate = waiting[0] if waiting else job.study.ask()
        if candidate is None:
            break
        pending[pool.submit(_work, candidate.architecture)] = candidate
        del waiting[:1]
    return bool(pending)


def _pool(job: Job) -> ProcessPoolExecutor:
    threads = max(1, (os.cpu_count() or 1) // job.workers)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(job.workers, mp_context=context, initializer=_start_worker, initargs=(job.evaluate, threads))


PLUGIN = _run
