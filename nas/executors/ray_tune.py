"""Evaluates on a Ray cluster: Tune places, retries and spreads stateless evaluations; the study stays the only truth.

The supernet's weights and the images are put once into the object store. Nothing of worth lives in Tune: when driver
or cluster dies, the same command continues from the study.

A cluster that `ray start --head` began demands a token from Ray 2.60 on: set `RAY_AUTH_MODE=token` and
`RAY_AUTH_TOKEN_PATH=FILE` for `ray start` on every node and for the command that searches alike.
"""

import contextlib
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Tune's would end a search as if it were complete
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new one prints a banner at any verbosity
os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")

import ray
from ray import tune
from ray.tune.search import Searcher

from nas.core.architecture import Architecture
from nas.core.errors import ExecutorError, NasError
from nas.core.evaluation import Evaluation
from nas.executors import MAX_RETRIES, Asked, Job, died, explain
from nas.study import Candidate


class _StudySearcher(Searcher):
    """Tune's view of the study: suggest is ask, complete is tell. `error` is what ended the search early."""

    def __init__(self, study: Asked, told: Callable[[], None]) -> None:
        super().__init__(metric="accuracy", mode="max")
        self._study, self._told = study, told
        self._candidates: dict[str, Candidate] = {}
        self.error: NasError | None = None

    def suggest(self, trial_id: str) -> Any:
        """The next candidate; None while only results can bring more, FINISHED at the end."""
        candidate = self._ask()
        if candidate is None:
            return None if self._candidates else Searcher.FINISHED
        self._candidates[trial_id] = candidate
        architecture, to_beat = candidate.architecture, candidate.accuracy_to_beat
        return {"space": architecture.space, "genes": list(architecture.genes), "accuracy_to_beat": to_beat}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells the study. An evaluation that failed, or whose workers died too often, ends the search."""
        candidate = self._candidates.pop(trial_id)
        if error or result is None or "evaluation" not in result:
            failure = (result or {}).get("failure") or died(candidate.architecture)
            self._study.fail(candidate.number, failure)
            self.error = ExecutorError(failure)
            return
        self._study.tell(candidate.number, Evaluation(*result["evaluation"]))
        self._told()

    def _ask(self) -> Candidate | None:
        """The study's next candidate; its error is kept for the end, since Tune would report one of its own instead."""
        if self.error is not None:
            return None
        try:
            return self._study.ask()
        except NasError as error:
            self.error = error
            return None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for Tune's snapshots, which nobody will read."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is saved by itself."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a stopped search continues from the study, not from Tune."""


class _Evaluation(tune.Trainable):
    """One evaluation a trial, in an actor that is used again for the next."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:
        """Takes what `tune.with_parameters` put into the object store: the evaluator, and torch's number of threads."""
        import torch

        torch.set_num_threads(given["threads"])
        self._evaluate: Callable[[Architecture, float], Evaluation] = given["evaluate"]
        self._config = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next candidate without a new process."""
        self._config = new_config
        return True

    def step(self) -> dict[str, Any]:
        """The evaluation, as the trial's one and only result; an error is a result too, for Tune would try it again."""
        architecture = Architecture(self._config["space"], tuple(self._config["genes"]))
        try:
            evaluation = self._evaluate(architecture, self._config["accuracy_to_beat"])
        except Exception as error:
            return {"accuracy": float("-inf"), "failure": explain(architecture, error), "done": True}
        return {"accuracy": evaluation.accuracy, "evaluation": astuple(evaluation), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: an evaluation has no state."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: an evaluation has no state."""


def _run(job: Job) -> None:
    """Runs `job` on the cluster at `job.ray_address` ("auto", HOST:PORT), or on one started here for the run.

    Raises:
        ExecutorError: the cluster cannot be reached, an evaluation failed, or workers keep dying over a candidate.
    """
    with contextlib.redirect_stdout(sys.stderr):  # Ray reports dead workers on stdout, which is the command's result alone
        _run_quietly(job)


def _run_quietly(job: Job) -> None:
    started_here = not ray.is_initialized()
    if started_here:
        _connect(job)
    try:
        with tempfile.TemporaryDirectory(prefix=".ray-", dir=job.folder, ignore_cleanup_errors=True) as scratch:
            _tune(job, scratch)
    finally:
        if started_here:
            ray.shutdown()


def _connect(job: Job) -> None:
    try:
        if job.ray_address is None:
            ray.init(
                address="local",  # never a cluster that somebody else has running here
                num_cpus=max(job.workers, os.cpu_count() or 1),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        else:
            _knock(job.ray_address)
            ray.init(address=job.ray_address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        asked = job.ray_address or "a new one on this machine"
        raise ExecutorError(f"no Ray cluster could be reached (asked for {asked}): {error}. Start one with `ray start --head`") from None


def _knock(address: str) -> None:
    """Raises OSError or ValueError at once where nobody listens at HOST:PORT, which Ray would try for a minute."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=10).close()


def _tune(job: Job, scratch: str) -> None:
    threads = max(1, (os.cpu_count() or 1) // job.workers)
    retries = MAX_RETRIES + 2 * (job.workers - 1)  # a node's death leaves idle actors that fail whoever is given one
    trainable = tune.with_parameters(_Evaluation, evaluate=job.evaluate, threads=threads)
    searcher = _StudySearcher(job.study, job.told)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=searcher, num_samples=-1, max_concurrent_trials=job.workers, reuse_actors=True),
        run_config=tune.RunConfig(name="tune", storage_path=scratch, verbose=0, failure_config=tune.FailureConfig(max_failures=retries)),
    )
    tuner.fit()
    if searcher.error is not None:
        raise searcher.error


PLUGIN = _run
