"""The questions of a run for several devices, all answered or refused before any work starts. Imports no torch."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from nas.core.errors import DeviceError, InfeasibleBudgetError, NasError
from nas.problem import Problem, Question, ask
from nas.several_settings import SeveralSettings

T = TypeVar("T")
Problems = Mapping[str, Problem]
"""By the names of the devices' folders, in the order in which they were asked for."""


def questions(several: SeveralSettings) -> Mapping[str, Question]:
    """The question of every device.

    Raises:
        NasError: one of them has none, or two are about the same target.
    """
    found = for_all({name: partial(ask, settings) for name, settings in several.devices.items()})
    targets: dict[str, str] = {}
    for name, question in found.items():
        target = str(question.model.target)
        if target in targets:
            raise DeviceError(
                f"{targets[target]} and {name} are both {target}: "
                f"the same device twice needs another --runtime, --precision or --threads for one of them"
            )
        targets[target] = name
    return found


def problems(asked: Mapping[str, Question], channels: int, classes: int) -> Problems:
    """The problem of every device, for images of `channels` channels in `classes` classes.

    Raises:
        InfeasibleBudgetError: no network fits the budget of a device.
    """
    return for_all({name: partial(question.about, channels, classes) for name, question in asked.items()})


def for_all(makers: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """What every device's function returns.

    Raises:
        InfeasibleBudgetError: some raise this, and no other error.
        DeviceError: some raise another error. Either names all devices that have one, with their errors.
    """
    found: dict[str, T] = {}
    errors: dict[str, NasError] = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except NasError as error:
            errors[name] = error
    if errors:
        said = "; ".join(f"{name}: {error}" for name, error in errors.items())
        infeasible = all(isinstance(error, InfeasibleBudgetError) for error in errors.values())
        raise (InfeasibleBudgetError if infeasible else DeviceError)(said)
    return found
