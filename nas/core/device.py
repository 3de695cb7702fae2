"""What is known of a device, as values: what runs on it, what was measured, and how good that is."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuntimeTarget:
    """Exactly what a latency holds for. A table never answers for another target."""

    device: str
    runtime: str
    runtime_version: str
    precision: str
    threads: int
    batch: int = 1

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''}" if self.threads else ""
        return f"{self.device} {self.runtime} {self.runtime_version} {self.precision}{threads}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where figures come from: `source` in words, `when` as a date, and the `command` that made them."""

    source: str
    when: str
    command: str


@dataclass(frozen=True, slots=True)
class HeldOutError:
    """How far predictions are off on rows that the fit never saw; `baseline_mape_percent` is MACs alone. `of` says what the rows are."""

    mape_percent: float
    rows: int
    baseline_mape_percent: float
    of: str = "networks that the fit never saw"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Measured `networks` that neither a fit nor its error and interval have in them, and the error on `rows` networks with them."""

    networks: tuple[str, ...]
    mape_percent: float
    rows: int


@dataclass(frozen=True, slots=True)
class TargetProfile:
    """One runtime of a device. `model` names the file in `latency_models/` that prices it, from `parameters`.

    `origin` is "measured", "calibrated" or "estimated"; `error` is None until something was fitted or measured. `power_w` is
    what the device drew while it was measured, None where no sensor said so. `improve` is the command that would better this
    target's figures, "" where the device's own does. `checked` says in words how they looked when they were last looked at again.
    `left_out` is what a fit was spared, None where nothing.
    """

    target: RuntimeTarget
    origin: str
    model: str
    parameters: Mapping[str, object]
    provenance: Provenance | None
    error: HeldOutError | None
    power_w: float | None = None
    improve: str = ""
    checked: str = ""
    left_out: LeftOut | None = None

    @property
    def is_measured(self) -> bool:
        """Whether there are figures, and they were measured on the device itself."""
        return self.origin == "measured" and self.provenance is not None

    @property
    def has_figures(self) -> bool:
        """Whether there is something to price with: a measured target may wait for its measurement."""
        return self.origin != "measured" or self.provenance is not None


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """A device: `compressors` are those that its runtimes can use, in order, after the search.

    `precisions` are what the hardware executes natively; `improve` is the command that would better its figures.
    """

    name: str
    title: str
    precisions: tuple[str, ...]
    max_onnx_opset: int
    compressors: tuple[str, ...]
    targets: tuple[TargetProfile, ...]
    notes: str
    improve: str
    path: str

    def improve_of(self, target: RuntimeTarget) -> str:
        """The command that would better the figures of `target`."""
        return next((each.improve for each in self.targets if each.target == target), "") or self.improve
