"""Whether a table still holds, after a firmware or runtime upgrade: a few of its whole networks, measured again."""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hardware_profiles import table_file
from hardware_profiles.table_file import Table
from latency_models.hosts import Host
from nas.core.errors import DeviceError
from nas.measuring.job import Files, Job, reports

NETWORKS, PASSES = 6, 3
"""Networks that are measured again, and how often; the best of each counts, as in the table."""

DRIFT_PERCENT = 5.0
"""Median change up to which a table holds."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a table said of `networks` (name, milliseconds then, milliseconds now), and their median change in percent."""

    table_target: str
    when: str
    networks: tuple[tuple[str, float, float], ...]

    @property
    def drift_percent(self) -> float:
        """Above zero: slower than the table says."""
        return 100 * statistics.median(now_ms / was_ms - 1 for _, was_ms, now_ms in self.networks)


def check(job: Job, host: Host) -> Check:
    """Measures the first networks of `job`'s table again.

    Raises:
        DeviceError: there is no table yet, or it holds nothing of the space.
        MeasurementError: the device cannot time them.
    """
    if not job.table.exists():
        raise DeviceError(f"there is no table {job.table} to check; measure first (the same command without --check)")
    table = table_file.read(job.table)
    then = _networks(job, table)
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        files = Files(job, job.networks(), Path(folder))
        names = list(job.networks())[: len(then)]
        found = list(reports(job, host, [files.path(name) for name in names] * PASSES))
    now = [min(report.p10_ms for report in found[i :: len(names)]) for i in range(len(names))]
    return Check(str(table.head.target), table.head.provenance.when, tuple(zip(names, then, now, strict=True)))


def _networks(job: Job, table: Table) -> list[float]:
    """Milliseconds of the first networks of the job's space, in the order of `Job.networks`."""
    found = [network.measured_ms for network in table.head.networks if network.space == job.space.key]
    if not found:
        raise DeviceError(f"{job.table} holds no networks of {job.space.key}; it was measured for: {_spaces(table)}")
    return found[:NETWORKS]


def _spaces(table: Table) -> str:
    return ", ".join(sorted({network.space for network in table.head.networks}))
