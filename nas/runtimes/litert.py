"""LiteRT files (.tflite), run on the CPU by LiteRT with its XNNPACK delegate, which it takes by itself. Optional.

LiteRT wants channels last: a file takes images (n, h, w, c), and `run`, which is given (n, c, h, w) as every runtime, moves the
axis. Needs the package `ai-edge-litert` (`pip install ai-edge-litert`); running a file needs no torch.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas import tflite
from nas.core.errors import ExportError
from nas.runtimes import Array, Runtime, write

if TYPE_CHECKING:
    from nas.network import Network


def export(network: "Network", path: Path, max_opset: int) -> None:
    """Writes `network` as .tflite, fp32: images (n, r, r, channels) to logits (n, classes), any batch size.

    It goes by way of the ONNX file of the project's own export, whose batch norms are folded. `max_opset` is what ONNX
    runtimes of the device read and says nothing about .tflite.

    Raises:
        ExportError: LiteRT is not installed, the network is in training mode or has an operator without a rule, or the
            disk is full.
    """
    import onnx

    from nas.runtimes import onnxruntime

    tflite.require()
    with tempfile.TemporaryDirectory(prefix="litert-") as folder:
        graph = Path(folder) / f"{path.stem}.onnx"
        onnxruntime.export(network, graph, onnxruntime.NEWEST_OPSET)
        model = onnx.load(graph)
    write(path, tflite.convert(model))


def run(path: Path, images: Array, threads: int, batch_size: int) -> Array:
    """Logits (n, classes) of the file on `images` (n, c, h, w), both float32, with `threads` threads.

    Raises:
        ExportError: LiteRT is not installed, the file is missing or damaged, or expects images of another shape.
    """
    tflite.require()
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
        batches = []
        for start in range(0, len(images), batch_size):
            batch = np.ascontiguousarray(images[start : start + batch_size].transpose(0, 2, 3, 1))
            interpreter.resize_tensor_input(given["index"], batch.shape, strict=True)
            interpreter.allocate_tensors()
            interpreter.set_tensor(given["index"], batch)
            interpreter.invoke()
            batches.append(interpreter.get_tensor(result["index"]))
        return np.concatenate(batches)
    except (ValueError, RuntimeError) as error:
        raise ExportError(f"LiteRT cannot run {path} on images of shape {images.shape}: {str(error).splitlines()[0]}") from error


PLUGIN = Runtime(suffix=".tflite", export=export, run=run, require=tflite.require)
