"""ONNX files run in a browser by ONNX Runtime Web (WASM, SIMD), as a web page would. Optional.

Needs Chromium and the runtime itself, which `make web` fetches once. The files are those of `onnxruntime`; a headless browser on
this machine loads them from 127.0.0.1 (`latency_models/timing_web.py`). Running a file needs no torch.
"""

from pathlib import Path

from latency_models import timing_web
from nas.core.errors import ExportError, MeasurementError
from nas.runtimes import Array, Runtime, onnxruntime


def run(path: Path, images: Array, threads: int, batch_size: int) -> Array:
    """Logits (n, classes) of the file on `images` (n, c, h, w), both float32, with `threads` threads.

    Raises:
        ExportError: the browser or the runtime is not installed, the file is missing or damaged, or expects images of
            another shape.
    """
    try:
        return timing_web.run(path, images, threads, batch_size)
    except MeasurementError as error:
        raise ExportError(f"ONNX Runtime Web cannot run {path} on images of shape {images.shape}: {error}") from error


PLUGIN = Runtime(suffix=".onnx", export=onnxruntime.export, run=run)
