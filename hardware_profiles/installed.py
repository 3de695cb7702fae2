"""Versions of the runtimes that this machine has: what `runtime_version = "installed"` stands for in a profile."""

import importlib.metadata
import json
from pathlib import Path

PACKAGES = {"litert": "ai-edge-litert"}
"""Python packages that are not called like the runtime they bring."""

WEB_FOLDER = Path(__file__).parents[1] / ".web" / "onnxruntime-web"
"""Where `make web` puts ONNX Runtime Web."""

NONE = "(not installed)"
"""Version of a runtime that is not there: no table holds for it."""


def version(runtime: str) -> str:
    """The version of `runtime` on this machine, or `NONE`."""
    if runtime == "onnxruntime-web":
        package = WEB_FOLDER / "package.json"
        return str(json.loads(package.read_text(encoding="utf-8"))["version"]) if package.exists() else NONE
    try:
        return importlib.metadata.version(PACKAGES.get(runtime, runtime))
    except importlib.metadata.PackageNotFoundError:
        return NONE
