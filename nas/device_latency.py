"""Latency of exported files: measured where the device is this machine, else from the model, else not known."""

import statistics
from dataclasses import replace
from pathlib import Path

from hardware_profiles import THIS_MACHINE
from latency_models.hosts import Request
from latency_models.hosts.local import LocalHost
from nas.core.device import DeviceProfile
from nas.core.latency import Interval, LatencyEstimate, LatencyModel, estimate
from nas.core.network import NetworkSpec
from nas.finishing import Latency

REPEATS = 6
CONFIDENCE = 1 - 2 * 0.5**REPEATS
"""Lowest and highest of n figures enclose their true median with this probability, whatever the distribution."""


def latency_of_files(device: DeviceProfile, model: LatencyModel) -> Latency:
    """A function from (precision, file, network) to the latency of that file on `device`, or None and the reason."""
    return _measured(model) if device.name == THIS_MACHINE else _predicted(model)


def _measured(model: LatencyModel) -> Latency:
    def latency(precision: str, path: Path, network: NetworkSpec) -> tuple[LatencyEstimate | None, str]:
        reports = LocalHost().stream([path] * REPEATS, Request(threads=model.target.threads))
        found = [report.p10_ms for report in reports]
        total = Interval(statistics.median(found), min(found), max(found))
        target = replace(model.target, precision=precision)
        return LatencyEstimate(total, (("whole network", total),), "measured", 1.0, CONFIDENCE, target), ""

    return latency


def _predicted(model: LatencyModel) -> Latency:
    def latency(precision: str, path: Path, network: NetworkSpec) -> tuple[LatencyEstimate | None, str]:
        if precision == model.target.precision:
            return estimate(model, network), ""
        return None, f"no {precision} latencies are known of {model.target.device}: its table is for {model.target.precision}"

    return latency
