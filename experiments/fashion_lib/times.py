"""Latencies of the trained networks in ONNX Runtime on this machine, in rounds over all of them, so that they meet the same conditions."""

import importlib.metadata
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.fashion_lib import entrants
from experiments.journal import Journal, read

OPSET = 17
VERIFIED_IMAGES = 100
"""Random images on which an exported file must compute what its network computes."""


def export(out: Path, keys: Sequence[str], seed: int) -> dict[str, Path]:
    """The ONNX file of every network of `keys` as trained from `seed`, written where it is not there or older than the network.

    Raises:
        ExportError: a file computes something else than its network.
        CheckpointError: a network's file is damaged or missing.
    """
    import torch

    from nas import runtimes, tuning

    runtime, paths = runtimes.load("onnxruntime"), {}
    for key in keys:
        source, path = entrants.network_of(out, key, seed), out / "models" / f"{key}.onnx"
        if not path.exists() or (source.exists() and path.stat().st_mtime < source.stat().st_mtime):
            network = tuning.read(source)[0]["fp32"]
            path.parent.mkdir(parents=True, exist_ok=True)
            runtime.export(network, path, OPSET)
            size = network.spec.resolution
            shape = VERIFIED_IMAGES, network.spec.in_channels, size, size
            runtime.verify(path, network, torch.randn(shape, generator=torch.Generator().manual_seed(0)).numpy())
        paths[key] = path
    return paths


def run(paths: Mapping[str, Path], journal: Journal, rounds: int, threads: int, max_seconds: float) -> Iterator[dict[str, Any]]:
    """Times all files, round after round, each in an order of its own, until there are `rounds` of them; yields each new round.

    A round is one process of the measuring agent, and counts when it is whole.

    Raises:
        MeasurementError: a file cannot be timed here.
    """
    from latency_models.hosts import Request
    from latency_models.hosts.local import LocalHost

    while len(whole(journal.lines[1:], paths)) < rounds:
        number = len(journal.lines)
        order = random.Random(number).sample(list(paths), len(paths))
        reports = list(LocalHost().stream([paths[key] for key in order], Request(threads=threads, max_seconds=max_seconds)))
        timed = dict(zip(order, reports, strict=True))
        journal.add({"ms": {key: timed[key].p10_ms for key in paths}, "undisturbed": min(report.undisturbed for report in reports)})
        yield journal.lines[-1]


def whole(lines: Sequence[Mapping[str, Any]], keys: Mapping[str, Any] | Sequence[str]) -> list[Mapping[str, Any]]:
    """Rounds in which every network of `keys` was timed: only those compare."""
    return [line for line in lines if set(keys) <= line["ms"].keys()]


def title(threads: int) -> dict[str, Any]:
    """What latencies hold for: the first line of their journal."""
    from hardware_profiles import table_file

    return {"machine": table_file.machine(), "runtime": f"onnxruntime {importlib.metadata.version('onnxruntime')}", "threads": threads}


def figures(lines: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, dict[str, float]]:
    """Milliseconds of each network of `keys`: median, least and greatest of the rounds in which all were timed; {} without such rounds."""
    rounds = whole(lines, keys)
    values = {key: [line["ms"][key] for line in rounds] for key in keys}
    return {key: {"median": statistics.median(ms), "least": min(ms), "most": max(ms)} for key, ms in values.items() if ms}


def journal_of(out: Path) -> Path:
    """Where latencies are kept in the folder `out`."""
    return out / "times.jsonl"


def kept(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The title and the rounds that are kept in `out`; an empty title where nothing was timed."""
    head, *lines = read(journal_of(out)) or [{}]
    return head, lines
