"""Architectures priced a second: all in one call (`latency_models.pricing`) beside one by one (`nas.core.latency.estimate`).

Every space with the Jetson Nano's model, from random genes to milliseconds, bounds and coverage, on one core; median of runs
that take turns. Run on an idle machine:

    python experiments/benchmarks/pricing_speed.py [--architectures 1000000] [--runs 9]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import hardware_profiles
import latency_models
import search_spaces
from hardware_profiles.table_file import machine
from latency_models import pricing
from nas.core.latency import LatencyModel, estimate
from nas.core.space import SearchSpace
from nas.files import atomic_write

RESULT = Path(__file__).parents[1] / "results" / "pricing_speed.json"
DEVICE = "jetson-nano"
CHANNELS, CLASSES = 3, 1000
ONE_BY_ONE = 2000


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes by the clock on the wall."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def measure(space: SearchSpace, model: LatencyModel, count: int, runs: int) -> dict[str, float]:
    """Figures of one space; the two ways are first shown to agree on the architectures that both price."""
    genes = pricing.sample(space, count, np.random.default_rng(0))
    few = genes[:ONE_BY_ONE]

    def one_by_one() -> list[float]:
        return [estimate(model, space.network(space.architecture(row), CHANNELS, CLASSES)).total.ms for row in few]

    table = pricing.PriceTable.of(space, model, CHANNELS, CLASSES)  # also fills the model's memory of blocks, for both ways
    difference = float(np.abs(table.price(few).ms - one_by_one()).max())
    assert difference < 1e-9, difference
    took: dict[str, list[float]] = {"table": [], "one call": [], "one by one": []}
    for _ in range(runs):
        took["table"].append(seconds(lambda: pricing.PriceTable.of(space, model, CHANNELS, CLASSES)))
        took["one call"].append(seconds(lambda: table.price(genes)))
        took["one by one"].append(seconds(one_by_one))
    middle = {name: statistics.median(times) for name, times in took.items()}
    return {
        "genes": len(space.genes),
        "blocks": len(space.unique_blocks(CHANNELS, CLASSES)),
        "one_call_per_second": round(count / middle["one call"]),
        "one_call_per_second_slowest_run": round(count / max(took["one call"])),
        "one_by_one_per_second": round(len(few) / middle["one by one"]),
        "table_ms": round(1e3 * middle["table"], 1),
        "largest_difference_ms": difference,
    }


def main() -> None:
    """Prints the table and writes `experiments/results/pricing_speed.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=1_000_000, help="how many are priced in one call")
    parser.add_argument("--runs", type=int, default=9, help="turns of which the median is taken")
    given = parser.parse_args()
    model = latency_models.load(hardware_profiles.load(DEVICE))
    results = {}
    print(f"{'architectures a second':<24}{'one call':>12}{'slowest run':>13}{'one by one':>12}{'ratio':>8}{'table ms':>10}")
    for name in search_spaces.names():
        found = results[name] = measure(search_spaces.load(name), model, given.architectures, given.runs)
        fast, slow = found["one_call_per_second"], found["one_by_one_per_second"]
        print(
            f"{name:<24}{fast:>12,}{found['one_call_per_second_slowest_run']:>13,}{slow:>12,}{fast / slow:>8.0f}{found['table_ms']:>10.1f}",
            flush=True,
        )
    command = " ".join(["python", "experiments/benchmarks/pricing_speed.py", *sys.argv[1:]])
    document = {
        "command": command,
        "machine": machine(),
        "device": DEVICE,
        "architectures": given.architectures,
        "runs": given.runs,
        "spaces": results,
    }
    atomic_write(RESULT, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
