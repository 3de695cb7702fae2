"""What a device profile may say, checked where the file enters: the rest of the code sees only frozen values."""

import importlib.metadata
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardware_profiles import first_problem, table_file
from nas.core.device import DeviceProfile, HeldOutError, Provenance, RuntimeTarget, TargetProfile
from nas.core.errors import DeviceError

INSTALLED = "installed"
"""As a runtime version: whichever version of the runtime this Python environment has."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Provenance(_Strict):
    source: str = Field(min_length=1)
    when: date
    command: str = Field(min_length=1)


class _Error(_Strict):
    mape_percent: float = Field(ge=0)
    rows: int = Field(ge=1)
    baseline_mape_percent: float = Field(ge=0)


class _Target(_Strict):
    runtime: str = Field(min_length=1)
    runtime_version: str = Field(min_length=1)
    precision: str = Field(min_length=1)
    threads: int = Field(ge=0, description="0 where the target is no CPU")
    batch: int = Field(default=1, ge=1)
    origin: Literal["measured", "calibrated", "estimated"]
    model: str = Field(min_length=1)
    provenance: _Provenance | None = None
    error: _Error | None = None
    parameters: dict[str, Any] = {}


class _Device(_Strict):
    title: str = Field(min_length=1)
    precisions: tuple[str, ...] = Field(min_length=1)
    max_onnx_opset: int = Field(ge=7)
    compressors: tuple[str, ...]
    notes: str
    improve: str
    targets: tuple[_Target, ...] = Field(min_length=1)


def parse(document: dict[str, Any], path: Path) -> DeviceProfile:
    """The profile that `document`, read from `path`, describes; the device is named after the file.

    Raises:
        DeviceError: a field is missing, unknown or of the wrong type, or the runtime is not installed.
    """
    try:
        device = _Device.model_validate(document)
    except ValidationError as error:
        raise DeviceError(f"the device profile {path} is not valid: {first_problem(error)}") from error
    targets = tuple(_target(target, path) for target in device.targets)
    return DeviceProfile(
        path.stem,
        device.title,
        device.precisions,
        device.max_onnx_opset,
        device.compressors,
        targets,
        device.notes,
        device.improve,
        str(path),
    )


def _target(raw: _Target, path: Path) -> TargetProfile:
    target = RuntimeTarget(path.stem, raw.runtime, _version(raw, path), raw.precision, raw.threads, raw.batch)
    provenance = Provenance(raw.provenance.source, raw.provenance.when.isoformat(), raw.provenance.command) if raw.provenance else None
    error = HeldOutError(**raw.error.model_dump()) if raw.error else None
    table = table_file.path_of(path, target)
    if provenance is None and table.exists():
        head = table_file.read(table).head
        if head.target == target and head.machine == table_file.machine():
            provenance, error = head.provenance, head.error
    return TargetProfile(target, raw.origin, raw.model, raw.parameters, provenance, error)


def _version(raw: _Target, path: Path) -> str:
    if raw.runtime_version != INSTALLED:
        return raw.runtime_version
    try:
        return importlib.metadata.version(raw.runtime)
    except importlib.metadata.PackageNotFoundError:
        raise DeviceError(f"{path} is for the installed {raw.runtime}, and there is none: pip install {raw.runtime}") from None
