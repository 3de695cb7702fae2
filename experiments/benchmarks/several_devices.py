"""What a search for one device gains from the evaluations for another: in turns, against each alone, where the true front is known.

NAS-Bench-Macro, 6,561 trained networks, at the latencies of two devices; an evaluation shows a network's accuracy with the noise
of shared weights. A figure is the share of the true front's hypervolume on a device, the median over seeds with the least and the
greatest: after so many evaluations of its own alone, and after as many of its own and of the other's, told to each other in turns.

    python -m experiments.benchmarks.several_devices --data nas_bench_macro_cifar10.csv --out experiments/results/several_devices.json
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benchmarks.search_problems import LOOSE, NOISE, Problem, macro
from nas import strategies
from nas.core.architecture import Architecture
from nas.core.evaluation import Evaluation
from nas.files import atomic_write
from nas.study import SearchStudy
from nas.turns import Known, Member, Turns, ends

TRIALS = 48
"""Evaluations of each device's own, in turns; alone twice as many."""


def opened(
    problems: dict[str, Problem], device: str, folder: Path, seed: int, strategy: str, trials: int, known: Known = ()
) -> SearchStudy:
    """The study of a device. Its architectures are those of the first table, which differs in latencies alone."""
    rows, own = next(iter(problems.values())).table, problems[device].table
    (folder / device).mkdir(parents=True, exist_ok=True)
    sampling = strategies.load(strategy, own.landscape(LOOSE), seed)
    return SearchStudy(
        folder / device, rows, lambda one: own.costs_of_row(rows.row(one)), rows.macs_of, LOOSE, sampling, trials, seed, known=known
    )


def run(problems: dict[str, Problem], seed: int, strategy: str) -> dict[str, dict[str, dict[int, float]]]:
    """By device, and "alone" or "in turns", the share of the true front after so many evaluations of the device's own."""
    first = next(iter(problems.values()))
    shown = first.shown(seed)

    def evaluated(architecture: Architecture) -> Evaluation:
        return replace(first.table.evaluation(architecture), accuracy=float(shown[first.table.row(architecture)]))

    found: dict[str, dict[str, dict[int, float]]] = {device: {"alone": {}, "in turns": {}} for device in problems}
    with tempfile.TemporaryDirectory() as scratch:
        for device, problem in problems.items():
            study, asked = opened(problems, device, Path(scratch) / "alone", seed, strategy, 2 * TRIALS), []
            while candidate := study.ask():
                study.tell(candidate.number, evaluated(candidate.architecture))
                asked.append(first.table.row(candidate.architecture))
                if len(asked) in {*ends(TRIALS), 2 * TRIALS}:
                    found[device]["alone"][len(asked)] = problem.share(asked, seed)
        open_one = {device: partial(opened, problems, device, Path(scratch) / "turns", seed, strategy) for device in problems}
        turns, asked = Turns([Member(device, study) for device, study in open_one.items()], TRIALS), []
        while candidate := turns.ask():
            turns.tell(candidate.number, evaluated(candidate.architecture))
            asked.append(first.table.row(candidate.architecture))
            if len(asked) in {len(problems) * end for end in ends(TRIALS)}:
                for device, problem in problems.items():
                    found[device]["in turns"][len(asked) // len(problems)] = problem.share(asked, seed)
    return found


def main() -> None:
    """Writes and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="nas_bench_macro_cifar10.csv")
    parser.add_argument("--devices", default="jetson-nano,pixel-1", help="names that `python -m nas.devices` lists")
    parser.add_argument("--strategy", default="predictor_guided")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True, help="where the figures go, as JSON")
    given = parser.parse_args()
    problems = {device: replace(macro(given.data, device), noise=NOISE) for device in given.devices.split(",")}
    runs = [run(problems, seed, given.strategy) for seed in range(given.seeds)]
    result: dict[str, Any] = {"strategy": given.strategy, "seeds": given.seeds, "noise_points": NOISE, "share_of_true_hypervolume": {}}
    for device in problems:
        for how, after in runs[0][device].items():
            for count in after:
                values = [one[device][how][count] for one in runs]
                figures = [round(100 * value, 2) for value in (statistics.median(values), min(values), max(values))]
                result["share_of_true_hypervolume"].setdefault(device, {}).setdefault(how, {})[str(count)] = figures
                print(f"{device:16} {how:9} {count:4} of its own  median {figures[0]:6.2f} %  ({figures[1]:.2f} to {figures[2]:.2f})")
    atomic_write(given.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
