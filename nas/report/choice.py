"""Which figures stand for a pick, and which pick stands for the run: one rule for every form of the report."""

from dataclasses import dataclass

from nas.core.budget import Costs
from nas.core.latency import LatencyEstimate
from nas.core.result import CandidateResult, Pick, RunResult, Step


@dataclass(frozen=True, slots=True)
class Headline:
    """A pick's recommended version, and the latency that is shown for it.

    `latency` is of the version named `latency_of`: the recommended one, or fp32 where nothing is known of the
    recommended one on the device; `note` then says so. Both are None and "" where nothing is known of either.
    """

    pick: Pick
    step: Step
    latency: LatencyEstimate | None
    latency_of: str
    note: str

    @property
    def costs(self) -> Costs:
        """What a budget is compared with: the recommended version's file and memory, and the latency shown with its energy."""
        power_w = self.pick.step(self.latency_of).power_w if self.latency_of else None
        return Costs(self.latency.total if self.latency else None, self.step.size_mb, self.step.memory_mb, power_w, self.step.macs)


def headline(pick: Pick) -> Headline:
    """The figures that stand for `pick`."""
    step = pick.step(pick.recommended)
    if step.latency is not None:
        return Headline(pick, step, step.latency, step.name, step.latency_note)
    known = next((other for other in pick.steps if other.name == "fp32" and other.latency is not None), None)
    if known is None:
        return Headline(pick, step, None, "", step.latency_note)
    note = f"the latency shown is that of the fp32 version; that of {step.name} is not known"
    return Headline(pick, step, known.latency, known.name, f"{note}: {step.latency_note}" if step.latency_note else note)


def ranked(result: RunResult) -> tuple[Headline, ...]:
    """Every pick from fastest to slowest; those of unknown latency come last."""
    return tuple(
        sorted(
            (headline(pick) for pick in result.picks),
            key=lambda shown: (shown.latency.total.ms if shown.latency else float("inf"), shown.pick.architecture.id),
        )
    )


def answer(result: RunResult) -> Headline | None:
    """The pick to ship: of those known to be within the budget, the one of best *validation* accuracy.

    Test accuracy takes no part in the choice, so that it stays an honest forecast. None if no pick holds the budget.
    """
    fitting = [shown for shown in ranked(result) if result.budget.holds(shown.costs)]
    return max(fitting, key=lambda shown: shown.step.validation_accuracy, default=None)


def search_origin(result: RunResult) -> str:
    """Origin of the candidates' latencies but of those that were timed: that of the model which the search was priced with."""
    if result.on_device:
        return result.on_device.origin
    for pick in result.picks:
        for step in pick.steps:
            if step.latency is not None and step.latency.target == result.target:
                return step.latency.origin
    return next((profile.origin for profile in result.device.targets if profile.target == result.target), "estimated")


def candidate_origin(result: RunResult, candidate: CandidateResult) -> str:
    """Origin of one candidate's latency."""
    timed = result.on_device is not None and any(one.id == candidate.id for one in result.on_device.networks)
    return "measured" if timed else search_origin(result)
