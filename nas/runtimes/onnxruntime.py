"""ONNX files, run by ONNX Runtime on the CPU. Loading and running a file needs no torch."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.core.errors import ExportError
from nas.runtimes import Array, Runtime, write

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.nn import Module

    from nas.network import Network

NEWEST_OPSET = 17
"""No block needs a newer one, and files of this one still have IR version 8, which ONNX Runtime 1.11 reads."""

OLDEST_OPSET = 11
"""Below, shapes and slices are expressed in other ways, which nothing here is tested with."""

_TRACED_BATCH = 3
"""Images in the traced batch: a number that is easily told from a fixed size of 1."""


def export(network: "Network", path: Path, max_opset: int) -> None:
    """Writes `network` as ONNX, fp32: "images" (batch, c, r, r) to "logits" (batch, classes), any batch size.

    Batch norms are folded into the convolutions. The opset is the newest that `max_opset` and `NEWEST_OPSET` allow,
    and operators that it does not have are decomposed (HardSwish below 14).

    Raises:
        ExportError: the network is in training mode, cannot be expressed in that opset, or the disk is full.
    """
    if network.training:
        raise ExportError(f"{path.name} was asked of a network in training mode; call `eval()` or `recalibrate` first")
    if max_opset < OLDEST_OPSET:
        raise ExportError(f"{path.name} cannot be expressed in ONNX opset {max_opset}; {OLDEST_OPSET} is the oldest that can be written")
    opset = min(max_opset, NEWEST_OPSET)
    shape = (_TRACED_BATCH, network.spec.in_channels, network.spec.resolution, network.spec.resolution)
    model = _any_batch(trace(network, shape, opset, path.name), path)
    _check(model, path, opset)
    write(path, model.SerializeToString())


def run(path: Path, images: Array, threads: int, batch_size: int) -> Array:
    """Logits (n, classes) of the file on `images` (n, c, h, w), both float32, with `threads` threads.

    Raises:
        ExportError: the file is missing or damaged, or expects images of another shape.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # this session only: errors are raised, advice on graphs is not for our users
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
        return np.concatenate([session.run(["logits"], {"images": batch})[0] for batch in batches])
    except Exception as error:  # onnxruntime's own exception classes share no public base
        raise ExportError(f"ONNX Runtime cannot run {path} on images of shape {images.shape}: {_first_line(error)}") from error


def trace(module: "Module", shape: tuple[int, ...], opset: int, name: str) -> "ModelProto":
    """`module`, in evaluation mode, as an ONNX graph from "images" of exactly `shape` to "logits", batch norms folded.

    Raises:
        ExportError: it cannot be expressed in `opset`; the message begins with `name`.
    """
    import onnx
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The TorchScript-based exporter is deprecated, and ten times faster than its successor (0.2 against 3 s).
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        try:
            torch.onnx.export(
                module,
                (torch.zeros(shape),),
                buffer,  # type: ignore[arg-type]  # this exporter takes buffers, which the annotation leaves out
                dynamo=False,
                opset_version=opset,
                input_names=["images"],
                output_names=["logits"],
            )
        except (RuntimeError, torch.onnx.OnnxExporterError) as error:
            raise ExportError(f"{name} cannot be expressed in ONNX opset {opset}: {_first_line(error)}") from error
    return onnx.load_from_string(buffer.getvalue())


def _any_batch(model: "ModelProto", path: Path) -> "ModelProto":
    """`model` for any batch size: reshapes copy the batch (0) instead of repeating the traced one.

    Tracing with a dynamic batch instead would leave chains of Shape, Gather and Concat in front of every reshape.
    """
    from onnx import numpy_helper

    graph = model.graph
    constants = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    constants |= {tensor.name: tensor for tensor in graph.initializer}
    patched: set[str] = set()
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] in patched:
            continue
        tensor = constants[node.input[1]]
        shape = numpy_helper.to_array(tensor).copy()
        if shape[0] != _TRACED_BATCH:
            raise ExportError(f"{path.name}: {node.name} does not keep the batch as its first axis (it gives {shape.tolist()})")
        shape[0] = 0
        tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
        patched.add(node.input[1])
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # shapes of the traced batch, none of which a reader needs
    return model


def _check(model: "ModelProto", path: Path, opset: int) -> None:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)  # also refuses operators that are newer than the opset
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path.name} is not a valid ONNX file of opset {opset}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


PLUGIN = Runtime(suffix=".onnx", export=export, run=run)
