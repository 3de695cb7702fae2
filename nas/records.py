"""What a study holds of one architecture, and how that stands in its file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nas.core.architecture import Architecture
from nas.core.budget import Costs
from nas.core.evaluation import Evaluation
from nas.core.latency import Interval


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that waits for its evaluation, under the number of its trial.

    `accuracy_to_beat` is the best of those that are at least as good in every other objective: with less it will be on no front.
    """

    number: int
    architecture: Architecture
    costs: Costs
    accuracy_to_beat: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Record:
    """What a study holds of one distinct architecture; `evaluation` is None where the budget ruled it out.

    `within` says whether it is within the budget of the study: an architecture that was evaluated under another budget may not
    be. `learned` are those that were evaluated elsewhere.
    """

    number: int
    architecture: Architecture
    costs: Costs
    macs: int
    evaluation: Evaluation | None
    within: bool = True
    learned: bool = False

    @property
    def latency(self) -> Interval:
        """Its latency, which a search always knows."""
        assert self.costs.latency is not None, "whatever is asked about is priced"
        return self.costs.latency

    @property
    def accuracy(self) -> float:
        """Its accuracy; minus infinity where it was not evaluated."""
        return self.evaluation.accuracy if self.evaluation else float("-inf")

    @property
    def eligible(self) -> bool:
        """Whether it is a possible answer: evaluated, and within the budget."""
        return self.evaluation is not None and self.within

    @property
    def rejected(self) -> bool:
        """Whether its evaluation was stopped early, so that its accuracy is an estimate."""
        return self.evaluation is not None and bool(self.evaluation.rejected_after)


def to_attribute(record: Record) -> Mapping[str, Any]:
    """The record as JSON."""
    return {
        "number": record.number,
        "id": record.architecture.id,
        "space": record.architecture.space,
        "genes": list(record.architecture.genes),
        "latency_ms": record.latency.ms,
        "latency_low_ms": record.latency.low_ms,
        "latency_high_ms": record.latency.high_ms,
        "size_mb": record.costs.size_mb,
        "memory_mb": record.costs.memory_mb,
        "power_w": record.costs.power_w,
        "macs": record.macs,
        "within": record.within,
        "learned": record.learned,
        "evaluation": asdict(record.evaluation) if record.evaluation else None,
    }


def from_attribute(told: Mapping[str, Any]) -> Record:
    """The record that `to_attribute` wrote; runs of version 0.1 told of the costs the latency alone, and evaluated nothing else."""
    evaluation = told["evaluation"]
    latency = Interval(told["latency_ms"], told["latency_low_ms"], told["latency_high_ms"])
    return Record(
        told["number"],
        Architecture(told["space"], tuple(told["genes"])),
        Costs(latency, told.get("size_mb"), told.get("memory_mb"), told.get("power_w"), told["macs"] or None),
        told["macs"],
        Evaluation(**{**evaluation, "uncounted": tuple(evaluation["uncounted"])}) if evaluation else None,
        told.get("within", evaluation is not None),
        told.get("learned", False),
    )
