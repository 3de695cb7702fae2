"""Training steps a second beside the `ofa` package's own, on its own space, data shape, batch and threads.

Both train the same paths of the MobileNetV3 space (width 1.0) on the same random images, in processes of their own that
take turns: one random path (forward, loss, backward, SGD), and four paths a step (largest, smallest, two random ones),
which is our sandwich and the package's `--dynamic_batch_size 4`. Each runs as its own users run it: theirs in PyTorch's
default memory order, ours in channels-last and with the allocator of `nas.train`. Then ours are profiled, and set beside
the rate at which this machine multiplies matrices. Needs `pip install --no-deps ofa`; run on an idle machine:

    python experiments/benchmarks/training_speed.py [--rounds 6] [--threads 2]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

RESULT = ROOT / "experiments" / "results" / "training_speed.json"
SPACE, CLASSES = "mobilenet_v3", 1000
SHAPES = ((64, 64), (224, 8))
"""Pixels and images a step."""
DISTINCT = 3
"""Different steps that are repeated in turn; the first round of each is not counted."""
PATHS = {"one random path": 1, "four paths": 4}
KINDS = {
    "convolution, depthwise": lambda shape: shape[-1] > 1 and shape[1] == 1,
    "convolution, other": lambda shape: True,
}
PRODUCTS = "matrix products"
"""1x1 convolutions, and the few linear layers."""
OPERATORS = {
    "batch_norm": "batch norm",
    "threshold": "activation",
    "relu": "activation",
    "hardswish": "activation",
    "hardsigmoid": "activation",
    "clamp": "activation",
    "mm": PRODUCTS,
    "Optimizer": "optimiser",
    "_foreach": "optimiser",
    "copy_": "copies",
    "fill_": "copies",
}


def space() -> Any:
    """The space, with 64 px beside its own resolutions."""
    import search_spaces

    found = search_spaces.load(SPACE)
    return replace(found, resolutions=tuple(sorted({px for px, _ in SHAPES} | set(found.resolutions))))


def paths(number: int, count: int, resolution: int) -> list[Any]:
    """The `count` architectures of round `number`: random ones, and if four the largest and the smallest first."""
    from nas.training import sample

    chosen = space()
    ends = [chosen.largest(), chosen.smallest()] if count == 4 else []
    index = chosen.resolutions.index(resolution)
    found = [*ends, *sample(chosen, count - len(ends), f"{number}")]
    return [chosen.architecture((index, *one.genes[1:])) for one in found]


def batch(resolution: int, images: int) -> tuple[Any, Any]:
    """Random images and labels."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = (images, 3, resolution, resolution)
    return torch.randn(shape, generator=generator), torch.randint(CLASSES, (images,), generator=generator)


class Ours:
    """Our supernet and step."""

    def __init__(self) -> None:
        from nas.supernet import Supernet
        from nas.training import Schedule, make_optimizer

        self.supernet = Supernet(space(), 3, CLASSES)
        self.optimizer = make_optimizer(self.supernet, Schedule(1, 64, 0.01, 1e-4))
        for group in self.optimizer.param_groups:
            group["lr"] = 0.01

    def step(self, architectures: Sequence[Any], images: Any, labels: Any) -> None:
        """Forward, loss and backward for each path, then one update."""
        import torch

        images = images.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        for architecture in architectures:
            logits = self.supernet(images, self.supernet.space.network(architecture, 3, CLASSES))
            torch.nn.functional.cross_entropy(logits, labels).backward()
        self.optimizer.step()


class Theirs:
    """The package's elastic network and the step of its `train_one_epoch`, without a teacher."""

    def __init__(self) -> None:
        import torch

        from tests import ofa_package

        self.activate = ofa_package.activate
        self.network = ofa_package.elastic_network(SPACE, CLASSES).train()
        self.network.set_bn_param(momentum=0.1, eps=1e-5)
        decayed = self.network.get_parameters(["bn", "bias"], mode="exclude")
        spared = self.network.get_parameters(["bn", "bias"], mode="include")
        groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": spared, "weight_decay": 0.0}]
        self.optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True)

    def step(self, architectures: Sequence[Any], images: Any, labels: Any) -> None:
        """Forward, loss and backward for each path, then one update."""
        import torch

        self.network.zero_grad()
        for architecture in architectures:
            self.activate(self.network, space(), architecture)
            torch.nn.functional.cross_entropy(self.network(images), labels).backward()
        self.optimizer.step()


def work(who: str, threads: int, fp32: str) -> None:
    """A process of one side: for each line (round, paths, pixels, images) that it reads it writes the seconds of a step."""
    if who == "ours":
        from nas.allocator import keep_freed_memory

        keep_freed_memory()
    import torch

    torch.set_num_threads(threads)
    if fp32 != "ieee":
        torch.backends.mkldnn.conv.fp32_precision = fp32
    torch.manual_seed(0)
    side = Ours() if who == "ours" else Theirs()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        images, labels = batch(order["pixels"], order["images"])
        architectures = paths(order["round"], order["paths"], order["pixels"])
        if order["profile"]:
            print(json.dumps(profiled(lambda: side.step(architectures, images, labels))), flush=True)  # noqa: B023 (called at once)
            continue
        begun = time.perf_counter()
        side.step(architectures, images, labels)
        print(time.perf_counter() - begun, flush=True)


def profiled(step: Callable[[], None]) -> dict[str, float]:
    """Milliseconds of one step by kind of operator, longest first."""
    from torch.profiler import ProfilerActivity, profile

    step()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        step()
    times: dict[str, float] = {}
    for event in found.key_averages(group_by_input_shape=True):
        kind = kind_of(event.key, event.input_shapes)
        times[kind] = times.get(kind, 0.0) + event.self_cpu_time_total / 1e3
    return dict(sorted(times.items(), key=lambda item: -item[1]))


def kind_of(name: str, shapes: Sequence[Sequence[int]]) -> str:
    """The kind of an operator that the profiler names."""
    if name in ("aten::mkldnn_convolution", "aten::convolution_backward"):
        weight = shapes[2 if name.endswith("backward") else 1]
        direction = "backward" if name.endswith("backward") else "forward"
        return next(kind for kind, holds in KINDS.items() if holds(weight)) + ", " + direction
    return next((kind for part, kind in OPERATORS.items() if part in name), "everything else")


def matrix_gflops(threads: int) -> float:
    """Best rate at which this machine multiplies matrices of 1536 x 1536 in single precision, in 10^9 operations a second."""
    import torch

    torch.set_num_threads(threads)
    size = 1536
    one = torch.randn(size, size)
    best = min(_seconds(lambda: one @ one) for _ in range(8))
    return 2 * size**3 / best / 1e9


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def product_gflop(pixels: int, images: int) -> float:
    """10^9 operations of the matrix products of a step on round 0's random path: forward, and twice that backward."""
    from search_spaces.blocks import operators

    network = space().network(paths(0, 1, pixels)[0], 3, CLASSES)
    found = [operator for block in network.blocks for operator in operators(block)]
    return 3 * 2 * sum(operator.macs for operator in found if operator.kind in ("pointwise", "linear")) * images / 1e9


class Side:
    """The process of one side."""

    def __init__(self, who: str, threads: int, fp32: str) -> None:
        command = [sys.executable, __file__, "--work", who, "--threads", str(threads), "--fp32", fp32]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.orders, self.answers = self.process.stdin, self.process.stdout
        assert self.answers.readline() == "ready\n"

    def ask(self, number: int, count: int, pixels: int, images: int, profile: bool = False) -> Any:
        """Seconds of a step, or its profile."""
        order = {"round": number, "paths": count, "pixels": pixels, "images": images, "profile": profile}
        self.orders.write(json.dumps(order) + "\n")
        self.orders.flush()
        return json.loads(self.answers.readline())

    def end(self) -> None:
        """Ends the process."""
        self.orders.close()
        self.process.wait()


def measure(sides: dict[str, Side], rounds: int) -> list[dict[str, Any]]:
    """A row for each shape and number of paths: images a second of both sides, medians of rounds that take turns."""
    rows = []
    for pixels, images in SHAPES:
        for name, count in PATHS.items():
            took: dict[str, list[float]] = {who: [] for who in sides}
            for number in range(DISTINCT + rounds):  # at first every shape is new to the libraries
                for who, side in sides.items():
                    took[who].append(side.ask(number % DISTINCT, count, pixels, images))
            speed = {who: statistics.median(images / seconds for seconds in times[DISTINCT:]) for who, times in took.items()}
            ratio = statistics.median(theirs / ours for theirs, ours in zip(took["ofa"][DISTINCT:], took["ours"][DISTINCT:], strict=True))
            rows.append({"pixels": pixels, "images": images, "step": name, "images_per_s": speed, "times_as_fast": ratio})
            figures = ", ".join(f"{who} {value:6.1f}" for who, value in speed.items())
            print(f"{pixels:3d} px, {images:2d} images, {name:15s}: images/s {figures}; {ratio:.2f} times as fast", flush=True)
    return rows


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="steps of each side for a median")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", choices=("ours", "ofa"), help=argparse.SUPPRESS)
    parser.add_argument("--fp32", default="ieee", help="ours: what PyTorch may do with single precision in convolutions (ieee, bf16)")
    given = parser.parse_args()
    if given.work:
        work(given.work, given.threads, given.fp32)
        return
    gflops = matrix_gflops(given.threads)
    sides = {"ours": Side("ours", given.threads, given.fp32), "ofa": Side("ofa", given.threads, given.fp32)}
    rows = measure(sides, given.rounds)
    for pixels, images in SHAPES:
        times = sides["ours"].ask(0, 1, pixels, images, profile=True)
        rate = product_gflop(pixels, images) / (times[PRODUCTS] / 1e3)
        row = next(row for row in rows if (row["pixels"], row["step"]) == (pixels, "one random path"))
        row["profile_ms"] = {kind: round(ms, 2) for kind, ms in times.items()}
        row["products_share_of_matrix_peak"] = round(rate / gflops, 3)
        total = sum(times.values())
        print(f"{pixels} px: " + ", ".join(f"{kind} {ms / total:.0%}" for kind, ms in times.items()))
        print(f"matrix products at {rate:.0f} of the {gflops:.0f} GFLOP/s that large ones reach ({rate / gflops:.0%})")
    for side in sides.values():
        side.end()
    result = {
        "command": f"python experiments/benchmarks/training_speed.py --rounds {given.rounds}",
        "threads": given.threads,
        "rounds": given.rounds,
    }
    RESULT.write_text(json.dumps({**result, "matrix_gflops": round(gflops, 1), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
