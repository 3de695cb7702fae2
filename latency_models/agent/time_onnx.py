#!/usr/bin/env python3
"""Times ONNX files with ONNX Runtime and prints one JSON line a file. Copy this one file to a device to measure there.

    python3 time_onnx.py --threads 1 block0.onnx block1.onnx

Needs Python 3.6, numpy and onnxruntime, nothing else. Each file gets a session of its own, a fixed number of threads (pinned
to as many cores where the system allows it), a warm-up, and runs until the median is known well enough or time is up.
"""

import argparse
import json
import math
import os
import sys
import time

import numpy
import onnxruntime

Z = 1.96  # of a 95 % confidence interval
MIN_RUNS = 20
NUMPY_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}


def relative_width(ordered: list) -> float:
    """Half the width of the median's 95 % confidence interval (order statistics), relative to the median."""
    n = len(ordered)
    spread = Z * math.sqrt(n) / 2
    low = max(0, math.floor(n / 2.0 - spread))
    high = min(n - 1, math.ceil(n / 2.0 + spread))
    return (ordered[high] - ordered[low]) / 2.0 / ordered[n // 2]


def make_inputs(session: onnxruntime.InferenceSession) -> dict:
    """Seeded random values for every input; open dimensions become 1."""
    random = numpy.random.RandomState(0)
    inputs = {}
    for value in session.get_inputs():
        shape = [size if isinstance(size, int) and size > 0 else 1 for size in value.shape]
        inputs[value.name] = numpy.abs(random.standard_normal(shape)).astype(NUMPY_TYPES[value.type])
    return inputs


def time_model(path: str, threads: int, width: float, seconds: float, warm_up_seconds: float) -> dict:
    """Median, 95th percentile and number of runs of one file, in milliseconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = make_inputs(session)
    start = time.perf_counter()
    session.run(None, inputs)
    while time.perf_counter() - start < warm_up_seconds:
        session.run(None, inputs)
    samples = []
    check_at = MIN_RUNS
    start = time.perf_counter()
    while True:
        before = time.perf_counter()
        session.run(None, inputs)
        now = time.perf_counter()
        samples.append((now - before) * 1e3)
        late = now - start > seconds and len(samples) >= 3
        if late or len(samples) >= check_at:
            ordered = sorted(samples)
            if late or relative_width(ordered) <= width:
                break
            check_at = int(check_at * 1.5)
    p95 = ordered[min(len(ordered) - 1, math.ceil(0.95 * len(ordered)) - 1)]
    return {
        "model": path,
        "median_ms": float(numpy.median(ordered)),
        "p95_ms": p95,
        "runs": len(ordered),
        "relative_width": relative_width(ordered),
        "threads": threads,
        "runtime": "onnxruntime",
        "runtime_version": onnxruntime.__version__,
    }


def main() -> None:
    """Reads the command line and prints a line a file, as soon as it is known."""
    parser = argparse.ArgumentParser(description="Time ONNX files; one JSON line each on standard output.")
    parser.add_argument("models", nargs="+", help="ONNX files with fixed input shapes (open dimensions become 1)")
    parser.add_argument("--threads", type=int, default=1, help="threads of one run (default 1)")
    parser.add_argument("--width", type=float, default=0.02, help="relative half-width of the median's interval to stop at (default 0.02)")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds after which a file is given up to become better (default 1)")
    parser.add_argument("--warm-up", type=float, default=0.05, help="seconds of runs before the first that counts (default 0.05)")
    parser.add_argument("--no-pin", action="store_true", help="let the system move the threads between cores")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity") and not given.no_pin:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(cores[-given.threads :]))
    for path in given.models:
        sys.stdout.write(json.dumps(time_model(path, given.threads, given.width, given.seconds, given.warm_up)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
