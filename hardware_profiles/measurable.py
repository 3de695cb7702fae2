"""What `nas.measure` can time, and the command that does: what is advised where figures are lacking."""

from pathlib import Path

from hardware_profiles import FOLDER, THIS_MACHINE
from nas.core.device import DeviceProfile

PRECISIONS = {"onnxruntime": ("fp32", "int8"), "onnxruntime-web": ("fp32", "int8"), "litert": ("fp32",)}
"""Precisions by runtime."""

ONLY_HERE = ("onnxruntime-web",)
"""Runtimes that are timed on this machine alone."""


def runtime_of(name: str) -> str:
    """The runtime without ONNX Runtime's provider: "onnxruntime" for "onnxruntime-cuda"."""
    return name if name in PRECISIONS else name.partition("-")[0]


def command(device: DeviceProfile, runtime: str = "", precision: str = "fp32", threads: int | None = None) -> str:
    """The command that measures such a target of `device`; "" where none can. Without a `runtime`, ONNX Runtime's."""
    kind, here = runtime_of(runtime or "onnxruntime"), device.name == THIS_MACHINE
    if precision not in PRECISIONS.get(kind, ()) or precision not in device.precisions or (kind in ONLY_HERE and not here):
        return ""
    named = device.name if Path(device.path).parent == FOLDER else device.path
    said = ["python -m nas.measure", *([] if named == THIS_MACHINE else [f"--device {named}"])]
    said += [] if here else ["--target ssh://USER@HOST"]
    said += [f"--runtime {kind}"] if kind != "onnxruntime" else []
    said += [f"--provider {runtime.removeprefix('onnxruntime-')}"] if runtime.startswith("onnxruntime-") and kind == "onnxruntime" else []
    said += [f"--precision {precision}"] if precision != "fp32" else []
    said += [f"--threads {threads}"] if threads and threads > 1 else []
    return " ".join(said)
