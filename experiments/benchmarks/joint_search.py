"""What a search over precision and pruning finds that searches of one precision do not, with as many evaluations.

On one device and one supernet, three searches of `--trials` evaluations each, and for every seed: fp32 alone, int8 alone, and
precision with pruning as genes. All that they evaluated is judged alike: validation accuracy at its own precision and width
(`nas.accuracy.compressed`), and latency at the prices of that precision. Shown are the area under each front up to the budget, and
the best accuracy within shares of the budget; and what an evaluation of each version takes. Needs tables of both precisions:

    python experiments/benchmarks/joint_search.py --budget 300us [--trials 48] [--seeds 3] [--weights SUPERNET.safetensors]
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

RESULT = ROOT / "experiments" / "results" / "joint_search.json"
SEARCHES = {"fp32 alone": ("fp32", ""), "int8 alone": ("int8", ""), "both, and pruning": ("fp32,int8", "1,0.75,0.5")}
WITHIN = (0.4, 0.6, 0.8, 1.0)
"""Shares of the budget within which the best is looked for."""
FLOOR = 0.5
"""Accuracy below which nothing counts."""


def searched(problem: Any, joint: Any, supernet: Any, data: Any, judge: Any) -> list[tuple[str, float, float, float]]:
    """(version, accuracy, upper bound of the latency in ms, seconds) of all that one search evaluated, judged as what it is."""
    from nas import pipeline
    from nas.display import Silent
    from nas.run_folder import RunFolder

    with tempfile.TemporaryDirectory() as folder:
        records = pipeline.explore(problem, supernet, data, pipeline.Execution(), RunFolder(Path(folder)), Silent())
    found = []
    for record in records:
        if record.evaluation is None or record.rejected:
            continue
        one, evaluation = record.architecture, record.evaluation
        if problem.joint is None:
            one = joint.architecture([*one.genes, joint.precisions.index(problem.model.target.precision), 0])
            evaluation = judge(one)
        found.append((joint.version(one), evaluation.accuracy, record.latency.high_ms, evaluation.seconds))
    return found


def summary(found: list[tuple[str, float, float, float]], budget_ms: float) -> dict[str, Any]:
    """Area and best accuracies of one search, and of which versions its front is."""
    from nas.core.pareto import hypervolume, non_dominated

    points = [(1.0 - accuracy, ms) for _, accuracy, ms, _ in found]
    kept = non_dominated(points)
    versions: dict[str, int] = defaultdict(int)
    for (version, *_), on_front in zip(found, kept, strict=True):
        versions[version] += bool(on_front)
    best = {f"{share:g}": max((accuracy for _, accuracy, ms, _ in found if ms <= share * budget_ms), default=None) for share in WITHIN}
    area = hypervolume(points, (1.0 - FLOOR, budget_ms)) / ((1.0 - FLOOR) * budget_ms)
    return {"area": round(float(area), 4), "best": best, "front": dict(versions), "evaluations": len(found)}


def main() -> None:
    """Runs the searches and writes `RESULT`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="local")
    parser.add_argument("--budget", default="300us")
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--weights", default="")
    told = parser.parse_args()

    from nas import data_sources, pipeline
    from nas.accuracy.compressed import CompressedAccuracy
    from nas.accuracy.supernet import SupernetAccuracy
    from nas.core.units import parse_latency_ms
    from nas.data import divide
    from nas.display import Silent
    from nas.files import atomic_write
    from nas.problem import ask
    from nas.run_folder import RunFolder
    from nas.settings import RunSettings

    budget_ms = parse_latency_ms(told.budget)
    asked: dict[str, Any] = {"device": told.device, "budget_ms": budget_ms, "trials": told.trials, "weights": told.weights}
    results: dict[str, list[dict[str, Any]]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    supernet: Any = None
    data: Any = None
    judge: Any = None
    joint: Any = None
    for seed in range(told.seeds):
        for name, (precision, keep) in SEARCHES.items():
            question = ask(RunSettings(**asked, seed=seed, precision=precision, keep=keep))
            if supernet is None:
                parts = data_sources.read(question.settings.data, question.space.resolutions[-1])
                data = divide(question.settings.data, parts, 0)
                both: Any = ask(RunSettings(**asked, precision="fp32,int8", keep="1,0.75,0.5")).joint
                joint = both.space
            problem = question.about(parts.channels, len(parts.classes))
            if supernet is None:
                with tempfile.TemporaryDirectory() as folder:
                    supernet = pipeline.train(problem, data, RunFolder(Path(folder)), Silent())
                settings = question.settings
                whole = SupernetAccuracy.of(supernet, data, settings.calibration_images, settings.validation_images)
                judge = CompressedAccuracy(joint, whole)
            found = searched(problem, joint, supernet, data, judge)
            results[name].append(summary(found, budget_ms))
            for version, _, _, took in found:
                seconds[version].append(took)
            print(seed, name, results[name][-1], flush=True)
    areas = {name: [one["area"] for one in of] for name, of in results.items()}
    kept = {
        "device": told.device,
        "budget_ms": budget_ms,
        "trials": told.trials,
        "median_area": {name: statistics.median(of) for name, of in areas.items()},
        "seconds_an_evaluation": {version: round(statistics.median(of), 3) for version, of in sorted(seconds.items())},
        "searches": results,
    }
    atomic_write(RESULT, json.dumps(kept, indent=2) + "\n")
    print(json.dumps({key: value for key, value in kept.items() if key != "searches"}, indent=2))


if __name__ == "__main__":
    main()
