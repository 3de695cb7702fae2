"""What a device profile may say, checked where the file enters: the rest of the code sees only frozen values."""

from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardware_profiles import THIS_MACHINE, first_problem, installed, table_file
from nas.core.device import DeviceProfile, HeldOutError, LeftOut, Provenance, RuntimeTarget, TargetProfile
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
    of: str = Field(default="networks that the fit never saw", min_length=1)


class _LeftOut(_Strict):
    networks: tuple[str, ...] = Field(min_length=1)
    mape_percent: float = Field(ge=0)
    rows: int = Field(ge=1)


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
    left_out: _LeftOut | None = None
    improve: str = ""
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
        DeviceError: a field is missing, unknown or of the wrong type.
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
    version = installed.version(raw.runtime) if raw.runtime_version == INSTALLED else raw.runtime_version
    target = RuntimeTarget(path.stem, raw.runtime, version, raw.precision, raw.threads, raw.batch)
    provenance = Provenance(raw.provenance.source, raw.provenance.when.isoformat(), raw.provenance.command) if raw.provenance else None
    error = HeldOutError(**raw.error.model_dump()) if raw.error else None
    left_out = LeftOut(**raw.left_out.model_dump()) if raw.left_out else None
    table, power_w, checked = table_file.path_of(path, target), None, ""
    head = _head(table) if provenance is None else None
    if head is not None and head.is_about(target) and (path.stem != THIS_MACHINE or head.machine == table_file.machine()):
        provenance, error, power_w, checked = head.provenance, head.error, head.power_w, str(head.checked or "")
    return TargetProfile(target, raw.origin, raw.model, raw.parameters, provenance, error, power_w, raw.improve, checked, left_out)


def _head(table: Path) -> table_file.Head | None:
    """The head of a table, None if there is none or it is damaged: whoever prices with it is told, others need not care."""
    try:
        return table_file.read(table).head if table.exists() else None
    except DeviceError:
        return None
