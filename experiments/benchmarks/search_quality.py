"""How few evaluations a search needs: every strategy beside stock Optuna, pymoo and Once-for-All's evolution, where the front is known.

Three problems: NAS-Bench-Macro with latencies of a shipped device model, and two made to be hard (`search_problems.py`). Shown is
the share of the true front's hypervolume after 50, 100, 200 and 400 evaluations, and after how many it is 99 %; and for ten
budgets what the best network found within each lacks to the true best after 200 evaluations.

Every run that is done is kept, so the same command goes on, and another one adds to it:

    python experiments/benchmarks/search_quality.py --data nas_bench_macro_cifar10.csv --jobs 4
    python experiments/benchmarks/search_quality.py --data ... --problems deceptive --strategies predictor_guided "optuna tpe" --seeds 5
    python experiments/benchmarks/search_quality.py --data ... --part budgets --seeds 5
    python experiments/benchmarks/search_quality.py --data ... --seeds 0    # the tables and the plots again
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna

sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments.benchmarks import search_quality_plot
from experiments.benchmarks.other_searches import OTHERS, distinct, ofa_evolution, true_accuracy
from experiments.benchmarks.search_problems import LOOSE, Problem, deceptive, macro, noisy
from nas import strategies
from nas.core.budget import Budget
from nas.files import atomic_write
from nas.strategies.sampling import distributions

RESULT = Path(__file__).parents[1] / "results" / "search_quality.json"
POINTS = (50, 100, 200, 400)
GOAL = 0.99
BUDGETS = 10
SPENT = 200
"""Evaluations for one budget."""
optuna.logging.set_verbosity(optuna.logging.ERROR)


def ours(problem: Problem, name: str, seed: int, budget: Budget = LOOSE) -> Iterator[int]:
    """Rows that one of our strategies evaluates, with a study in memory; what is beyond the budget is told as our study tells it."""
    landscape, shown = problem.table.landscape(budget), problem.shown(seed)
    sampling, parameters = strategies.load(name, landscape, seed), distributions(landscape)
    study = optuna.create_study(directions=["maximize", "minimize"])
    number = 0
    while True:
        study.sampler = sampling((seed * 1_000_003 + number) % 2**31)
        number += 1
        trial = study.ask(parameters)
        row = int(problem.table.rows(np.array([[trial.params[gene] for gene in landscape.names]]))[0])
        over = float(problem.table.latency_ms[row]) / budget.latency_ms - 1.0
        trial.set_constraint("latency", over)
        study.tell(trial, [float("-inf") if over > 0 else float(shown[row]), float(problem.table.latency_ms[row])])
        if over <= 0:
            yield row


def run_front(problem: Problem, name: str, seed: int, count: int) -> dict[str, Any]:
    """Shares of the hypervolume that one run reaches, and when it is `GOAL`."""
    begun = time.perf_counter()
    rows = distinct(name, OTHERS[name](problem, seed) if name in OTHERS else ours(problem, name, seed), count)
    seconds = time.perf_counter() - begun
    points = [point for point in POINTS if point <= count]
    reached = next((n for n in range(1, len(rows) + 1) if problem.share(rows[:n], seed) >= GOAL), None)
    shares = {str(point): problem.share(rows[:point], seed) for point in points}
    return {"shares": shares, "evaluations_to_goal": reached, "evaluations": len(rows), "seconds": round(seconds, 2)}


def run_budgets(problem: Problem, name: str, seed: int) -> dict[str, Any]:
    """Points of accuracy that the best found within each of ten budgets lacks, from the tightest to the widest."""
    knows_limits = name not in OTHERS or name == "ofa evolution"
    rows = [] if knows_limits else distinct(name, OTHERS[name](problem, seed), SPENT)  # one search for all limits
    regrets = []
    for limit_ms in limits(problem):
        if name not in OTHERS:
            within = int((problem.table.latency_ms <= limit_ms).sum())
            rows = distinct(name, ours(problem, name, seed, Budget(limit_ms)), min(SPENT, within))
        elif knows_limits:
            rows = distinct(name, ofa_evolution(problem, seed, limit_ms), SPENT)
        regrets.append(true_accuracy(problem, limit_ms) - problem.best_within(rows, limit_ms, seed))
    return {"regrets": regrets}


def limits(problem: Problem) -> list[float]:
    """Ten latencies, at even steps of their logarithm, from above the fastest to below the slowest."""
    ms = problem.table.latency_ms
    return [float(limit) for limit in np.geomspace(ms.min(), ms.max(), BUDGETS + 2)[1:-1]]


class Results:
    """All runs so far, in the result file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.runs: dict[str, Any] = json.loads(path.read_text())["runs"] if path.exists() else {}

    def missing(self, key: str, count: int) -> bool:
        """Whether there is no such run, or one of fewer evaluations."""
        return key not in self.runs or count > self.runs[key].get("asked", count)

    def add(self, key: str, found: dict[str, Any], count: int) -> None:
        """Keeps a run, at once."""
        self.runs[key] = {**found, "asked": count}
        self.save("")

    def save(self, command: str) -> None:
        """Writes runs and summary."""
        before = json.loads(self._path.read_text()) if self._path.exists() else {}
        content = {"command": command or before.get("command", ""), "summary": self.summary(), "runs": self.runs}
        atomic_write(self._path, json.dumps(content, indent=1) + "\n")

    def groups(self, part: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Runs of a part by problem and search."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for key, run in self.runs.items():
            which, problem, name, _ = key.split("/")
            if which == part:
                found.setdefault(problem, {}).setdefault(name, []).append(run)
        return found

    def summary(self) -> dict[str, Any]:
        """Quartiles over seeds."""
        found: dict[str, Any] = {"front": {}, "budgets": {}}
        for problem, searches in self.groups("front").items():
            for name, runs in searches.items():
                reached = {str(point): [run["shares"][str(point)] for run in runs if str(point) in run["shares"]] for point in POINTS}
                points = {point: _quartiles(shares) for point, shares in reached.items()}
                to_goal = [run["evaluations_to_goal"] or float("inf") for run in runs]
                middle = float(np.quantile(to_goal, 0.5, method="higher"))
                found["front"].setdefault(problem, {})[name] = {
                    "seeds": len(runs),
                    "fewer_seeds": {point: len(shares) for point, shares in reached.items() if 0 < len(shares) < len(runs)},
                    "shares": {point: quartiles for point, quartiles in points.items() if quartiles},
                    "evaluations_to_goal": None if np.isinf(middle) else int(middle),
                    "reached_goal": int(np.isfinite(to_goal).sum()),
                    "seconds": float(np.median([run["seconds"] for run in runs])),
                }
        for problem, searches in self.groups("budgets").items():
            for name, runs in searches.items():
                regrets = np.quantile([run["regrets"] for run in runs], (0.25, 0.5, 0.75), axis=0, method="higher")
                quartiles = [[None if np.isinf(one) else round(float(one), 4) for one in budget] for budget in regrets.T]
                found["budgets"].setdefault(problem, {})[name] = {"seeds": len(runs), "regrets": quartiles}
        return found


def _quartiles(values: list[float]) -> list[float]:
    return [round(float(one), 5) for one in np.quantile(values, (0.25, 0.5, 0.75))] if values else []


def _points(regret: float | None) -> str:
    return "none" if regret is None else f"{regret:.2f}"


def show(summary: dict[str, Any]) -> None:
    """Prints the tables."""
    for problem, searches in summary["front"].items():
        print(f"\n{problem}: share of the true front's hypervolume, median (quartiles), and evaluations to {GOAL:.0%}")
        for name, found in sorted(searches.items(), key=lambda item: -item[1]["shares"].get("100", [0, 0])[1]):
            few = {point: f" of {count}" for point, count in found["fewer_seeds"].items()}
            cells = [f"{q[1]:.4f} ({q[0]:.4f}-{q[2]:.4f}){few.get(point, '')}" for point, q in found["shares"].items()]
            print(
                f"  {name:<22}{found['seeds']:>3} seeds  "
                + "  ".join(cells)
                + f"  {found['evaluations_to_goal'] or '-':>5}  {found['seconds']:.1f} s"
            )
    for problem, searches in summary["budgets"].items():
        print(f"\n{problem}: median regret in points (upper quartile) at ten budgets, tightest first, after {SPENT} evaluations")
        for name, found in searches.items():
            print(
                f"  {name:<22}{found['seeds']:>3} seeds  "
                + " ".join(f"{_points(middle)} ({_points(high)})" for _, middle, high in found["regrets"])
            )


@cache
def problem_of(name: str, data: Path, device: str) -> Problem:
    """The problem of that name, made once in each process."""
    return {"nas-bench-macro": lambda: macro(data, device), "deceptive": deceptive, "noisy": noisy}[name]()


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one search on one problem: all that a process needs to know."""

    part: str
    problem: str
    name: str
    seed: int
    count: int
    data: Path
    device: str

    @property
    def key(self) -> str:
        """Its name in the result file."""
        return f"{self.part}/{self.problem}/{self.name}/{self.seed}"

    def __call__(self) -> dict[str, Any]:
        """Does it."""
        solved = problem_of(self.problem, self.data, self.device)
        return run_front(solved, self.name, self.seed, self.count) if self.part == "front" else run_budgets(solved, self.name, self.seed)


def do(runs: list[Run], jobs: int, results: Results) -> None:
    """Does the runs in so many processes; this one alone writes, a run as soon as it is done."""
    if jobs == 1:
        for run in runs:
            results.add(run.key, run(), run.count)
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the processes that begin from here on
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        begun = {pool.submit(run): run for run in runs}
        try:
            for done in as_completed(begun):
                results.add(begun[done].key, done.result(), begun[done].count)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main() -> None:
    """Does the runs that are asked for and not there yet, prints the tables, and writes the result file with its plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="nas_bench_macro_cifar10.csv")
    parser.add_argument("--device", default="jetson-nano", help="whose latencies NAS-Bench-Macro gets")
    parser.add_argument("--part", choices=("front", "budgets"), default="front")
    parser.add_argument("--problems", nargs="+", default=["nas-bench-macro", "deceptive", "noisy"])
    parser.add_argument("--strategies", nargs="+", default=[*strategies.names(), *OTHERS])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=max(POINTS), help="of each run")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with runs of its own")
    parser.add_argument("--result", type=Path, default=RESULT, help="the plot is written beside it, as .html and .png")
    given = parser.parse_args()
    results = Results(given.result)
    count = given.evaluations if given.part == "front" else SPENT
    asked = [
        Run(given.part, problem, name, seed, count, given.data, given.device)
        for seed in range(given.seeds)
        for problem in given.problems
        for name in given.strategies
    ]
    missing = [run for run in asked if results.missing(run.key, count)]
    do(missing, given.jobs, results)
    if missing:
        words = (Path(word).name if word == str(given.data) else word for word in sys.argv[1:])
        results.save(" ".join(["python", "experiments/benchmarks/search_quality.py", *words]))
    show(results.summary())
    search_quality_plot.page(results.summary()["front"], OTHERS, given.result.with_suffix(".html"))
    search_quality_plot.picture(results.summary()["front"], OTHERS, given.result.with_suffix(".png"))
    search_quality_plot.regrets_picture(results.summary()["budgets"], OTHERS, given.result.with_name(f"{given.result.stem}_budgets.png"))


if __name__ == "__main__":
    main()
