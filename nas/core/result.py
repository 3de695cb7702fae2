"""What a run found, as one value: everything that the report shows and `pareto.json` says."""

from collections.abc import Mapping
from dataclasses import dataclass

from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.device import DeviceProfile, RuntimeTarget
from nas.core.latency import Interval, LatencyEstimate


@dataclass(frozen=True, slots=True)
class Step:
    """One version of a pick: "fp32" (fine-tuned), "pruned", or a compressor's name such as "int8" or "fp16".

    Accuracies are between 0 and 1, of the exported file, run in LiteRT where it is a .tflite file, else in ONNX Runtime; `onnx`
    is the ONNX file beside a .tflite file, "" for others. `latency` is None where nothing is known of this version on the device;
    `latency_note` then says why. `agreement` is the share of test images on
    which the file and the torch network that it was made from give the same class; `max_difference` their largest
    difference in a logit. `model` is the path of the file, relative to the run folder, and `size_mb` the file's own size.
    `memory_mb` is the predicted peak of the activations of one image, None in runs of version 0.1. `power_w` is what the
    device was measured to draw beside these latencies, None where nobody measured it. MB are 10^6 bytes.
    """

    name: str
    model: str
    validation_accuracy: float
    test_accuracy: float
    latency: LatencyEstimate | None
    latency_note: str
    macs: int
    params: int
    size_mb: float
    agreement: float
    max_difference: float
    memory_mb: float | None = None
    power_w: float | None = None
    onnx: str = ""

    @property
    def costs(self) -> Costs:
        """What this version costs on the device."""
        return Costs(self.latency.total if self.latency else None, self.size_mb, self.memory_mb, self.power_w, self.macs)


@dataclass(frozen=True, slots=True)
class Pick:
    """A network chosen from the front, in all its versions; `recommended` is the name of the one to ship first.

    `inherited_accuracy` is what the search saw: validation accuracy with the supernet's weights. `notes` say which
    versions could not be made, and why. `meant` is the version that the search saw, where precision and pruning were searched
    for, else "": "int8", "pruned_int8".
    """

    architecture: Architecture
    description: str
    resolution: int
    inherited_accuracy: float
    steps: tuple[Step, ...]
    recommended: str
    notes: tuple[str, ...]
    seconds: float
    meant: str = ""

    def step(self, name: str) -> Step:
        """The version of that name; it must exist."""
        return next(step for step in self.steps if step.name == name)


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """One distinct architecture that the search asked about. `accuracy` is None where the budget ruled it out.

    `size_mb` and `memory_mb` are predicted at the precision of the latencies, None in runs of version 0.1; `energy_mj` is
    None where no power was measured. `rejected_after` is the number of validation images after which its evaluation was
    stopped, since others were better (0: it was not); `accuracy` is then that on these images alone.
    """

    id: str
    description: str
    accuracy: float | None
    latency_ms: float
    latency_low_ms: float
    latency_high_ms: float
    macs: int
    params: int | None
    feasible: bool
    on_front: bool
    size_mb: float | None = None
    memory_mb: float | None = None
    energy_mj: float | None = None
    rejected_after: int = 0


@dataclass(frozen=True, slots=True)
class InputFormat:
    """What an exported model eats: float32 (n, channels, size, size), pixels/255, less `mean`, over `std`."""

    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TimedResult:
    """A network of the search that was timed on the device, in round `round` (from 1), `why`: "front" or "uncertain".

    `first` is what the model predicted of it before anything was timed, `predicted` what was predicted when it was chosen, of
    which `origin`; `measured` the median of several timings with the least and the greatest. `refitted_ms` is what the model
    that was fitted to all others says of it. `undisturbed` is the share of runs (0 to 1) on a calm processor, `when` a time
    in ISO 8601, `conditions` what the device said of itself. Latencies are milliseconds.
    """

    id: str
    description: str
    round: int
    why: str
    first: Interval
    predicted: Interval
    origin: str
    measured: Interval
    refitted_ms: float
    undisturbed: float
    when: str
    conditions: str

    @property
    def inside(self) -> bool:
        """Whether it was measured within the bounds that were predicted when it was chosen."""
        return self.predicted.low_ms <= self.measured.ms <= self.predicted.high_ms


@dataclass(frozen=True, slots=True)
class DeviceCheck:
    """What was timed on the device during a search, in `target` on `machine`, in so many `rounds`.

    The errors are mean absolute percentages over all `networks`: of the model as it was before anything was timed, and of the
    one that was fitted to the others each time; None where no network was timed. `origin` and `confidence` are those of
    predictions now. `remarks` say what went wrong: rounds that were cut short, a device that changed its speed.
    """

    target: str
    machine: str
    networks: tuple[TimedResult, ...]
    rounds: int
    error_before_percent: float | None
    error_after_percent: float | None
    origin: str
    confidence: float
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run. `target` is what its candidates were priced for.

    `front` holds (pick id, step name) of the versions that nobody beats after compression, by validation accuracy and
    the costs among `objectives`. `findings` are sentences a reader must know (a budget that binds nothing, operators not counted), and
    `not_measured` what was not measured, and why. `seconds` is wall time by phase, `environment` versions and machine.
    `on_device` is what was timed on the device during the search, None where nothing was.
    """

    name: str
    device: DeviceProfile
    target: RuntimeTarget
    budget: Budget
    space: str
    data: str
    seed: int
    input_format: InputFormat
    candidates: tuple[CandidateResult, ...]
    picks: tuple[Pick, ...]
    front: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    not_measured: tuple[str, ...]
    uncounted_operators: tuple[str, ...]
    seconds: Mapping[str, float]
    environment: Mapping[str, str]
    command: str
    on_device: DeviceCheck | None = None
    objectives: tuple[str, ...] = ("accuracy", "latency")
