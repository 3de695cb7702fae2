"""Predicted peak memory and file sizes beside what ONNX Runtime takes and writes, on random networks of both spaces.

Memory is read in a fresh process for each network, with one thread: the rise of the resident set's high-water mark over one
run, after three runs to warm up. To see tensors come and go, ONNX Runtime's arena is off and the C library returns every block
of 4 kB or more to the system when it is freed. Beside it, what the arena (the default) has grown to after the first runs.
The images are the caller's and in memory before; the prediction counts them while the first layer reads them. Networks for
small images take less than the system counts exactly, so they run on 64 images at a time, and the result is divided.

    python experiments/benchmarks/memory_accuracy.py [--networks 14]
"""

import argparse
import ctypes
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
RESULT = ROOT / "experiments" / "results" / "memory_accuracy.json"
SPACES = {"mobile_shuffle": 1, "mobile_shuffle_32": 64}
"""Images at a time, by space."""
QUANTIZED = 3
"""Networks of each space that are also made int8."""
PROMPT = {"MALLOC_MMAP_THRESHOLD_": "4096", "MALLOC_MMAP_MAX_": "1000000", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}
"""Environment in which glibc maps every large block, and unmaps it when it is freed."""


def child(path: str, batch: int, arena: bool) -> None:
    """Prints how much the file at `path` takes for `batch` images, in MB; to be run in a process of its own."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = options.enable_mem_pattern = arena
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    images = np.ones([batch, *given.shape[1:]], np.float32)
    trim = ctypes.CDLL(None).malloc_trim

    def rise() -> float:
        trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts from here
        before = _status("VmRSS")
        session.run(None, {given.name: images})
        return (_status("VmHWM") - before) * 1024 / 1e6

    print(json.dumps([rise() for _ in range(6)]))


def _status(key: str) -> int:
    """A figure of this process in kB, as Linux counts it."""
    found = re.search(rf"^{key}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found, key
    return int(found.group(1))


def measured(path: Path, batch: int) -> tuple[float, float]:
    """MB for one image: tensors alive at the peak of a warm run, and what the default arena has grown by in all."""
    readings = []
    for arena in (False, True):
        command = [sys.executable, __file__, "--child", str(path), str(batch), str(int(arena))]
        environment = os.environ if arena else os.environ | PROMPT
        readings.append(json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout))
    warm, grown = readings
    return statistics.median(warm[3:]) / batch, sum(grown) / batch


def rows(networks: int, scratch: Path) -> list[dict[str, Any]]:
    """Predicted and found, for `networks` of each space: random ones, the smallest and the largest."""
    import numpy as np
    import torch

    import search_spaces
    from nas import footprint, lifetimes, runtimes
    from nas.compressors import Evidence, fp16, int8_static
    from nas.network import Network

    torch.set_num_threads(1)
    torch.manual_seed(0)
    chance = random.Random(0)
    found = []
    for space, batch in ((search_spaces.load(name), batch) for name, batch in SPACES.items()):
        drawn = [space.architecture([chance.randrange(gene.options) for gene in space.genes]) for _ in range(networks - 2)]
        for number, architecture in enumerate([*drawn, space.smallest(), space.largest()]):
            spec = space.network(architecture, 3, 10)
            network = Network(spec).eval()
            for name, parameter in network.named_parameters():
                if "norm" in name:  # the exporter would store equal biases once
                    torch.nn.init.normal_(parameter)
            files = {"fp32": scratch / f"{architecture.id}.onnx"}
            runtimes.load("onnxruntime").export(network, files["fp32"], 17)
            images = np.random.default_rng(0).standard_normal((2, 3, spec.resolution, spec.resolution)).astype(np.float32)
            evidence = Evidence(images, images, np.zeros(2, dtype=np.int64))
            (scratch / architecture.id).mkdir()
            files["fp16"], _ = fp16.apply(files["fp32"], scratch / architecture.id, evidence)
            if number < QUANTIZED:
                int8_static.apply(files["fp32"], scratch / architecture.id, evidence)
                files["int8"] = scratch / architecture.id / "u8s8.onnx"
            for precision, file in files.items():
                row = {
                    "space": space.name,
                    "network": architecture.id,
                    "resolution_px": spec.resolution,
                    "precision": precision,
                    "predicted_size_mb": round(footprint.size_mb(spec, precision), 4),
                    "file_mb": runtimes.size_mb(file),
                    "predicted_memory_mb": round(footprint.memory_mb(spec, precision), 4),
                    "lifetimes_memory_mb": round(lifetimes.peak_memory_mb(file), 4),
                }
                if precision != "fp16":  # which ONNX Runtime only emulates on this processor
                    alive, arena = measured(file, batch)
                    row |= {"images": batch, "measured_memory_mb": round(alive, 4), "arena_memory_mb": round(arena, 4)}
                found.append(row)
                print(f"{space.name:18} {architecture.id} {spec.resolution:4} px {precision:5}", *_words(row), flush=True)
    return found


def _words(row: dict[str, Any]) -> Sequence[str]:
    words = [f"file {row['predicted_size_mb']:8.3f} {row['file_mb']:8.3f}", f"memory {row['predicted_memory_mb']:7.4f}"]
    if "measured_memory_mb" in row:
        words += [f"measured {row['measured_memory_mb']:7.4f} ({row['arena_memory_mb']:7.4f} in the arena)"]
    return words


def summary(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each space and precision: ratios of found to predicted, and rank correlations."""
    from scipy.stats import spearmanr

    said = []
    for space in SPACES:
        for precision in ("fp32", "fp16", "int8"):
            here = [row for row in found if (row["space"], row["precision"]) == (space, precision)]
            sizes = [row["file_mb"] / row["predicted_size_mb"] for row in here]
            one = {"space": space, "precision": precision, "networks": len(here), "size_ratio": _spread(sizes)}
            if precision != "fp16":
                predicted, real = ([row[key] for row in here] for key in ("predicted_memory_mb", "measured_memory_mb"))
                ratios = [b / a for a, b in zip(predicted, real, strict=True)]
                one |= {
                    "memory_ratio": _spread(ratios),
                    "memory_mape_percent": round(100 * statistics.mean(abs(a / b - 1) for a, b in zip(predicted, real, strict=True)), 1),
                    "memory_spearman": round(float(spearmanr(predicted, real).statistic), 3),
                    "arena_ratio": _spread([row["arena_memory_mb"] / row["predicted_memory_mb"] for row in here]),
                }
            said.append(one)
    return said


def _spread(ratios: Sequence[float]) -> dict[str, float]:
    return {"least": round(min(ratios), 3), "median": round(statistics.median(ratios), 3), "most": round(max(ratios), 3)}


def main() -> None:
    """Prints the table and writes `experiments/results/memory_accuracy.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=14, help="networks of each space")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], int(given.child[1]), given.child[2] == "1")
        return
    with tempfile.TemporaryDirectory() as scratch:
        found = rows(given.networks, Path(scratch))
    said = summary(found)
    for one in said:
        print(json.dumps(one))
    import onnxruntime

    command = " ".join(["python", "experiments/benchmarks/memory_accuracy.py", *sys.argv[1:]])
    document = {"command": command, "onnxruntime": onnxruntime.__version__, "ratios": "found / predicted", "summary": said, "rows": found}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
