"""A profile for a device that was measured and has none; one more target in one that is there, or a new version of its runtime."""

import re
import tomllib
from pathlib import Path

from hardware_profiles import FOLDER
from nas.core.device import RuntimeTarget
from nas.core.errors import DeviceError
from nas.files import atomic_write

_NOTES = "Measured with `python -m nas.measure`; figures hold for this device, this runtime and its version."


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def path_of(name_or_path: str) -> Path:
    """Where the profile of that name is, or would be.

    Raises:
        DeviceError: it is neither a name nor a path to a .toml file.
    """
    if name_or_path.endswith(".toml"):
        return Path(name_or_path)
    if not _NAME.fullmatch(name_or_path):
        example = "as in raspberry-pi-5, or the path of a .toml file"
        raise DeviceError(f"{name_or_path!r} is no name for a device: take letters, digits and -_+. {example}")
    return FOLDER / f"{name_or_path}.toml"


def create(path: Path, title: str, max_onnx_opset: int, improve: str) -> None:
    """Writes a profile without targets' figures: add at least one with `add_target` before it is read."""
    import tomli_w

    document = {
        "title": title,
        "precisions": ["fp32", "int8"],
        "max_onnx_opset": max_onnx_opset,
        "compressors": ["hidden_channels", "int8_static"],
        "notes": _NOTES,
        "improve": improve,
    }
    atomic_write(path, tomli_w.dumps(document))


def add_target(path: Path, target: RuntimeTarget, improve: str) -> None:
    """Appends a measured target to the profile at `path`; what is written by hand above it stays as it is."""
    import tomli_w

    entry = {
        "runtime": target.runtime,
        "runtime_version": target.runtime_version,
        "precision": target.precision,
        "threads": target.threads,
        "origin": "measured",
        "model": "lookup_table",
        "improve": improve,
    }
    atomic_write(path, path.read_text(encoding="utf-8").rstrip("\n") + "\n\n[[targets]]\n" + tomli_w.dumps(entry))


def set_version(path: Path, index: int, runtime_version: str) -> None:
    """States another version of the runtime for the target of that number in the profile at `path`; all else stays as it is.

    Raises:
        DeviceError: the target's line is not where `add_target` and people write it.
    """
    text = path.read_text(encoding="utf-8")
    wanted = tomllib.loads(text)
    wanted["targets"][index]["runtime_version"] = runtime_version
    before, *targets = re.split(r"(?m)^(?=\[\[targets\]\])", text)
    if index < len(targets):
        line = f'runtime_version = "{runtime_version}"'
        targets[index] = re.sub(r"(?m)^runtime_version *=.*$", lambda _: line, targets[index], count=1)
    changed = "".join((before, *targets))
    if tomllib.loads(changed) != wanted:
        raise DeviceError(f'{path}: set runtime_version = "{runtime_version}" in target {index + 1} there by hand')
    atomic_write(path, changed)
