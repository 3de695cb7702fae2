"""A latency table as a file: one CSV whose comment lines at the top are a TOML document saying what it holds for."""

import csv
import io
import math
import os
import platform
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from nas.core.device import HeldOutError, Provenance, RuntimeTarget
from nas.core.errors import DeviceError, SpaceError
from nas.core.network import BlockSpec

DRIFT_PERCENT = 5.0
"""Median change of its networks up to which a table holds."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Repeated runs of one model: the 10th and 95th percentile of the undisturbed ones, their number, and in how many passes.

    The 10th is what a table's prices are: the time of a run that nothing holds up. Where nothing else uses the processor it
    is within a per cent or two of the median; where something does it repeats far better (`latency_models/agent`). Of several
    `passes` each percentile is the least. A table that does not tell its passes counts as made in one.
    """

    p10_ms: float
    p95_ms: float
    runs: int
    passes: int = 1


@dataclass(frozen=True, slots=True)
class NetworkTiming:
    """A whole network beside the sum of its `blocks`: what a calibration is fitted to, or checked with (`held_out`).

    `weights_mb` are its weights in the target's precision, 10^6 bytes. `measured_ms` is the least of `passes`.
    """

    space: str
    blocks: int
    macs: int
    weights_mb: float
    sum_ms: float
    measured_ms: float
    held_out: bool
    passes: int = 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """How blocks add up, and the factors of the bounds at `confidence`.

    network = `factor` * sum of blocks - `join_ms` * joins of two blocks + `cold_ms_per_mb` * weights beyond `cached_mb`
    (10^6 bytes; without a cache that shows, the last term is none).
    """

    factor: float
    join_ms: float
    cold_ms_per_mb: float
    cached_mb: float
    low_factor: float
    high_factor: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration from the measured networks of one space (its key), and its error on those that were held out."""

    space: str
    error: HeldOutError
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Checked:
    """The last look at whether a table still holds: with which version of the runtime, and when (a date).

    `change_percent` is the median change of whole networks, above zero: slower. `measured_with` is the version that the rows are of.
    """

    runtime_version: str
    when: str
    change_percent: float
    measured_with: str

    @property
    def holds(self) -> bool:
        """Whether the change counts as none."""
        return abs(self.change_percent) <= DRIFT_PERCENT

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "holds no longer"
        since = f"measured with {self.measured_with}, " if self.measured_with != self.runtime_version else ""
        return f"{since}checked {self.when} with {self.runtime_version}: networks take {self.change_percent:+.1f} %, so it {verdict}"


@dataclass(frozen=True, slots=True)
class Head:
    """What a table holds for, how it was made, and how good it is; `machine` is the fingerprint of the processor.

    `calibration` and `error` are for networks of any kind, `fits` for those of one space each. `conditions` are what the device
    said of itself meanwhile (clock, governor, temperature), in words. `power_w` is its median power while networks ran, None
    where no sensor told. `checked` is None until somebody looked again: where the table held, `target` is of the version it was checked
    with.
    """

    machine: str
    target: RuntimeTarget
    provenance: Provenance
    error: HeldOutError
    calibration: Calibration
    networks: tuple[NetworkTiming, ...]
    conditions: str = ""
    power_w: float | None = None
    fits: tuple[Fit, ...] = ()
    checked: Checked | None = None

    def is_about(self, target: RuntimeTarget) -> bool:
        """Whether the table answers for `target`, or was found not to when it was checked with its version."""
        versions = [self.target.runtime_version, *([self.checked.runtime_version] if self.checked else [])]
        return any(replace(self.target, runtime_version=version) == target for version in versions)

    def is_stale(self, target: RuntimeTarget) -> bool:
        """Whether it was checked for `target` and holds no longer."""
        found = self.checked
        return found is not None and not found.holds and replace(self.target, runtime_version=found.runtime_version) == target

    def passes_to_better(self, space: str) -> int:
        """What `nas.measure --passes` must be told to add timings to the whole networks of `space`, and with them to its blocks."""
        return 1 + min((network.passes for network in self.networks if network.space == space), default=0)

    def calibration_of(self, space: str) -> Calibration:
        """The calibration for networks of the space with that key: its own where it was measured, else the common one."""
        return next((fit.calibration for fit in self.fits if fit.space == space), self.calibration)


@dataclass(frozen=True, slots=True)
class Table:
    """A head and its rows."""

    head: Head
    rows: dict[BlockSpec, Timing]


ValueT = TypeVar("ValueT")

_BLOCK = tuple(field.name for field in fields(BlockSpec))
_TIMING = tuple(field.name for field in fields(Timing))


def path_of(profile: Path, target: RuntimeTarget) -> Path:
    """Where the table of `target` is: in `tables/` beside the device's profile."""
    return profile.parent / "tables" / f"{target.device}.{target.runtime}.{target.precision}.{target.threads}t.csv"


def machine() -> str:
    """Fingerprint of the machine in hand: the board's name where it has one, else its processor's; architecture, number of cores."""
    model = platform.processor() or "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text(errors="replace").splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    board = Path("/proc/device-tree/model")  # ARM boards; their cpuinfo has no name, or that of every other board
    model = board.read_text(errors="replace").strip("\0 \n\t") if board.exists() else model
    return f"{model}, {platform.machine()}, {os.cpu_count()} cores"


def read(path: Path) -> Table:
    """The table in `path`.

    Raises:
        DeviceError: the file cannot be read or is damaged; the message says where.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"the latency table {path} cannot be read: {error}") from error
    top = [line[1:].removeprefix(" ") for line in lines if line.startswith("#")]
    try:
        head = _head(tomllib.loads("\n".join(top)))
    except (KeyError, TypeError) as error:
        older = f"the latency table {path} was written by an older version, or is damaged ({error!r})"
        raise DeviceError(f"{older}: measure again with `python -m nas.measure --fresh` and the options it is named after") from error
    except ValueError as error:
        raise DeviceError(f"the head of the latency table {path} is damaged: {error!r}; delete the file and measure again") from error
    rows = {}
    body = csv.DictReader(line for line in lines if not line.startswith("#"))
    for number, row in enumerate(body, start=len(top) + 2):
        try:
            rows[_block(row)] = _timing(row)
        except (KeyError, TypeError, ValueError, SpaceError) as error:
            raise DeviceError(
                f"{path}, line {number}: not a row of a latency table ({error!r}); delete the file and measure again"
            ) from error
    return Table(head, rows)


def text(table: Table) -> str:
    """`table` as `read` reads it."""
    head = table.head
    sections = {
        "target": asdict(head.target),
        "provenance": asdict(head.provenance),
        "error": asdict(head.error),
        "calibration": asdict(head.calibration),
        **({"checked": asdict(head.checked)} if head.checked else {}),
    }
    top = [f"machine = {_toml(head.machine)}", f"conditions = {_toml(head.conditions)}"]
    top += [f"power_w = {_toml(head.power_w)}"] if head.power_w is not None else []
    top += [_section(name, values) for name, values in sections.items()]
    for fit in head.fits:
        parts = {"[fits]": {"space": fit.space}, "fits.error": asdict(fit.error), "fits.calibration": asdict(fit.calibration)}
        top += [_section(name, values) for name, values in parts.items()]
    top += [_section("[networks]", asdict(network)) for network in head.networks]
    out = io.StringIO()
    out.writelines(f"# {line}\n" for line in "\n".join(top).splitlines())
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_BLOCK, *_TIMING))
    for block, timing in table.rows.items():
        writer.writerow([*_plain(asdict(block).values()), *asdict(timing).values()])
    return out.getvalue()


def _head(document: dict[str, Any]) -> Head:
    return Head(
        str(document["machine"]),
        _value(RuntimeTarget, document["target"]),
        _value(Provenance, document["provenance"]),
        _value(HeldOutError, document["error"]),
        _value(Calibration, document["calibration"]),
        tuple(_value(NetworkTiming, network) for network in document["networks"]),
        str(document["conditions"]),
        float(document["power_w"]) if "power_w" in document else None,
        tuple(_fit(fit) for fit in document.get("fits", ())),
        Checked(**document["checked"]) if "checked" in document else None,
    )


def _fit(document: dict[str, Any]) -> Fit:
    return Fit(str(document["space"]), _value(HeldOutError, document["error"]), _value(Calibration, document["calibration"]))


def _value(kind: type[ValueT], document: dict[str, Any]) -> ValueT:
    """A `kind` of what the head says of it: texts, yes or no, and numbers that are finite and not below zero."""
    found = kind(**document)
    for each in fields(kind):  # type: ignore[arg-type]
        value = getattr(found, each.name)
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        right = isinstance(value, each.type) if each.type in (str, bool) else number and (each.type is float or isinstance(value, int))
        if not right:
            raise ValueError(f"{each.name} is {value!r}")
    return found


def _block(row: dict[str, str]) -> BlockSpec:
    text_fields = {name: row[name] for name in ("kind", "activation")}
    numbers = {name: int(row[name]) for name in _BLOCK if name not in text_fields}
    return BlockSpec(**{**text_fields, **numbers, "se": bool(numbers["se"])})  # type: ignore[arg-type]


def _timing(row: dict[str, str]) -> Timing:
    found = Timing(float(row["p10_ms"]), float(row["p95_ms"]), int(row["runs"]), int(row.get("passes") or 1))
    if not 0.0 < found.p10_ms < math.inf or not 0.0 < found.p95_ms < math.inf:
        raise ValueError(f"nothing takes {found.p10_ms} to {found.p95_ms} ms")
    return found


def _section(name: str, values: dict[str, Any]) -> str:
    return f"[{name}]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in values.items())


def _plain(values: Any) -> Sequence[Any]:
    return [int(value) if isinstance(value, bool) else value for value in values]


def _toml(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        return f'"{escaped}"'
    return repr(value)
