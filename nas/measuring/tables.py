"""From timings to a calibrated table: what was found is added to what an older table holds, and nothing of that is lost."""

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hardware_profiles import THIS_MACHINE
from hardware_profiles.table_file import Fit, Head, NetworkTiming, Table, Timing
from latency_models.calibration import calibrate, held_out_error
from nas.core.device import Provenance
from nas.core.network import BlockSpec
from nas.footprint import bytes_of
from nas.measuring.journal import Found, Key, combine, conditions, power_w
from search_spaces import blocks

if TYPE_CHECKING:
    from nas.measuring.job import Job, Wanted


def made(job: "Job", wanted: "Wanted", found: Mapping[Key, Found], disturbed: int = 0) -> Table:
    """The calibrated table of everything in `wanted`, of the timings `found` and of those that the table had before.

    `disturbed` says how many of those found were never made on a calm processor. Networks of other spaces keep the sums that they
    were measured with.

    Raises:
        MeasurementError: too few networks to calibrate or to check with.
    """
    new = {key: one for key, one in found.items() if key[1] >= wanted.passes(key[0])}  # the others are in the table already
    timings: dict[str, list[Timing]] = {}
    for (item, _), one in new.items():
        timings.setdefault(item, []).append(one.timing)
    old = wanted.old
    rows = dict(old.rows) if old else {}
    for item, block in wanted.blocks.items():
        known = [wanted.rows[item]] if item in wanted.rows else []
        rows[block] = combine([*known, *timings.get(item, [])])
    own = tuple(_network(job, wanted, rows, item, timings.get(item, []), i) for i, item in enumerate(wanted.networks))
    networks = own + tuple(one for one in (old.head.networks if old else ()) if one.space.split("@")[0] != job.space.name)
    calibration = calibrate(networks, job.confidence)
    said = conditions(new.values()) or (old.head.conditions if old else "")
    power = power_w(one for (item, _), one in new.items() if item in wanted.networks) or (old.head.power_w if old else None)
    return Table(
        Head(
            job.machine,
            job.target,
            Provenance(_source(job, rows, networks, disturbed), datetime.date.today().isoformat(), job.command),
            held_out_error(networks, calibration),
            calibration,
            networks,
            said,
            power,
            tuple(_fit(space, networks, job.confidence) for space in sorted({network.space for network in networks})),
            old.head.checked if old else None,
        ),
        rows,
    )


def in_passes(passes: Sequence[int]) -> str:
    """How often something was timed, in words: "1 pass", "3 passes", "1 to 3 passes"."""
    least, most = min(passes), max(passes)
    return f"{least} to {most} passes" if least < most else f"{most} pass{'es' if most > 1 else ''}"


def _source(job: "Job", rows: Mapping[BlockSpec, Timing], networks: Sequence[NetworkTiming], disturbed: int) -> str:
    where = "on this machine" if job.target.device == THIS_MACHINE else f"on {job.machine}"
    of_blocks, of_networks = in_passes([row.passes for row in rows.values()]), in_passes([one.passes for one in networks])
    said = f"; {disturbed} of the last timings disturbed whenever they were made" if disturbed else ""
    return f"{len(rows)} blocks measured {where}, {of_blocks}; {len(networks)} whole networks, {of_networks}{said}"


def _fit(space: str, networks: Sequence[NetworkTiming], confidence: float) -> Fit:
    own = [network for network in networks if network.space == space]
    calibration = calibrate(own, confidence)
    return Fit(space, held_out_error(own, calibration), calibration)


def _network(
    job: "Job", wanted: "Wanted", rows: Mapping[BlockSpec, Timing], item: str, timings: Sequence[Timing], number: int
) -> NetworkTiming:
    spec, known = wanted.networks[item], wanted.timed.get(item)
    weights_mb = blocks.weights(spec) * bytes_of(job.target.precision) / 1e6
    sum_ms = sum(rows[block].p10_ms for block in spec.blocks)
    measured_ms = min([one.p10_ms for one in timings] + ([known.measured_ms] if known else []))
    passes = sum(one.passes for one in timings) + wanted.passes(item)
    held_out = number >= wanted.calibrating
    return NetworkTiming(job.space.key, len(spec.blocks), blocks.macs(spec), weights_mb, sum_ms, measured_ms, held_out, passes)
