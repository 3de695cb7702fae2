"""Candidate evaluations a minute with shared weights, beside the `ofa` package's own, and what stopping early saves.

First part: the MobileNetV3 space (width 1.0) at 64 px, batch norms on 512 images and 1,000 validation images of random pixels,
the same random architectures, in processes of their own that take turns. Theirs is what the package's users do for a
sub-network: extract it, `set_running_statistics`, score; once in PyTorch's default allocator and once in that of `nas.search`.
Second part: a search with trained weights on the embedded images (`mobile_shuffle_32`, a Jetson Nano's latencies), each
candidate scored with the accuracy to beat that the search gives it, and again to the end. Needs `pip install --no-deps ofa`;
run on an idle machine:

    python experiments/benchmarks/evaluation_speed.py [--rounds 5] [--pairs 5] [--trials 100] [--weights SUPERNET.safetensors]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

RESULT = ROOT / "experiments" / "results" / "evaluation_speed.json"
PIXELS, CALIBRATION, VALIDATION, CLASSES, BATCH = 64, 512, 1000, 1000, 250
SIDES = {"ours": "ours", "ofa": "ofa, as it is", "ofa_tuned": "ofa, our allocator"}


def space() -> Any:
    """The space at 64 px alone."""
    from search_spaces.mobilenet_v3 import PLUGIN

    return replace(PLUGIN, resolutions=(PIXELS,))


def images() -> Any:
    """Random pixels as a data set."""
    import torch

    from nas.data import ImageData, Split

    def split(count: int, seed: int) -> Split:
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.randint(256, (count, 3, PIXELS, PIXELS), generator=generator, dtype=torch.uint8)
        return Split(pixels, torch.randint(CLASSES, (count,), generator=generator))

    names = tuple(map(str, range(CLASSES)))
    return ImageData("random", names, split(CALIBRATION, 1), split(VALIDATION, 2), split(0, 3), (0.5,) * 3, (0.25,) * 3, "0" * 12)


class Ours:
    """The evaluator of a search."""

    def __init__(self) -> None:
        import search_spaces
        from nas.accuracy.supernet import SupernetAccuracy
        from nas.supernet import Supernet

        search_spaces.load = lambda name: space()  # the evaluator asks for its space by name, and none has 64 px
        self.evaluate = SupernetAccuracy.of(Supernet(space(), 3, CLASSES), images(), CALIBRATION, VALIDATION)

    def __call__(self, architecture: Any) -> float:
        """Evaluates it."""
        return float(self.evaluate(architecture).accuracy)


class Theirs:
    """The package's sub-network, its statistics and its accuracy; the images are normalised beforehand."""

    def __init__(self) -> None:
        from nas.data import normalise
        from tests import ofa_package

        self.activate = ofa_package.activate
        self.network = ofa_package.elastic_network("mobilenet_v3", CLASSES).eval()
        from ofa.imagenet_classification.elastic_nn.utils import set_running_statistics

        self.set_running_statistics = set_running_statistics
        data = images()
        train, validation = (normalise(part.images, data, PIXELS) for part in (data.train, data.validation))
        self.calibration = list(zip(train.split(BATCH), data.train.labels.split(BATCH), strict=True))
        self.validation = list(zip(validation.split(BATCH), data.validation.labels.split(BATCH), strict=True))

    def __call__(self, architecture: Any) -> float:
        """Evaluates it."""
        import torch

        self.activate(self.network, space(), architecture)
        network = self.network.get_active_subnet(preserve_weight=True).eval()
        self.set_running_statistics(network, self.calibration)
        with torch.no_grad():
            right = [(network(batch).argmax(dim=1) == labels).sum() for batch, labels in self.validation]
        return float(sum(right) / VALIDATION)


def work(who: str, threads: int) -> None:
    """A process of one side: for the number of an architecture that it reads it writes the seconds of its evaluation."""
    if who != "ofa":
        from nas.allocator import keep_freed_memory

        keep_freed_memory()
    import torch

    from nas.training import sample

    torch.set_num_threads(threads)
    side = Ours() if who == "ours" else Theirs()
    print("ready", flush=True)
    for line in sys.stdin:
        architecture = sample(space(), 1, f"evaluated {line.strip()}")[0]
        begun = time.perf_counter()
        side(architecture)
        print(time.perf_counter() - begun, flush=True)


class Side:
    """The process of one side."""

    def __init__(self, who: str, threads: int) -> None:
        command = [sys.executable, __file__, "--work", who, "--threads", str(threads)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.orders, self.answers = self.process.stdin, self.process.stdout
        assert self.answers.readline() == "ready\n"

    def ask(self, number: int) -> float:
        """Seconds of the evaluation of architecture `number`."""
        self.orders.write(f"{number}\n")
        self.orders.flush()
        return float(self.answers.readline())


def compare(rounds: int, threads: int) -> dict[str, Any]:
    """Evaluations a minute of each side: medians over architectures, evaluated in turn; the first two warm up."""
    sides = {who: Side(who, threads) for who in SIDES}
    seconds: dict[str, list[float]] = {who: [] for who in sides}
    for number in range(rounds + 2):
        for who, side in sides.items():
            seconds[who].append(side.ask(number))
    for side in sides.values():
        side.orders.close()
        side.process.wait()
    kept = {who: times[2:] for who, times in seconds.items()}
    found: dict[str, Any] = {"rounds": rounds, "threads": threads}
    for who, times in kept.items():
        ratio = statistics.median(one / ours for one, ours in zip(times, kept["ours"], strict=True))
        middle = statistics.median(times)
        found[who] = {"seconds": round(middle, 3), "a_minute": round(60 / middle, 1), "times_ours": round(ratio, 2)}
        print(f"{SIDES[who]:20s} {middle:6.2f} s, {60 / middle:6.1f} a minute, {ratio:.2f} times as long as ours")
    return found


def side_by_side(rounds: int) -> dict[str, Any]:
    """Evaluations a minute of two processes of one thread each, which is what `--workers 2` makes of two cores."""
    found = {}
    for who in ("ours", "ofa"):
        pair = [Side(who, 1) for _ in range(2)]
        minutes = []
        for number in range(rounds + 1):
            for i, side in enumerate(pair):
                side.orders.write(f"{2 * number + i}\n")
                side.orders.flush()
            minutes.append(2 * 60 / max(float(side.answers.readline()) for side in pair))
        for side in pair:
            side.orders.close()
            side.process.wait()
        found[who] = round(statistics.median(minutes[1:]), 1)
        print(f"two processes, {SIDES[who]}: {found[who]} a minute")
    return {"rounds": rounds, "a_minute": found}


def trained(weights: Path | None) -> tuple[Any, Any]:
    """A supernet for the embedded images, from `weights` or trained as the main job does, and the images."""
    import torch

    import search_spaces
    from nas import data
    from nas.display import Silent
    from nas.settings import SupernetSettings
    from nas.supernet import Supernet
    from nas.supernet_training import load_trained, train_resumably

    torch.manual_seed(0)
    chosen = search_spaces.load("mobile_shuffle_32")
    loaded = data.load("embedded", chosen.resolutions[-1])
    supernet = Supernet(chosen, loaded.channels, len(loaded.classes))
    if weights:
        load_trained(supernet, loaded, weights)
    else:
        with tempfile.TemporaryDirectory() as folder:
            train_resumably(supernet, loaded, SupernetSettings(), 0, Path(folder) / "supernet.safetensors", Silent())
    return supernet, loaded


def search(weights: Path | None, trials: int, threads: int, strategy: str) -> dict[str, Any]:
    """Seconds and images of the evaluations of one search, stopped early and to the end, and who was rejected wrongly."""
    import torch

    from nas import problem, strategies
    from nas.accuracy.supernet import SupernetAccuracy
    from nas.settings import RunSettings
    from nas.study import SearchStudy

    torch.set_num_threads(threads)
    supernet, data = trained(weights)
    asked = problem.ask(RunSettings(device="jetson-nano", budget_ms=1000.0, strategy=strategy, trials=trials))
    job = asked.about(supernet.in_channels, supernet.classes)
    early, whole = (SupernetAccuracy.of(supernet, data, 500, VALIDATION) for _ in range(2))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        proposing = strategies.load(strategy, job.landscape(), 0)
        study = SearchStudy(Path(folder), job.space, job.price, job.macs, job.budget, proposing, trials, 0)
        while candidate := study.ask():
            whole(candidate.architecture)  # the first evaluation of a shape costs more: let it be neither of the two
            if len(rows) % 2:
                stopped, full = early(candidate.architecture, candidate.accuracy_to_beat), whole(candidate.architecture)
            else:
                full, stopped = whole(candidate.architecture), early(candidate.architecture, candidate.accuracy_to_beat)
            if not stopped.rejected_after:
                assert stopped.accuracy == full.accuracy, "what is not rejected is scored as ever"
            study.tell(candidate.number, stopped)
            wrong = bool(stopped.rejected_after) and full.accuracy > candidate.accuracy_to_beat
            rows.append((stopped.seconds, full.seconds, stopped.rejected_after, wrong))
    rejected = [row for row in rows if row[2]]
    scored = sum(row[2] or len(data.validation.some(VALIDATION)) for row in rows) / len(rows)
    seconds, to_the_end = (statistics.mean(row[i] for row in rows) for i in (0, 1))
    found = {
        "strategy": strategy,
        "trials": trials,
        "rejected": len(rejected),
        "rejected_wrongly": sum(row[3] for row in rows),
        "images_scored_on_average": round(scored, 1),
        "seconds": round(seconds, 4),
        "seconds_to_the_end": round(to_the_end, 4),
        "a_minute": round(60 / seconds, 1),
        "a_minute_to_the_end": round(60 / to_the_end, 1),
        "time_saved": round(1 - seconds / to_the_end, 4),
    }
    print(f"search of {trials} ({strategy}): {found}")
    return found


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="architectures for a median of the comparison; 0 leaves it out")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of architectures for two processes of a thread; 0 leaves them out")
    parser.add_argument("--trials", type=int, default=100, help="evaluations of the search; 0 leaves it out")
    parser.add_argument("--weights", type=Path, help="supernet for the embedded images, instead of training one")
    parser.add_argument("--strategy", default="predictor_guided")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", choices=tuple(SIDES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.threads)
        return
    from nas.allocator import keep_freed_memory
    from nas.files import atomic_write

    keep_freed_memory()
    told: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    told["command"] = "python experiments/benchmarks/evaluation_speed.py"
    parts = {
        "comparison": (given.rounds, lambda: compare(given.rounds, given.threads)),
        "two_processes": (given.pairs, lambda: side_by_side(given.pairs)),
        "search": (given.trials, lambda: search(given.weights, given.trials, given.threads, given.strategy)),
    }
    for name, (wanted, measure) in parts.items():
        if wanted:
            told[name] = measure()
            atomic_write(RESULT, json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
