"""Whether a table still holds, after a firmware or runtime upgrade: a few of its whole networks, measured again."""

import datetime
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from hardware_profiles import table_file
from hardware_profiles.table_file import Checked, Table
from latency_models.hosts import Host
from nas.core.errors import DeviceError, TargetMismatchError
from nas.files import atomic_write
from nas.measuring.job import Files, Job, reports

NETWORKS, PASSES = 6, 3
"""Networks that are measured again, and how often; the best of each counts, as in the table."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a `table` says of `networks` (name, milliseconds then, milliseconds now), and what follows from it."""

    table: Table
    networks: tuple[tuple[str, float, float], ...]
    verdict: Checked


def check(job: Job, host: Host) -> Check:
    """Measures the first networks of `job`'s table again. Writes nothing.

    Raises:
        DeviceError: there is no table yet, or it holds nothing of the space.
        TargetMismatchError: it is of another machine or target.
        MeasurementError: the device cannot time them.
    """
    if not job.table.exists():
        raise DeviceError(f"there is no table {job.table} to check; measure first (the same command without --check)")
    table = table_file.read(job.table)
    head, version = table.head, job.target.runtime_version
    if (replace(head.target, runtime_version=version), head.machine) != (job.target, job.machine):
        raise TargetMismatchError(
            f"{job.table} holds {head.target} on {head.machine}, not {job.target} on {job.machine}: a check tells of new versions on "
            "the same machine alone; run the command with --fresh instead of --check"
        )
    then = [network.measured_ms for network in job.timed(table)][:NETWORKS]
    if not then:
        raise DeviceError(f"{job.table} holds no networks of {job.space.key} on such images; it was measured for: {_spaces(table)}")
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        files = Files(job, job.networks(), Path(folder))
        names = list(job.networks())[: len(then)]
        found = list(reports(job, host, [files.path(name) for name in names] * PASSES))
    now = [min(report.p10_ms for report in found[i :: len(names)]) for i in range(len(names))]
    change_percent = 100 * statistics.median(now_ms / was_ms - 1 for was_ms, now_ms in zip(then, now, strict=True))
    measured_with = head.checked.measured_with if head.checked else head.target.runtime_version
    verdict = Checked(version, datetime.date.today().isoformat(), round(change_percent, 1) + 0.0, measured_with)  # no -0.0
    return Check(table, tuple(zip(names, then, now, strict=True)), verdict)


def record(job: Job, found: Check) -> None:
    """Writes the verdict into the table. One that holds is from now on of the version that it was checked with."""
    target = job.target if found.verdict.holds else found.table.head.target
    head = replace(found.table.head, target=target, checked=found.verdict)
    atomic_write(job.table, table_file.text(replace(found.table, head=head)))


def _spaces(table: Table) -> str:
    return ", ".join(sorted({network.space for network in table.head.networks}))
