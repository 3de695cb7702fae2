"""Which target of which device is measured: found in its profile, or written into it, with what the device says of itself."""

import shlex
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

    @property
    def device_command(self) -> str:
        """What measures the device as nothing else is asked."""
        return shlex.join(["python", "-m", "nas.measure", "--device", self.device, "--target", self.place])

    @property
    def command(self) -> str:
        """What measures just this."""
        provider = [] if self.provider == "cpu" else ["--provider", self.provider]
        words = ["--runtime", self.runtime, *provider, "--precision", self.precision, "--threads", str(self.threads)]
        return f"{self.device_command} {shlex.join(words)}"


@dataclass(frozen=True, slots=True)
class Found:
    """The target, the fingerprint of the machine it is on, its table's file, and the newest ONNX opset it reads.

    `profile` is the device's file; `older` the number of the target there if it states another version of the runtime.
    """

    target: RuntimeTarget
    machine: str
    table: Path
    max_onnx_opset: int
    profile: Path
    older: int | None = None

    def state_version(self) -> None:
        """Has the profile say which version the device has, if it says another one.

        Raises:
            DeviceError: it is written in a way that only its author can change.
        """
        if self.older is not None:
            writing.set_version(self.profile, self.older, self.target.runtime_version)


def find(asked: Asked, host: Host, may_write: bool, any_version: bool = False) -> Found:
    """The target that was asked for. A device or target without a profile gets one, if `may_write`.

    With `any_version` the device may have another version of the runtime than its profile says.

    Raises:
        MeasurementError: the device cannot be reached, lacks the runtime, its provider or as many cores, or the runtime cannot be
            measured there.
        TargetMismatchError: the profile is for another version of the runtime than the device has.
        DeviceError: the device is another one than this machine but no place was given; its name is none, or its profile is damaged.
    """
    path = writing.path_of(asked.device)
    if (Path(asked.device).stem == THIS_MACHINE) != (asked.place == "local"):
        raise DeviceError(
            f"{asked.device} cannot be measured at {asked.place}: {THIS_MACHINE!r} is this machine, any other device needs "
            "--target ssh://user@host (and --device a name for it)"
        )
    facts = host.facts()
    target = RuntimeTarget(Path(asked.device).stem, asked.runtime_name, _version(asked, facts), asked.precision, asked.threads)
    model_files.require(target)
    _require_able(asked, facts)
    opset = _opset(target.runtime_version)
    if path.exists():
        profile = hardware_profiles.load(asked.device)
        opset = min(opset, profile.max_onnx_opset) if profile.name != THIS_MACHINE else profile.max_onnx_opset
        measured = [i for i, each in enumerate(profile.targets) if each.origin == "measured"]  # beside it may stand what was published
        same = next((i for i in measured if _but_version(profile.targets[i].target) == _but_version(target)), None)
        older = same if same is not None and profile.targets[same].target != target else None
        if older is not None and not any_version:
            raise TargetMismatchError(
                f"{path} is for {profile.targets[older].target}, the device has {asked.runtime} {target.runtime_version}: "
                f"`{asked.command} --check` says whether its table still holds, with --fresh instead it is measured anew; "
                "or give the device another name"
            )
        if same is not None:
            return Found(target, facts.machine, table_file.path_of(path, target), opset, path, older)
    if may_write:
        if not path.exists():
            writing.create(path, facts.machine, opset, asked.device_command)
        writing.add_target(path, target, asked.command)
    return Found(target, facts.machine, table_file.path_of(path, target), opset, path)


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


def _require_able(asked: Asked, facts: HostFacts) -> None:
    """Raises unless the device has the provider and the cores that were asked for; the message names those there are."""
    providers = {name.removesuffix("ExecutionProvider").lower() for name in facts.providers} if asked.runtime == "onnxruntime" else {"cpu"}
    if asked.provider not in providers:
        have = ", ".join(sorted(providers))
        raise MeasurementError(f"{asked.runtime} on {asked.place} has no provider {asked.provider} (it has: {have})")
    if asked.threads > facts.cores:
        raise MeasurementError(f"{asked.place} has {facts.cores} cores, not {asked.threads}: give --threads 1 to {facts.cores}")


def _opset(version: str) -> int:
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return OLD_OPSET if len(numbers) == 2 and tuple(numbers) < OLD_RUNTIME else NEW_DEVICE_OPSET


def _but_version(target: RuntimeTarget) -> tuple[str, str, int, int]:
    return target.runtime, target.precision, target.threads, target.batch
