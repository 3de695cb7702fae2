"""A run's facts, from the problem, the study and the picks, as one value for the report."""

import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas import power
from nas.core.pareto import front
from nas.core.result import CandidateResult, InputFormat, Pick, RunResult, Step
from nas.core.units import format_energy, format_latency, format_size
from nas.problem import Problem

if TYPE_CHECKING:
    from nas.study import Record

_PACKAGES = ("torch", "optuna", "ray", "fvcore", "onnx", "onnxruntime", "numpy", "pandas")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else a report tells of a run: its name, the command, what images must look like, and wall times."""

    name: str
    command: str
    input_format: InputFormat
    seconds: Mapping[str, float]


def conclude(problem: Problem, records: "Sequence[Record]", picks: Sequence[Pick], circumstances: Circumstances) -> RunResult:
    """Everything that the run found."""
    settings = problem.settings
    uncounted = sorted({name for record in records if record.evaluation for name in record.evaluation.uncounted})
    return RunResult(
        name=circumstances.name,
        device=problem.device,
        target=problem.model.target,
        budget=problem.budget,
        space=problem.space.key,
        data=settings.data,
        seed=settings.seed,
        input_format=circumstances.input_format,
        candidates=_candidates(problem, records),
        picks=tuple(picks),
        front=_front_after_compression(picks),
        findings=(*problem.findings, *_over_budget(problem, picks)),
        not_measured=_not_measured(problem),
        uncounted_operators=tuple(uncounted),
        seconds=circumstances.seconds,
        environment=environment(),
        command=circumstances.command,
    )


def environment() -> dict[str, str]:
    """Versions and machine, for whoever wants the same figures again."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **versions, "system": platform.platform(), "processor": _processor()}


def _processor() -> str:
    """The processor's name, as the kernel or the platform tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _candidates(problem: Problem, records: "Sequence[Record]") -> tuple[CandidateResult, ...]:
    evaluated = [record for record in records if record.evaluation and not record.evaluation.rejected_after]
    best = {
        record.architecture for record in front(evaluated, lambda r: r.evaluation.accuracy if r.evaluation else 0.0, lambda r: r.latency.ms)
    }
    return tuple(
        CandidateResult(
            record.architecture.id,
            problem.space.describe(record.architecture),
            record.evaluation.accuracy if record.evaluation else None,
            record.latency.ms,
            record.latency.low_ms,
            record.latency.high_ms,
            record.macs,
            record.evaluation.params if record.evaluation else None,
            problem.budget.holds(record.costs),
            record.architecture in best,
            record.costs.size_mb,
            record.costs.memory_mb,
            record.costs.energy_mj,
            record.evaluation.rejected_after if record.evaluation else 0,
        )
        for record in records
    )


def _front_after_compression(picks: Sequence[Pick]) -> tuple[tuple[str, str], ...]:
    """The versions of the picks that nobody beats in validation accuracy and latency, fastest first."""
    priced = [(pick, step) for pick in picks for step in pick.steps if step.latency is not None]
    members = front(priced, lambda version: version[1].validation_accuracy, lambda version: _milliseconds(version[1]))
    return tuple((pick.architecture.id, step.name) for pick, step in members)


def _milliseconds(step: Step) -> float:
    return step.latency.total.ms if step.latency else float("inf")


def _over_budget(problem: Problem, picks: Sequence[Pick]) -> tuple[str, ...]:
    """A sentence for every version and every limit that it is beyond, once its costs are known better."""
    return tuple(
        f"{pick.architecture.id} {step.name} {_SAYS[metric](step)}, which is beyond the budget of {problem.budget.say(metric)}: "
        f"do not ship this version."
        for pick in picks
        for step in pick.steps
        for metric, overrun in problem.budget.violations(step.costs).items()
        if overrun > 0.0
    )


_SAYS: Mapping[str, Callable[[Step], str]] = {
    "latency": lambda step: (
        f"takes up to {format_latency(step.costs.bound('latency') or 0.0)} ({step.latency.origin if step.latency else ''})"
    ),
    "size": lambda step: f"is a file of {format_size(step.size_mb)}",
    "memory": lambda step: f"needs {format_size(step.memory_mb or 0.0)} for its activations (predicted)",
    "energy": lambda step: f"takes up to {format_energy(step.costs.energy_high_mj or 0.0)}",
}


def _not_measured(problem: Problem) -> tuple[str, ...]:
    target = problem.model.target
    found = []
    if problem.model.origin != "measured":
        found.append(
            f"No network of this run was timed on {problem.device.title}: latencies are {problem.model.origin} for {target}. "
            f"To better them: {problem.device.improve}"
        )
    if power.of(problem.device, target) is None:
        found.append("Energy: no power was measured on this device, so none is stated.")
    found.append("Peak memory is predicted from the lifetimes of tensors, weights not included; it was not measured in this run.")
    return tuple(found)
