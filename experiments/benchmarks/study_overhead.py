"""What the study costs a trial: time inside ask and tell, with evaluations that cost nothing.

Ours (the journal of `nas.study`, with prices, budget and cache) beside Optuna's NSGA-II alone on its own journal, on SQLite
and in memory. Run on an idle machine:

    python experiments/benchmarks/study_overhead.py [--full] [--trials 100]
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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
from nas.study import SearchStudy
from search_spaces import blocks

RESULT = Path(__file__).parents[1] / "results" / "study_overhead.json"
SPACE = search_spaces.load("mobile_shuffle_32")
BATCH = 50
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


def measure(trials: int) -> dict[str, dict[str, float]]:
    """Milliseconds a trial of each way, taken in turns of `BATCH` trials: mean over all, and median of the last tenth."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as scratch:
        running = {}
        for number, (name, way) in enumerate(WAYS.items()):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            running[name] = way(folder, trials)
        while running:
            for name in list(running):
                turn = [one for one, _ in zip(running[name], range(BATCH), strict=False)]
                seconds[name] += turn
                if not turn:
                    del running[name]
    return {
        name: {"mean_ms": 1e3 * statistics.mean(all_of), "last_tenth_ms": 1e3 * statistics.median(all_of[-max(1, len(all_of) // 10) :])}
        for name, all_of in seconds.items()
    }


def main() -> None:
    """Prints the table and writes `experiments/results/study_overhead.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="also 5,000 trials: about an hour, nearly all of it SQLite's")
    parser.add_argument("--trials", type=int, action="append", help="numbers of trials instead of 100 and 1,000")
    given = parser.parse_args()
    counts = given.trials or ([100, 1000, 5000] if given.full else [100, 1000])
    results = {}
    print(f"{len(SPACE.genes)} parameters; milliseconds a trial: mean, and median of the last tenth")
    for trials in counts:
        results[str(trials)] = measure(trials)
        for name, found in results[str(trials)].items():
            print(f"{trials:>6} trials  {name:<16} {found['mean_ms']:8.2f} {found['last_tenth_ms']:8.2f}", flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    command = " ".join(["python", "experiments/benchmarks/study_overhead.py", *sys.argv[1:]])
    RESULT.write_text(json.dumps({"command": command, "parameters": len(SPACE.genes), "trials": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
