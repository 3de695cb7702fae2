"""What a run is told, checked once at the edge and kept beside its results as TOML."""

import tomllib
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nas.core.budget import Budget
from nas.core.errors import StudyError
from nas.core.objectives import DEFAULT
from nas.core.space import TABLE
from nas.files import atomic_write


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingSettings(_Settings):
    """How a network is trained."""

    epochs: Annotated[float, Field(gt=0)]
    """Passes over the training images; a fraction is allowed."""
    batch_size: Annotated[int, Field(ge=8)] = 64
    """Images a step."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Peak of the schedule, for SGD with momentum 0.9."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Decay of convolution and linear weights; norms and biases have none."""
    max_shift: Annotated[float, Field(ge=0, lt=0.5)] = 1 / 32
    """How far images are moved at random, as a share of their size: nothing at 28 px, where more cost two points in short trainings."""
    augment: Literal["auto", "shift", "photo"] = "auto"
    """How images are changed at random: shifted and mirrored; or cut, mirrored and RandAugment, which `auto` is for photographs and
    20 epochs or more."""

    def changed(self, **given: float | str | None) -> Self:
        """These settings with those of `given` that are not None."""
        return self.model_copy(update={name: value for name, value in given.items() if value is not None})


class SupernetSettings(TrainingSettings):
    """How the shared weights are trained."""

    epochs: Annotated[float, Field(gt=0)] = 3
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    batch_size: Annotated[int, Field(ge=8)] = 32
    random_networks: Annotated[int, Field(ge=0)] = 2
    """Sampled networks trained each step beside the largest and the smallest."""
    sandwich_every: Annotated[int, Field(ge=0)] = 8
    """The largest and the smallest network are trained at every so many steps, 0: never; at the others two more sampled ones are.
    With both at every step the average network is 15 points behind the smallest in a short training, and the order of networks is lost."""
    by_macs: bool = True
    """Samples them uniformly over multiply-accumulates; else every gene is uniform."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a label that goes to all classes alike."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which the last residual block of the largest network passes an image by; the first ones hardly do."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Share that the running average of the weights keeps of itself each step, less at first; 0 takes the last step's weights."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the computation: `auto` is bf16 on a GPU that has it, else fp32."""


class KeptSettings(_Settings):
    """Settings that are kept in a run's folder."""

    _kind: ClassVar[str] = "a run"
    """What they describe, in words."""

    def save(self, path: Path) -> None:
        """Writes the settings as TOML, which has no word for "none": a limit that is not given is left out."""
        atomic_write(path, tomli_w.dumps(self.model_dump(exclude_none=True)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The settings in the TOML file at `path`.

        Raises:
            StudyError: the file is damaged, or describes something else.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text()))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise StudyError(f"{path} is not readable TOML: {error}") from None
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise StudyError(f"{path} does not describe {cls._kind}: {wrong}") from None


class RunSettings(KeptSettings):
    """Everything that decides a run's result, and nothing that only decides how it is executed."""

    device: str
    """Name of a file in `hardware_profiles/`, or a path to one."""
    budget_ms: Annotated[float, Field(gt=0)]
    """Latency budget in milliseconds; held against the upper bound."""
    max_size_mb: Annotated[float | None, Field(gt=0)] = None
    """Largest model file in MB (10^6 bytes), at the precision of the device's latencies; None is no limit."""
    max_memory_mb: Annotated[float | None, Field(gt=0)] = None
    """Largest peak of the activations in MB (10^6 bytes); None is no limit."""
    max_energy_mj: Annotated[float | None, Field(gt=0)] = None
    """Most energy for one image in millijoules, held against the upper bound; None is no limit."""
    max_macs: Annotated[float | None, Field(gt=0)] = None
    """Most multiply-accumulates; None is no limit."""
    objectives: str = str(DEFAULT)
    """What the search is to better, between commas: accuracy and at least one cost (`nas.core.objectives`)."""
    runtime: str = ""
    """Runtime on the device; "" is the first that has figures as asked."""
    precision: str = "fp32"
    """Numbers that the networks are to compute with: what candidates are priced for. Several, as in "fp32,int8", are a gene."""
    keep: str = ""
    """Shares of hidden channels that candidates may keep, as in "1,0.75,0.5", which are a gene; "" keeps all."""
    threads: Annotated[int | None, Field(ge=0)] = None
    """Threads of the runtime (0: a GPU's); None is the first number that has figures as asked."""
    confidence: Annotated[float | None, Field(ge=0.5, le=0.99)] = None
    """How often the upper bound of a latency's interval, and the lower, are to hold it together; None is what the figures are made with."""
    data: str = "embedded"
    """`embedded`, `idx:PATH`, `folder:PATH` or `hf:NAME`."""
    space: str = "mobile_shuffle_32"
    """Name of a file in `search_spaces/`."""
    accuracy: str = "supernet"
    """How candidates are judged: `supernet`, or the name of a score in `nas/accuracy/`, which needs no data."""
    strategy: str = "predictor_guided"
    """Name of a file in `nas/strategies/`."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides every random choice of the run."""
    trials: Annotated[int, Field(ge=1)] = 48
    """Distinct architectures to evaluate."""
    warm_start: str = ""
    """Path of a run from which evaluations, weights or at least the architectures of its front are taken over; "" is none."""
    picks: Annotated[int, Field(ge=1)] = 5
    """Networks to take from the front."""
    supernet: SupernetSettings = SupernetSettings()
    weights: str = ""
    """Path of a supernet that `nas.train` trained, to be used as it is; "" takes what comes with the package, or trains one."""
    retrain: bool = False
    """Trains the supernet in the run folder although the package brings one for these images and this schedule."""
    fine_tuning: TrainingSettings = TrainingSettings(epochs=3, learning_rate=0.1, batch_size=32)
    """Training of each pick, and again after pruning."""
    keep_hidden: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Share of hidden channels that pruning keeps."""
    calibration_images: Annotated[int, Field(ge=32)] = 500
    """Training images for batch-norm statistics and for quantization."""
    validation_images: Annotated[int, Field(ge=32)] = 1000
    """Validation images a candidate is scored on."""

    @property
    def table(self) -> str:
        """Path of the table that is searched; "" where it is a space."""
        return self.space.removeprefix(TABLE) if self.space.startswith(TABLE) else ""

    @property
    def budget(self) -> Budget:
        """The limits."""
        return Budget(self.budget_ms, self.max_size_mb, self.max_memory_mb, self.max_energy_mj, self.max_macs)

    def refuse_change(self, before: "RunSettings") -> None:
        """Raises unless a run begun with `before` may go on with these settings, which change nothing that was evaluated.

        The number of trials and of picks, the limits, the objectives and the strategy may change (`FREE`).

        Raises:
            StudyError: anything else differs; names what, with both values.
        """
        old, new = before.model_dump(exclude=FREE), self.model_dump(exclude=FREE)
        changed = [f"{key} was {old[key]!r} and is now {new[key]!r}" for key in old if old[key] != new[key]]
        if changed:
            raise StudyError(
                f"the run folder was begun with other settings ({'; '.join(changed)}): give --fresh to start over, or another --out"
            )


FREE = {
    "trials",
    "picks",
    "strategy",
    "objectives",
    "budget_ms",
    "warm_start",
    *(name for name in RunSettings.model_fields if name.startswith("max_")),
}
"""Settings that may change from one command to the next on the same run folder."""
