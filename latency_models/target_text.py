"""Fitted targets in a device's TOML file: each script owns the part between its two marks and rewrites nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latency_models import fitting
from latency_models.fitting import Fit
from nas.files import atomic_write

EXTRAPOLATED = (0.6, 1.6)
"""Bounds of kernels that no measurement covers, as factors: an assumption, which `covers` limits to what it must hold for."""


def target(
    runtime: str,
    runtime_version: str,
    threads: int,
    form: str,
    covers: Sequence[str],
    fit: Fit,
    provenance: dict[str, Any],
    precision: str = "fp32",
    of: str = "networks, each predicted without itself",
    left_out: dict[str, Any] | None = None,
    improve: str = "",
    levels: Mapping[str, list[float]] | None = None,
) -> dict[str, Any]:
    """One `[[targets]]` table; `provenance` has source, when (a date) and command; numbers are rounded to what is committed.

    `of` says what the error is of, `left_out` has the fields of `nas.core.device.LeftOut`, `improve` is the command that
    betters this target, "" where the device's own does. `levels` are
    the interval's at other confidences, if it was not made of the fit's own rows.
    """
    return {
        "runtime": runtime,
        "runtime_version": runtime_version,
        "precision": precision,
        "threads": threads,
        "origin": "calibrated",
        "model": "kernel_model",
        **({"improve": improve} if improve else {}),
        "provenance": provenance,
        "error": {
            "mape_percent": round(fit.mape_percent, 2),
            "rows": len(fit.measured_ms),
            "baseline_mape_percent": round(fit.baseline_mape_percent, 2),
            "of": of,
        },
        **({"left_out": left_out} if left_out else {}),
        "parameters": {
            "form": form,
            "covers": list(covers),
            "interval": {
                "confidence": fit.confidence,
                "low_factor": round(fit.low_factor, 3),
                "high_factor": round(fit.high_factor, 3),
                "extrapolated_low_factor": min(EXTRAPOLATED[0], round(fit.low_factor, 3)),
                "extrapolated_high_factor": max(EXTRAPOLATED[1], round(fit.high_factor, 3)),
                "levels": levels or level_text(fitting.levels(fit.measured_ms / fit.predicted_ms)),
            },
            "coefficients": {name: float(f"{value:.5g}") for name, value in fit.coefficients.items()},
        },
    }


def level_text(levels: Mapping[float, tuple[float, float]]) -> dict[str, list[float]]:
    """Levels as a profile has them."""
    return {f"{level:g}": [round(low, 3), round(high, 3)] for level, (low, high) in levels.items()}


def replace(path: Path, script: str, targets: Sequence[dict[str, Any]]) -> None:
    """Puts `targets` into the profile at `path`, in place of what `script` wrote there before, else at its end."""
    import tomli_w

    begin, end = f"# written by {script}\n", f"# end of {script}\n"
    text = path.read_text(encoding="utf-8")
    part = begin + tomli_w.dumps({"targets": list(targets)}) + end
    before, found, after = text.partition(begin)
    text = before + part + after.partition(end)[2] if found else text.rstrip("\n") + "\n\n" + part
    atomic_write(path, text)
