"""What the study costs a trial: time inside ask and tell, with evaluations that cost nothing.

Ours (the journal of `nas.study`, with prices, budget and cache) beside Optuna's NSGA-II alone on its own journal, on SQLite
and in memory. Run on an idle machine:

    python experiments/benchmarks/study_overhead.py
    python experiments/benchmarks/study_overhead.py --trials 5000 --without "optuna, sqlite"      # which alone would take an hour
    python experiments/benchmarks/study_overhead.py --memory
    python experiments/benchmarks/study_overhead.py --memory [--full]    # of our own study, in a process for each number of trials
"""

import argparse
import json
import random
import resource
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import optuna

sys.path.insert(0, str(Path(__file__).parents[2]))

import hardware_profiles
import latency_models
import search_spaces
from nas import landscapes, strategies
from nas.core.budget import Budget, Costs
from nas.core.evaluation import Evaluation
from nas.core.latency import estimate
from nas.files import atomic_write
from nas.study import SearchStudy
from search_spaces import blocks

RESULT = Path(__file__).parents[1] / "results" / "study_overhead.json"
SPACE = search_spaces.load("mobile_shuffle_32")
BATCH = 50
LIMIT_MS = 50.0
"""Five per cent of an evaluation of a second."""
optuna.logging.set_verbosity(optuna.logging.ERROR)


def ours(strategy: str) -> Callable[[Path, int], Iterator[float]]:
    """The project's study with one of its strategies."""
    return lambda folder, trials: _ours(strategy, folder, trials)


def _ours(strategy: str, folder: Path, trials: int) -> Iterator[float]:
    """Seconds of each proposal until `trials` are evaluated; an accuracy that larger networks have more of, and chance."""
    model = latency_models.load(hardware_profiles.load("jetson-nano"))
    budget = Budget(1000.0)
    begun = time.perf_counter()
    costs = landscapes.CostTable.of(SPACE, model, 1, 10, None)
    landscape = landscapes.of_space(costs, model, budget, 1, 10)
    study = SearchStudy(
        folder,
        SPACE,
        lambda architecture: Costs(estimate(model, SPACE.network(architecture, 1, 10)).total),
        lambda architecture: blocks.macs(SPACE.network(architecture, 1, 10)),
        budget,
        strategies.load(strategy, landscape, 0),
        trials,
        seed=0,
    )
    chance = random.Random(0)
    spent = time.perf_counter() - begun  # the tables' cost is the first proposal's
    while True:
        before, begun = len(study.study.get_trials(deepcopy=False)), time.perf_counter()
        candidate = study.ask()
        if candidate is None:
            return
        accuracy = 0.5 + 0.3 * sum(candidate.architecture.genes) / 40 + 0.02 * chance.random()
        study.tell(candidate.number, Evaluation(accuracy, 1, 1, (), 0.0))
        seconds, spent = spent + time.perf_counter() - begun, 0.0
        made = len(study.study.get_trials(deepcopy=False)) - before
        yield from [seconds / made] * made


def bare(storage: Callable[[Path], optuna.storages.BaseStorage | None]) -> Callable[[Path, int], Iterator[float]]:
    """The same parameters in a study of Optuna's own on `storage`, with one sampler for all trials."""

    def run(folder: Path, trials: int) -> Iterator[float]:
        sampler = optuna.samplers.NSGAIISampler(population_size=16, seed=0)
        study = optuna.create_study(storage=storage(folder), sampler=sampler, directions=["maximize", "minimize"])
        distributions = {gene.name: optuna.distributions.IntDistribution(0, gene.options - 1) for gene in SPACE.genes}
        chance = random.Random(0)
        for _ in range(trials):
            begun = time.perf_counter()
            trial = study.ask(distributions)
            study.tell(trial, [chance.random(), chance.random()])
            yield time.perf_counter() - begun

    return run


def journal(folder: Path) -> optuna.storages.BaseStorage:
    """Optuna's journal file, which waits for the disk at every event."""
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "journal")))


def sqlite(folder: Path) -> optuna.storages.BaseStorage:
    """Optuna's SQLite file."""
    return optuna.storages.RDBStorage(f"sqlite:///{folder}/study.sqlite")


WAYS = {
    "ours": ours("predictor_guided"),
    "ours, nsga2": ours("nsga2"),
    "optuna, journal": bare(journal),
    "optuna, sqlite": bare(sqlite),
    "optuna, memory": bare(lambda folder: None),
}


def measure(trials: int, names: Iterable[str]) -> dict[str, dict[str, float]]:
    """What `spread` says of each way, whose trials were made in turns of `BATCH`."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        running = {}
        for number, name in enumerate(seconds):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            running[name] = WAYS[name](folder, trials)
        while running:
            for name in list(running):
                turn = [one for one, _ in zip(running[name], range(BATCH), strict=False)]
                seconds[name] += turn
                if not turn:
                    del running[name]
    return {name: spread(all_of) for name, all_of in seconds.items()}


def spread(seconds: list[float]) -> dict[str, float]:
    """Milliseconds a trial: mean, median of the last tenth, the 99th percentile and the most; and the share above `LIMIT_MS`."""
    rising = sorted(1e3 * one for one in seconds)
    return {
        "mean_ms": statistics.mean(rising),
        "last_tenth_ms": 1e3 * statistics.median(seconds[-max(1, len(seconds) // 10) :]),
        "p99_ms": rising[int(0.99 * (len(rising) - 1))],
        "most_ms": rising[-1],
        "share_above_limit": sum(one > LIMIT_MS for one in rising) / len(rising),
    }


def measure_times(counts: Iterable[int], names: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """What `measure` says of the ways of `names`, by number of trials."""
    results = {}
    for trials in counts:
        results[str(trials)] = measure(trials, names)
        for name, found in results[str(trials)].items():
            print(f"{trials:>6} trials  {name:<16} " + " ".join(f"{value:10.3f}" for value in found.values()), flush=True)
    return results


OWN = "ours"
"""The way whose memory is measured."""


def memory_mb(trials: int) -> tuple[float, float]:
    """Peak resident memory of this process in megabytes (10^6 bytes) after one trial, all libraries loaded, and after `trials`."""
    with tempfile.TemporaryDirectory() as scratch:
        peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 for _ in WAYS[OWN](Path(scratch), trials)]
    return peaks[0], peaks[-1]


def measure_memory(counts: Iterable[int]) -> dict[str, dict[str, float]]:
    """Megabytes by number of trials, each in a new process."""
    found = {}
    for trials in counts:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            first, last = pool.submit(memory_mb, trials).result()
        found[str(trials)] = {"after_one_mb": round(first, 1), "peak_mb": round(last, 1)}
        print(f"{trials:>6} trials  {first:8.1f} MB after the first, {last:8.1f} MB at the end", flush=True)
    return found


def main() -> None:
    """Prints the table and writes it into `experiments/results/study_overhead.json`, where what is of other numbers stays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000], help="numbers of trials (default 100 and 1,000)")
    parser.add_argument("--without", nargs="+", default=[], choices=WAYS, help="ways that are not timed")
    parser.add_argument("--memory", action="store_true", help="the memory that the default takes, instead of its time")
    given = parser.parse_args()
    content = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    command = shlex.join(["python", "experiments/benchmarks/study_overhead.py", *sys.argv[1:]])
    if given.memory:
        content |= {"memory_command": command, "memory": measure_memory(given.trials)}
    else:
        print(f"{len(SPACE.genes)} parameters; milliseconds a trial: mean, median of the last tenth, 99th percentile, most;")
        print(f"and the share of trials above {LIMIT_MS:g} ms")
        found = measure_times(given.trials, [name for name in WAYS if name not in given.without])
        commands = content.get("commands", {}) | dict.fromkeys(found, command)
        content |= {"parameters": len(SPACE.genes), "limit_ms": LIMIT_MS, "commands": commands, "trials": content.get("trials", {}) | found}
    RESULT.parent.mkdir(exist_ok=True)
    atomic_write(RESULT, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
