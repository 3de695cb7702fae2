"""Every failure a user can cause, as a type of its own: what was asked, what was found, what to do."""

import difflib
from collections.abc import Iterable


class NasError(Exception):
    """Base of all errors that are the input's fault and not ours; `exit_code` is the command's exit status."""

    exit_code = 2


class UnitError(NasError):
    """A quantity came without a unit, or with one that does not fit."""


class UnknownNameError(NasError):
    """No plug-in, device or option has the name asked for."""

    def __init__(self, what: str, asked: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(asked, names, n=1, cutoff=0.5)
        nearest = f"; did you mean {near[0]!r}?" if near else ""
        tail = f" {hint}" if hint else ""
        super().__init__(f"no {what} is named {asked!r}{nearest} (there is: {', '.join(names) or 'none'}).{tail}")


class InfeasibleBudgetError(NasError):
    """No network of the space fits the budget on the device."""

    exit_code = 3


class ObjectivesError(NasError):
    """What is to be optimised is no trade-off, or is not known of the networks."""


class SpaceError(NasError):
    """A search space contradicts itself, or an architecture is not one of its points."""


class DataError(NasError):
    """A data set is missing, damaged or not usable as asked."""


class CheckpointError(NasError):
    """Saved weights are damaged, or belong to another space or data set."""


class DivergenceError(CheckpointError):
    """Training came to a loss or gradient that is no number; the saved weights are still good."""


class DeviceError(NasError):
    """A device profile or table is missing, damaged, or cannot do what was asked."""


class TargetMismatchError(DeviceError):
    """A latency table was asked about another runtime, precision, thread count, batch or machine than its own."""


class StaleTableError(DeviceError):
    """A latency table was checked on its device and holds no longer."""


class MeasurementError(NasError):
    """A measurement could not be made."""


class StudyError(NasError):
    """A run folder cannot be continued as asked."""


class ExportError(NasError):
    """A network could not be exported, or the exported file disagrees with the network."""


class ModelFileError(NasError):
    """A model file that a user brought is damaged, not ONNX, or leaves open what a price needs."""


class ExecutorError(NasError):
    """The workers or the cluster could not be used, or kept failing."""
