"""Latency from a table of measured blocks: the calibrated sum of its rows. Answers for the table's own target only."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from hardware_profiles import table_file
from hardware_profiles.table_file import Calibration, Table, Timing
from nas.core.device import DeviceProfile, RuntimeTarget, TargetProfile
from nas.core.errors import DeviceError, TargetMismatchError
from nas.core.latency import BlockPrice, Interval
from nas.core.network import BlockSpec
from search_spaces.blocks import operators

INTERPOLATED_LOW, INTERPOLATED_HIGH = 0.8, 1.25
"""What the bounds of a block between measured ones are multiplied with: an assumption, not a measurement."""


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Prices of `target`: measured blocks as they are, pruned ones between their neighbours in hidden channels."""

    target: RuntimeTarget
    origin: str
    calibration: Calibration
    rows: dict[BlockSpec, Timing]
    improve: str
    _families: dict[BlockSpec, list[BlockSpec]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for spec in sorted(self.rows, key=lambda row: row.hidden_channels):
            self._families.setdefault(_family(spec), []).append(spec)

    @property
    def confidence(self) -> float:
        """Nominal level of the intervals, as far as the number of measured networks allows."""
        return self.calibration.confidence

    @property
    def overhead(self) -> Interval:
        """What a network costs beyond its blocks."""
        return self._interval(self.calibration.offset_ms, 1.0, 1.0)

    def block(self, spec: BlockSpec) -> BlockPrice:
        """Price of one block: its share of a network's latency.

        Raises:
            DeviceError: neither the block nor one that differs in hidden channels alone was measured.
        """
        if spec in self.rows:
            ms = self.calibration.factor * self.rows[spec].median_ms
            return BlockPrice(self._interval(ms, 1.0, 1.0), ms)
        ms = self.calibration.factor * self._between(spec)
        return BlockPrice(self._interval(ms, INTERPOLATED_LOW, INTERPOLATED_HIGH), 0.0)

    def _between(self, spec: BlockSpec) -> float:
        """Milliseconds by linear interpolation in hidden channels, or by MACs beyond the outermost measured block."""
        family = self._families.get(_family(spec), [])
        if not family:
            raise DeviceError(f"the latency table of {self.target} has nothing near {spec}; run: {self.improve}")
        below = [row for row in family if row.hidden_channels < spec.hidden_channels]
        above = [row for row in family if row.hidden_channels > spec.hidden_channels]
        if below and above:
            left, right = below[-1], above[0]
            share = (spec.hidden_channels - left.hidden_channels) / (right.hidden_channels - left.hidden_channels)
            return (1 - share) * self.rows[left].median_ms + share * self.rows[right].median_ms
        nearest = below[-1] if below else above[0]
        return self.rows[nearest].median_ms * _macs(spec) / _macs(nearest)

    def _interval(self, ms: float, low: float, high: float) -> Interval:
        return Interval(ms, ms * self.calibration.low_factor * low, ms * self.calibration.high_factor * high)


def from_profile(profile: DeviceProfile, target: TargetProfile) -> LookupTable:
    """The table of `target`, which lies beside the profile.

    Raises:
        DeviceError: nothing was measured yet, or the file is damaged; the message says what to run.
        TargetMismatchError: the table was measured on another machine or with another runtime, precision or threads.
    """
    path = table_file.path_of(Path(profile.path), target.target)
    if not path.exists():
        raise DeviceError(f"{target.target} is not measured yet; run: {profile.improve}")
    table = table_file.read(path)
    check(table, target.target, path, profile.improve)
    return LookupTable(target.target, target.origin, table.head.calibration, table.rows, profile.improve)


def check(table: Table, target: RuntimeTarget, path: Path, improve: str) -> None:
    """Lets a table through that was measured for `target` on this machine.

    Raises:
        TargetMismatchError: it was not; the message names both.
    """
    asked, has = f"{target} on {table_file.machine()}", f"{table.head.target} on {table.head.machine}"
    if asked != has:
        raise TargetMismatchError(f"{path} holds {has}, not {asked}; run: {improve} --fresh")


def _family(spec: BlockSpec) -> BlockSpec:
    """What blocks have in common that differ in hidden channels alone."""
    return replace(spec, hidden_channels=1)


def _macs(spec: BlockSpec) -> int:
    return sum(operator.macs for operator in operators(spec))


PLUGIN = from_profile
