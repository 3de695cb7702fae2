"""Which target of which device is measured: found in its profile, or written into it, with what the device says of itself."""

from dataclasses import dataclass
from pathlib import Path

import hardware_profiles
from hardware_profiles import THIS_MACHINE, installed, table_file, writing
from latency_models.hosts import Host, HostFacts
from nas.core.device import RuntimeTarget
from nas.core.errors import DeviceError, MeasurementError, TargetMismatchError
from nas.measuring import files as model_files

NEW_DEVICE_OPSET = 17
"""ONNX opset of files for a device that is measured for the first time; ONNX Runtime reads it from version 1.12."""

OLD_RUNTIME, OLD_OPSET = (1, 12), 13
"""Runtimes before that version get files of that opset."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user gave: names of device, place and runtime, and how it is to run."""

    device: str
    place: str
    runtime: str
    provider: str
    precision: str
    threads: int

    @property
    def runtime_name(self) -> str:
        """The runtime as profiles and tables name it: ONNX Runtime's providers beside the CPU are runtimes of their own."""
        return self.runtime if self.provider == "cpu" else f"{self.runtime}-{self.provider}"


@dataclass(frozen=True, slots=True)
class Found:
    """The target, the fingerprint of the machine it is on, its table's file, and the newest ONNX opset it reads."""

    target: RuntimeTarget
    machine: str
    table: Path
    max_onnx_opset: int


def find(asked: Asked, host: Host, may_write: bool) -> Found:
    """The target that was asked for. A device or target without a profile gets one, if `may_write`.

    Raises:
        MeasurementError: the device cannot be reached, lacks the runtime, or the runtime cannot be measured there.
        TargetMismatchError: the profile is for another version of the runtime than the device has.
        DeviceError: the device is another one than this machine but no place was given; or its profile is damaged.
    """
    if (Path(asked.device).stem == THIS_MACHINE) != (asked.place == "local"):
        raise DeviceError(
            f"{asked.device} cannot be measured at {asked.place}: {THIS_MACHINE!r} is this machine, any other device needs "
            "--target ssh://user@host (and --device a name for it)"
        )
    facts = host.facts()
    target = RuntimeTarget(Path(asked.device).stem, asked.runtime_name, _version(asked, facts), asked.precision, asked.threads)
    model_files.require(target)
    path = writing.path_of(asked.device)
    opset = _opset(target.runtime_version)
    if path.exists():
        profile = hardware_profiles.load(asked.device)
        opset = min(opset, profile.max_onnx_opset) if profile.name != THIS_MACHINE else profile.max_onnx_opset
        same = [each.target for each in profile.targets if _but_version(each.target) == _but_version(target)]
        if same and same[0] != target:
            raise TargetMismatchError(
                f"{path} is for {same[0]}, the device has {asked.runtime} {target.runtime_version}: change runtime_version there "
                "and measure with --fresh, or give the device another name"
            )
        if same:
            return Found(target, facts.machine, table_file.path_of(path, target), opset)
    if may_write:
        improve = f"python -m nas.measure --device {asked.device} --target {asked.place}"
        if not path.exists():
            writing.create(path, facts.machine, opset, improve)
        writing.add_target(path, target, f"{improve} --runtime {asked.runtime} --precision {asked.precision} --threads {asked.threads}")
    return Found(target, facts.machine, table_file.path_of(path, target), opset)


def _version(asked: Asked, facts: HostFacts) -> str:
    """The version of the runtime that was asked for, on the device."""
    if asked.runtime == "onnxruntime-web":
        found = installed.version(asked.runtime) if asked.place == "local" else installed.NONE
        if found == installed.NONE:
            raise MeasurementError("ONNX Runtime Web is measured on this machine only, and after `make web` (once, with npm)")
        return found
    if asked.runtime not in facts.runtimes:
        have = ", ".join(f"{name} {version}" for name, version in facts.runtimes.items()) or "none"
        raise MeasurementError(f"{asked.place} has no runtime {asked.runtime} (it has: {have}); install it there with pip")
    return facts.runtimes[asked.runtime]


def _opset(version: str) -> int:
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return OLD_OPSET if len(numbers) == 2 and tuple(numbers) < OLD_RUNTIME else NEW_DEVICE_OPSET


def _but_version(target: RuntimeTarget) -> tuple[str, str, int, int]:
    return target.runtime, target.precision, target.threads, target.batch
