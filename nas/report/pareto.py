"""The picks as data: `pareto.json`, which others script against, and `pareto.csv`, which opens in a spreadsheet."""

import csv
import dataclasses
import io
from typing import Any

from nas.core.budget import Costs
from nas.core.latency import LatencyEstimate
from nas.core.result import DeviceCheck, Pick, RunResult, Step
from nas.report.choice import Headline, answer, ranked

SCHEMA = 1
"""Raised whenever a key changes its meaning or goes; new keys may come at any time."""

JsonObject = dict[str, Any]

_COLUMNS = (
    *("pick", "step", "recommended", "on_front", "within_budget", "test_accuracy", "validation_accuracy", "inherited_accuracy"),
    *("latency_ms", "latency_low_ms", "latency_high_ms", "latency_origin", "latency_confidence", "latency_coverage", "latency_note"),
    *(
        "device",
        "runtime",
        "runtime_version",
        "precision",
        "threads",
        "batch",
        "macs",
        "params",
        "size_mb",
        "memory_mb",
        "energy_mj",
        "energy_high_mj",
        "model",
    ),
    *("agreement", "max_logit_difference", "resolution_px", "space", "genes", "description"),
)


def pareto_json(result: RunResult) -> JsonObject:
    """The picks, from fastest to slowest, as plain JSON values; the public interface of a run.

    A pick's own accuracy, latency, MACs, params and size are those of the version named `model`. Where nothing is
    known of its latency on the device, the fp32 version's stands in: `latency_of` names it, `latency_note` says why.
    Accuracies are from 0 to 1, latencies in milliseconds (null where unknown), sizes and peaks of memory in megabytes (10^6
    bytes), energies in millijoules (null where no power was measured). `beyond` names the limits that a version is over.
    `on_device` is there where networks were timed during the search: what was predicted of each, and what was measured.
    """
    best = answer(result)
    return {
        "schema": SCHEMA,
        "name": result.name,
        "device": result.device.name,
        "device_title": result.device.title,
        "target": dataclasses.asdict(result.target),
        "budget": dataclasses.asdict(result.budget),
        "objectives": list(result.objectives),
        "answer": best.pick.architecture.id if best else None,
        "picks": [_pick(result, shown) for shown in ranked(result)],
        "input": {
            "dtype": "float32",
            "layout": "NCHW",
            "scale": "pixels / 255, less mean, over std",
            "channels": result.input_format.channels,
            "mean": list(result.input_format.mean),
            "std": list(result.input_format.std),
            "classes": list(result.input_format.classes),
        },
        "findings": list(result.findings),
        "not_measured": list(result.not_measured),
        **({"on_device": _on_device(result.on_device)} if result.on_device else {}),
        "uncounted_operators": list(result.uncounted_operators),
        "space": result.space,
        "data": result.data,
        "seed": result.seed,
        "command": result.command,
        "candidates": {
            "distinct": len(result.candidates),
            "evaluated": sum(candidate.accuracy is not None for candidate in result.candidates),
            "stopped_early": sum(candidate.rejected_after > 0 for candidate in result.candidates),
            "feasible": sum(candidate.feasible for candidate in result.candidates),
        },
    }


def pareto_csv(result: RunResult) -> str:
    """One row for each version of each pick, from fastest pick to slowest; empty cells where nothing is known."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for shown in ranked(result):
        for step in shown.pick.steps:
            writer.writerow(_row(result, shown.pick, step))
    return out.getvalue()


def environment_json(result: RunResult) -> JsonObject:
    """What the run ran with and how long each phase took, in seconds of wall time."""
    return {
        "schema": SCHEMA,
        "command": result.command,
        "seed": result.seed,
        "environment": dict(result.environment),
        "seconds": dict(result.seconds),
    }


def _pick(result: RunResult, shown: Headline) -> JsonObject:
    pick, step = shown.pick, shown.step
    return {
        "id": pick.architecture.id,
        "architecture": {
            "space": pick.architecture.space,
            "genes": list(pick.architecture.genes),
            "description": pick.description,
            "resolution": pick.resolution,
        },
        "model": step.name,
        **({"searched_as": pick.meant} if pick.meant else {}),
        "accuracy": step.test_accuracy,
        "validation_accuracy": step.validation_accuracy,
        "inherited_accuracy": pick.inherited_accuracy,
        **_latency(shown.latency),
        **_verdict(result, shown.costs),
        "latency_of": shown.latency_of or None,
        "latency_note": shown.note,
        "macs": step.macs,
        "params": step.params,
        "size_mb": step.size_mb,
        "on_front": _on_front(result, pick, step),
        "input_shape": [1, result.input_format.channels, pick.resolution, pick.resolution],
        "notes": list(pick.notes),
        "seconds": pick.seconds,
        "steps": [_step(result, pick, one) for one in pick.steps],
        "models": {one.name: one.model for one in pick.steps},
    }


def _on_device(checked: DeviceCheck) -> JsonObject:
    networks = [{**dataclasses.asdict(one), "inside": one.inside} for one in checked.networks]
    return {
        "target": checked.target,
        "machine": checked.machine,
        "rounds": checked.rounds,
        "error_before_percent": checked.error_before_percent,
        "error_after_percent": checked.error_after_percent,
        "inside": sum(one.inside for one in checked.networks),
        "remarks": list(checked.remarks),
        "networks": networks,
    }


def _step(result: RunResult, pick: Pick, step: Step) -> JsonObject:
    return {
        "name": step.name,
        "model": step.model,
        "onnx": step.onnx or None,
        "accuracy": step.test_accuracy,
        "validation_accuracy": step.validation_accuracy,
        **_latency(step.latency),
        **_verdict(result, step.costs),
        "latency_note": step.latency_note,
        "macs": step.macs,
        "params": step.params,
        "size_mb": step.size_mb,
        "on_front": _on_front(result, pick, step),
        "agreement": step.agreement,
        "max_difference": step.max_difference,
    }


def _latency(latency: LatencyEstimate | None) -> JsonObject:
    """The same keys whether the latency is known or not."""
    if latency is None:
        keys = ("ms", "low_ms", "high_ms", "origin", "confidence", "coverage", "target")
        return {f"latency_{key}": None for key in keys}
    return {
        "latency_ms": latency.total.ms,
        "latency_low_ms": latency.total.low_ms,
        "latency_high_ms": latency.total.high_ms,
        "latency_origin": latency.origin,
        "latency_confidence": latency.confidence,
        "latency_coverage": latency.coverage,
        "latency_target": dataclasses.asdict(latency.target),
    }


def _verdict(result: RunResult, costs: Costs) -> JsonObject:
    """What a version costs beside its latency and its file, and whether that is within the budget."""
    return {
        "memory_mb": costs.memory_mb,
        "energy_mj": costs.energy_mj,
        "energy_high_mj": costs.energy_high_mj,
        "within_budget": result.budget.verdict(costs),
        "beyond": [metric for metric, overrun in result.budget.violations(costs).items() if overrun > 0.0],
    }


def _on_front(result: RunResult, pick: Pick, step: Step) -> bool:
    return (pick.architecture.id, step.name) in result.front


def _row(result: RunResult, pick: Pick, step: Step) -> JsonObject:
    figures = _step(result, pick, step)
    target = figures.pop("latency_target") or {}
    for name in ("beyond", "onnx"):
        figures.pop(name)
    return {
        "pick": pick.architecture.id,
        "step": figures.pop("name"),
        "recommended": step.name == pick.recommended,
        "test_accuracy": figures.pop("accuracy"),
        "inherited_accuracy": pick.inherited_accuracy,
        "max_logit_difference": figures.pop("max_difference"),
        **figures,
        **{key: target.get(key) for key in ("runtime", "runtime_version", "precision", "threads", "batch")},
        "device": result.device.name,
        "resolution_px": pick.resolution,
        "space": pick.architecture.space,
        "genes": " ".join(map(str, pick.architecture.genes)),
        "description": pick.description,
    }
