"""Latency from a table of measured blocks: the calibrated sum of its rows. Answers for the table's own target only.

What the table does not hold is taken from between its rows (pruned blocks: fewer hidden channels), or from a kernel model
that is fitted to all of them; either widens the interval and does not count as covered.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from hardware_profiles import THIS_MACHINE, table_file
from hardware_profiles.table_file import Calibration, Head, NetworkTiming, Table, Timing
from latency_models import fitting, kernel_forms, operator_prices
from latency_models.calibration import calibrate
from latency_models.fitting import Row
from latency_models.kernel_model import Cover, Factors, KernelModel
from latency_models.operator_prices import OperatorPrices
from nas.core.device import DeviceProfile, RuntimeTarget, TargetProfile
from nas.core.errors import DeviceError, StaleTableError, TargetMismatchError
from nas.core.latency import BlockPrice, Interval, Spill
from nas.core.network import BlockSpec
from nas.core.operators import Operator
from nas.footprint import bytes_of
from search_spaces.blocks import operators

_EXACT = Factors(1.0, 1.0, 1.0, 1.0)
"""A measured block has the bounds of the calibration."""

_BETWEEN = Factors(0.8, 1.25, 0.8, 1.25)
"""What the bounds of a block between measured ones are multiplied with: an assumption, not a measurement."""

FORMS = ("mobile_cpu", "xnnpack", "onnxruntime_cpu")
"""Kernel forms that are fitted to the rows, of which that with the least error on left-out ones is taken: tables are of processors."""

INT8_FORMS = ("onnxruntime_int8",)
"""Those that are tried beside them where a table is of int8."""

FOLDS = 5
"""Parts of the table that are left out in turn, to know how wrong the kernel model is."""


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Prices of `target`: measured blocks as they are, others from what lies around them. `power_w` where it was measured.

    `networks` are the whole ones that were timed beside the blocks: single operators are priced by them too.
    """

    target: RuntimeTarget
    origin: str
    calibration: Calibration
    rows: dict[BlockSpec, Timing]
    improve: str
    power_w: float | None = None
    networks: tuple[NetworkTiming, ...] = ()
    _families: dict[BlockSpec, list[BlockSpec]] = field(default_factory=dict, compare=False, repr=False)
    _prices: dict[BlockSpec, BlockPrice] = field(default_factory=dict, compare=False, repr=False)
    _fitted: list[KernelModel] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        for spec in sorted(self.rows, key=lambda row: row.hidden_channels):
            self._families.setdefault(_family(spec), []).append(spec)

    @property
    def confidence(self) -> float:
        """Nominal level of the intervals, as far as the number of measured networks allows."""
        return self.calibration.confidence

    @property
    def overhead(self) -> Interval:
        """The call that a network makes once and blocks in it share."""
        return self._interval(self.calibration.join_ms)

    @property
    def spill(self) -> Spill:
        """What weights beyond the cache cost."""
        return Spill(self.calibration.cached_mb, self._interval(self.calibration.cold_ms_per_mb))

    def block(self, spec: BlockSpec) -> BlockPrice:
        """Price of one block: its share of a network's latency.

        Raises:
            DeviceError: the table holds too little to say anything of blocks that were not measured.
        """
        if spec not in self._prices:
            self._prices[spec] = self._block(spec)
        return self._prices[spec]

    def by_operator(self) -> OperatorPrices:
        """Prices of single operators, from the kernel model that fits the rows and the whole networks that correct it.

        Raises:
            DeviceError: as `kernel_model`.
        """
        return operator_prices.fitted(self.kernel_model(), self.calibration, self.rows, self.networks)

    def kernel_model(self) -> KernelModel:
        """The kernel model that fits the rows, with the interval that left-out rows gave it.

        Raises:
            DeviceError: the table has too few rows to fit one.
        """
        if not self._fitted:
            if len(self.rows) < 20:
                few = f"the latency table of {self.target} has {len(self.rows)} rows, too few to price anything else"
                raise DeviceError(f"{few}; run: {self.improve}")
            rows = [Row(str(i), str(i % FOLDS), operators(spec), timing.p10_ms) for i, (spec, timing) in enumerate(self.rows.items())]
            forms = (*FORMS, *(INT8_FORMS if self.target.precision == "int8" else ()))
            fits = {name: fitting.fit(kernel_forms.load(name), rows, confidence=self.confidence) for name in forms}
            best = min(forms, key=lambda name: fits[name].mape_percent)
            form, found = kernel_forms.load(best), fits[best]
            factors = Factors(found.low_factor, found.high_factor, found.low_factor, found.high_factor)
            coefficients = {name: value for name, value in found.coefficients.items() if name != fitting.OVERHEAD}
            covers: tuple[Cover, ...] = ()
            intercept = found.coefficients[fitting.OVERHEAD]
            self._fitted.append(KernelModel(self.target, "calibrated", self.confidence, form, covers, intercept, coefficients, factors))
        return self._fitted[0]

    def _block(self, spec: BlockSpec) -> BlockPrice:
        saved_ms, of = self.calibration.join_ms, operators(spec)
        if spec in self.rows:
            found = self._price(self.rows[spec].p10_ms, of, _EXACT, saved_ms)
            return replace(found, covered_ms=found.interval.ms)
        between_ms = self._between(spec)
        if between_ms is not None:
            return self._price(between_ms, of, _BETWEEN, saved_ms)
        kernel_model = self.kernel_model()
        return self._price(kernel_model.overhead_ms + kernel_model.block(spec).interval.ms, of, kernel_model.factors, saved_ms)

    def _price(self, alone_ms: float, of: tuple[Operator, ...], widened: Factors, saved_ms: float = 0.0) -> BlockPrice:
        """What takes `alone_ms` in a session of its own, of which a network saves `saved_ms`; not covered."""
        ms = max(0.0, self.calibration.factor * alone_ms - saved_ms)
        low, high = self.calibration.low_factor * widened.low, self.calibration.high_factor * widened.high
        weights_mb = sum(operator.weights for operator in of) * bytes_of(self.target.precision) / 1e6
        return BlockPrice(Interval(ms, ms * low, ms * high), 0.0, weights_mb)

    def _between(self, spec: BlockSpec) -> float | None:
        """Milliseconds alone by linear interpolation in hidden channels, or by MACs just beyond the outermost measured block."""
        family = self._families.get(_family(spec), [])
        below = [row for row in family if row.hidden_channels < spec.hidden_channels]
        above = [row for row in family if row.hidden_channels > spec.hidden_channels]
        if below and above:
            left, right = below[-1], above[0]
            share = (spec.hidden_channels - left.hidden_channels) / (right.hidden_channels - left.hidden_channels)
            return (1 - share) * self.rows[left].p10_ms + share * self.rows[right].p10_ms
        if not family:
            return None
        nearest = below[-1] if below else above[0]
        call_ms = self.calibration.join_ms / self.calibration.factor
        return call_ms + max(0.0, self.rows[nearest].p10_ms - call_ms) * _macs(spec) / _macs(nearest)

    def _interval(self, ms: float) -> Interval:
        return Interval(ms, ms * self.calibration.low_factor, ms * self.calibration.high_factor)


def from_profile(profile: DeviceProfile, target: TargetProfile, space: str, confidence: float | None = None) -> LookupTable:
    """The table of `target`, which lies beside the profile, calibrated for networks of the space with the key `space`.

    A space of which no networks were measured, or "", has the calibration that fits the networks of all spaces. Bounds are those of
    `confidence`, made anew of the measured networks; without it those that the table was made with.

    Raises:
        DeviceError: nothing was measured yet, or the file is damaged; the message says what to run.
        StaleTableError: it was checked and holds no longer.
        TargetMismatchError: the table was measured on another machine or with another runtime, precision or threads.
    """
    path = table_file.path_of(Path(profile.path), target.target)
    improve = profile.improve_of(target.target)
    if not path.exists():
        raise DeviceError(f"{target.target} is not measured yet; run: {improve}")
    table = table_file.read(path)
    check(table, target.target, path, improve)
    calibration = table.head.calibration_of(space) if confidence is None else _calibrated(table.head, space, confidence, path)
    return LookupTable(target.target, target.origin, calibration, table.rows, improve, table.head.power_w, table.head.networks)


def _calibrated(head: Head, space: str, confidence: float, path: Path) -> Calibration:
    """The calibration for that space with bounds of `confidence`.

    Raises:
        DeviceError: too few networks were measured for it.
    """
    networks = [network for network in head.networks if network.space == space] or head.networks
    found = calibrate(networks, confidence)
    if found.confidence < confidence:
        used = sum(not network.held_out for network in networks)
        most = f"{used} whole networks to calibrate with, which bound another one with confidence {used / (used + 1):.3f} at most"
        raise DeviceError(f"{path} has {most}, not {confidence:g}: ask for less")
    return found


def check(table: Table, target: RuntimeTarget, path: Path, improve: str) -> None:
    """Lets a table through that was measured for `target`, or in a check found to hold for its version.

    One of the machine in hand must have been measured on it.

    Raises:
        StaleTableError: a check found that it holds no longer.
        TargetMismatchError: it is of another target; the message names both.
    """
    head, here = table.head, table_file.machine()
    same_machine = target.device != THIS_MACHINE or head.machine == here
    if same_machine and head.is_stale(target):
        raise StaleTableError(f"{path} is stale ({head.checked}); run: {improve} --fresh")
    if same_machine and head.target == target:
        return
    asked, has = str(target), str(head.target)
    if target.device == THIS_MACHINE:
        asked, has = f"{asked} on {here}", f"{has} on {head.machine}"
    upgraded = same_machine and replace(head.target, runtime_version=target.runtime_version) == target
    look = f"{improve} --check, which says whether it still holds, or " if upgraded else ""
    raise TargetMismatchError(f"{path} holds {has}, not {asked}; run: {look}{improve} --fresh")


def _family(spec: BlockSpec) -> BlockSpec:
    """What blocks have in common that differ in hidden channels alone."""
    return replace(spec, hidden_channels=1)


def _macs(spec: BlockSpec) -> int:
    return sum(operator.macs for operator in operators(spec))


PLUGIN = from_profile
