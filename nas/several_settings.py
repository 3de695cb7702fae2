"""What a run for several devices is told: one `RunSettings` each, which differ in the device, its target and its limits alone."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from nas.core.errors import StudyError
from nas.settings import KeptSettings, RunSettings

OWN = ("device", "runtime", "precision", "threads", "budget_ms", *(name for name in RunSettings.model_fields if name.startswith("max_")))
"""Settings that each device has for itself: what a network is to run on, and its limits there."""


class SeveralSettings(KeptSettings):
    """Everything that decides the result of a run for several devices."""

    _kind: ClassVar[str] = "a run for several devices"

    devices: Annotated[dict[str, RunSettings], Field(min_length=2)]
    """By the name of the device's folder, in the order in which they were asked for."""

    @classmethod
    def of(cls, devices: Sequence[RunSettings]) -> "SeveralSettings":
        """The settings of a run for `devices`, at least two.

        Raises:
            StudyError: two of them are the same target, or differ in what they have to share: the supernet, the images, the search.
                Or one is to be searched in several precisions or prunings.
        """
        named: dict[str, RunSettings] = {}
        for one in devices:
            if one.keep or "," in one.precision:
                raise StudyError("several devices at once are searched for in one precision each, and without --keep: leave it out")
            name = target_name(one.device, one.runtime, one.precision, one.threads)
            if name in named:
                raise StudyError(
                    f"{name} is asked for twice: the same device again needs another --runtime, --precision or --threads "
                    f"(for another budget give the command of a finished run again with that budget)"
                )
            named[name] = one
        first, *others = named
        for name in others:
            if different := _differences(named[first], named[name]):
                raise StudyError(
                    f"{first} and {name} cannot share a supernet and its evaluations, since they differ in {'; '.join(different)}: "
                    f"give one of each for all devices, or search for them in runs of their own"
                )
        return cls(devices=named)

    def refuse_change(self, before: "SeveralSettings") -> None:
        """Raises unless a run begun with `before` may go on with these settings.

        For each device what may change in a run for one device may; devices may come, which learn from those that were there, and go.

        Raises:
            StudyError: anything else differs; names the device, and what with both values.
        """
        any_before = next(iter(before.devices.values()))
        for name, settings in self.devices.items():
            new_here = any_before.model_copy(update={field: getattr(settings, field) for field in OWN})
            try:
                settings.refuse_change(before.devices.get(name, new_here))
            except StudyError as error:
                raise StudyError(f"{name}: {error}") from None


def is_of_several(path: Path) -> bool:
    """Whether the settings at `path` are those of a run for several devices; False where there are none, or others."""
    try:
        found = tomllib.loads(path.read_text()).get("devices")
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and all(isinstance(one, dict) and {"device", "budget_ms"} <= one.keys() for one in found.values())


def target_name(device: str, runtime: str, precision: str, threads: int | None) -> str:
    """A name for a folder, from a device and what was asked of it: "jetson-nano", "local-int8", "local-litert-2t"."""
    asked = [runtime, precision if precision != "fp32" else "", f"{threads}t" if threads is not None else ""]
    return "-".join([Path(device).stem, *filter(None, asked)])


def one_each(option: str, given: str, devices: Sequence[str]) -> tuple[str, ...]:
    """The values in `given`, which commas separate, of an option: one for each of `devices`; a single one is for all.

    Raises:
        StudyError: there is another number of them; names both.
    """
    values = tuple(value.strip() for value in given.split(","))
    if len(values) == 1:
        return values * len(devices)
    if len(values) != len(devices):
        asked = f"{len(devices)} devices ({', '.join(devices)})" if len(devices) > 1 else f"one device ({devices[0]})"
        raise StudyError(
            f"{option} {given} gives {len(values)} values for {asked}: give one for all, or one each"
            + ("; the same device may be named again" if len(devices) < len(values) else "")
        )
    return values


def _differences(one: RunSettings, other: RunSettings) -> list[str]:
    """What two devices of a run have to have in common and have not, in words."""
    mine, theirs = one.model_dump(exclude=set(OWN)), other.model_dump(exclude=set(OWN))
    return [f"{key} ({mine[key]!r} and {theirs[key]!r})" for key in mine if mine[key] != theirs[key]]
