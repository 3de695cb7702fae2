"""A run's facts, from the problem, the study and the picks, as one value for the report."""

import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas import power
from nas.choosing import recommend
from nas.core.objectives import Objectives
from nas.core.result import CandidateResult, DeviceCheck, InputFormat, Pick, RunResult, Step
from nas.core.units import format_energy, format_latency, format_macs, format_size
from nas.problem import Problem

if TYPE_CHECKING:
    from nas.records import Record

_PACKAGES = ("torch", "optuna", "ray", "fvcore", "onnx", "onnxruntime", "numpy", "pandas")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else a report tells of a run: its name, the command, what images must look like, wall times, and what was timed meanwhile."""

    name: str
    command: str
    input_format: InputFormat
    seconds: Mapping[str, float]
    on_device: DeviceCheck | None = None


def conclude(problem: Problem, records: "Sequence[Record]", picks: Sequence[Pick], circumstances: Circumstances) -> RunResult:
    """Everything that the run found. Which version of a pick is recommended follows from the budget of now, not of when it was made."""
    settings, checked = problem.settings, circumstances.on_device
    uncounted = sorted({name for record in records if record.evaluation for name in record.evaluation.uncounted})
    return RunResult(
        name=circumstances.name,
        device=problem.device,
        target=problem.model.target,
        budget=problem.budget,
        space=problem.searched.key,
        data=settings.data,
        seed=settings.seed,
        input_format=circumstances.input_format,
        candidates=_candidates(problem, records),
        picks=tuple(replace(pick, recommended=_recommended(problem, pick)) for pick in picks),
        front=_front_after_compression(picks, problem.objectives),
        objectives=problem.objectives.names,
        findings=(*_searched_together(problem), *problem.findings, *(checked.remarks if checked else ()), *_over_budget(problem, picks)),
        not_measured=_not_measured(problem, bool(checked and checked.networks)),
        uncounted_operators=tuple(uncounted),
        seconds=circumstances.seconds,
        environment=environment(),
        command=circumstances.command,
        on_device=checked,
    )


def _searched_together(problem: Problem) -> tuple[str, ...]:
    """What a reader must know where precision and pruning were genes."""
    if problem.joint is None:
        return ()
    space = problem.joint.space
    pruned = f" and the share of hidden channels kept ({', '.join(f'{keep:g}' for keep in space.keeps)})" if space.keeps != (1.0,) else ""
    return (
        f"Precision ({', '.join(space.precisions)}){pruned} were searched together with the architecture: every candidate is priced "
        f"and judged at its own, of which {problem.model.target} is the first.",
    )


def _recommended(problem: Problem, pick: Pick) -> str:
    return recommend(pick.steps, problem.budget, problem.model.target.precision, pick.meant)


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
    eligible = [record for record in records if record.eligible and not record.rejected]
    best = {record.architecture for record in problem.objectives.front(eligible, lambda r: r.accuracy, lambda r: r.costs)}
    return tuple(
        CandidateResult(
            record.architecture.id,
            problem.searched.describe(record.architecture),
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


def _front_after_compression(picks: Sequence[Pick], objectives: Objectives) -> tuple[tuple[str, str], ...]:
    """The versions of the picks that nobody beats in the objectives (validation accuracy, and costs that are known), least cost first."""
    versions = [(pick, step) for pick in picks for step in pick.steps]
    priced = [(pick, step) for pick, step in versions if all(step.costs.value(name) is not None for name in objectives.costs)]
    members = objectives.front(priced, lambda version: version[1].validation_accuracy, lambda version: version[1].costs)
    return tuple((pick.architecture.id, step.name) for pick, step in members)


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
    "macs": lambda step: f"needs {format_macs(step.macs)}",
}


def _not_measured(problem: Problem, timed: bool) -> tuple[str, ...]:
    target = problem.model.target
    found = [f"The latency table was {each.checked}." for each in problem.device.targets if each.target == target and each.checked]
    if problem.model.origin != "measured" and not timed:
        found.append(
            f"No network of this run was timed on {problem.device.title}: latencies are {problem.model.origin} for {target}. "
            f"To better them: {problem.device.improve}"
        )
    if power.of(problem.device, target) is None:
        found.append("Energy: no power was measured on this device, so none is stated.")
    found.append("Peak memory is predicted from the lifetimes of tensors, weights not included; it was not measured in this run.")
    return tuple(found)
