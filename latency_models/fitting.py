"""Coefficients of a form from measured networks (or blocks), with the error on what the fit did not see.

Residuals are relative: a network of 5 ms counts as much as one of 500 ms. Coefficients are not negative. Where there are
fewer networks than coefficients, a ridge pulls towards a prior, such as the coefficients of boards with the same core.
Errors are those of groups that were left out (`Fit.held_out`), never of the rows that were fitted.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from latency_models.kernel_forms import Form
from nas.core.errors import DataError
from nas.core.operators import Operator

Floats = NDArray[np.float64]

OVERHEAD = "overhead_ms"
"""Name of the intercept: what every network costs once."""

CONVERGED = 1e-5
"""Change of relative predictions at which reweighting ends."""

CONFIDENCE = 0.95
"""Nominal level of the intervals."""

LEVELS = (0.5, 0.8, 0.9, 0.99)
"""Levels that a profile's interval can be asked for beside its own."""

ROUNDS = 12
"""Rounds of reweighting rows with large residuals."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured network or block. Rows of one `group` are left out together; `overhead` is how often the intercept counts."""

    name: str
    group: str
    operators: tuple[Operator, ...]
    latency_ms: float
    overhead: float = 1.0

    @property
    def macs(self) -> int:
        """Multiply-accumulates, biases not counted."""
        return sum(operator.macs for operator in self.operators)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to fit.

    `prior` gives expected coefficients in ms a unit (`OVERHEAD` among them), which `ridge` pulls towards: a coefficient
    that is off by `spread` (1 where not given) of its prior costs as much as `ridge` networks that are off by 100 %.
    Without a prior it is free. `floor` gives least values. `fixed` gives values that the rows cannot tell and that are
    taken as they are. `robust`: residuals beyond `outlier` count less (0.01: nearly least absolute residuals) instead of
    least squares. `weights` is one a row, None for equal.
    """

    prior: Mapping[str, float] = field(default_factory=dict)
    ridge: float = 0.0
    spread: Mapping[str, float] = field(default_factory=dict)
    floor: Mapping[str, float] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    robust: bool = True
    outlier: float = 0.01
    weights: Floats | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients fitted to all rows, and how well rows are predicted by a fit to the other groups.

    `coefficients` has `OVERHEAD` and every coefficient of the form, in ms a unit. `predicted_ms`, `baseline_ms` (MACs and an
    intercept alone) and `measured_ms` are of the rows, each predicted by a fit without its group. `low_factor` and
    `high_factor` times a prediction hold the truth with `confidence`.
    """

    coefficients: dict[str, float]
    predicted_ms: Floats
    baseline_ms: Floats
    measured_ms: Floats
    low_factor: float
    high_factor: float
    confidence: float

    @property
    def mape_percent(self) -> float:
        """Mean absolute error of held-out rows, in percent."""
        return mape_percent(self.predicted_ms, self.measured_ms)

    @property
    def baseline_mape_percent(self) -> float:
        """The same for MACs alone."""
        return mape_percent(self.baseline_ms, self.measured_ms)

    @property
    def spearman(self) -> float:
        """Rank correlation of held-out predictions with the truth."""
        return spearman(self.predicted_ms, self.measured_ms)


def fit(
    form: Form,
    rows: Sequence[Row],
    settings: Settings | Callable[[Sequence[Row]], Settings] | None = None,
    confidence: float = CONFIDENCE,
) -> Fit:
    """Fits `form` to `rows`, and again without each group.

    Settings that themselves follow from measurements are given as a function of the rows that the fit may see. The interval
    has `confidence`, or the most that so few rows can give.

    Raises:
        DataError: fewer than two groups, or a latency that is not positive.
    """
    given = settings if callable(settings) else None
    measured = latencies(rows)
    groups = sorted({row.group for row in rows})
    if len(groups) < 2:
        raise DataError(f"a held-out error needs two groups of measurements at least, got {len(groups)}")
    matrix, plain = amounts(form, rows), baseline_amounts(rows)
    names = (OVERHEAD, *form.coefficients)
    predicted, baseline = np.empty(len(rows)), np.empty(len(rows))
    of_group = np.array([row.group for row in rows])
    every = np.ones(len(rows), dtype=bool)

    def chosen(seen: NDArray[np.bool_]) -> Settings:
        if given is not None:
            return given([row for row, here in zip(rows, seen, strict=True) if here])
        return _part(settings if isinstance(settings, Settings) else Settings(), seen)

    for group in groups:
        out, rest = of_group == group, of_group != group
        predicted[out] = matrix[out] @ solve(names, matrix[rest], measured[rest], chosen(rest))
        baseline[out] = plain[out] @ solve((OVERHEAD, "macs"), plain[rest], measured[rest], Settings())
    found = solve(names, matrix, measured, chosen(every))
    confidence = min(confidence, math.floor(100 * len(rows) / (len(rows) + 1)) / 100)
    low, high = conformal_factors(measured / predicted, confidence)
    return Fit(dict(zip(names, found.tolist(), strict=True)), predicted, baseline, measured, low, high, confidence)


def latencies(rows: Sequence[Row]) -> Floats:
    """(rows,) the measured milliseconds.

    Raises:
        DataError: one of them is not positive.
    """
    measured = np.array([row.latency_ms for row in rows], dtype=np.float64)
    for row in rows:
        if not 0 < row.latency_ms < float("inf"):
            raise DataError(f"{row.name} was measured as {row.latency_ms} ms; a latency is above zero")
    return measured


def amounts(form: Form, rows: Sequence[Row]) -> Floats:
    """(rows, 1 + coefficients) what each row needs: the intercept, then each coefficient of the form."""
    found = np.zeros((len(rows), 1 + len(form.coefficients)))
    column = {name: i for i, name in enumerate(form.coefficients, start=1)}
    known: dict[Operator, list[tuple[int, float]]] = {}
    for i, row in enumerate(rows):
        found[i, 0] = row.overhead
        for operator in row.operators:
            if operator not in known:
                works = [form.work(kernel) for kernel in form.kernels(operator)]
                known[operator] = [(column[name], amount) for work in works for name, amount in work.items()]
            for j, amount in known[operator]:
                found[i, j] += amount
    return found


def baseline_amounts(rows: Sequence[Row]) -> Floats:
    """(rows, 2) the intercept and millions of MACs: what everybody can count."""
    return np.array([[row.overhead, row.macs / 1e6] for row in rows])


def solve(names: Sequence[str], matrix: Floats, measured: Floats, settings: Settings) -> Floats:
    """(names,) coefficients of the least relative residuals under `settings`; `matrix` is (rows, names)."""
    floor = np.array([settings.fixed.get(name, settings.floor.get(name, 0.0)) for name in names])
    free = np.array([name not in settings.fixed for name in names])
    weights = np.ones(len(measured)) if settings.weights is None else settings.weights
    relative, rest = matrix[:, free] / measured[:, None], 1 - matrix @ floor / measured
    priors = np.array([settings.prior.get(name, 0.0) for name in names])[free]
    spreads = np.array([settings.spread.get(name, 1.0) for name in names])[free]
    pulled = np.flatnonzero((priors > 0) & (settings.ridge > 0))
    force = np.sqrt(settings.ridge) / spreads[pulled]
    pull = np.zeros((len(pulled), len(priors)))
    pull[np.arange(len(pulled)), pulled] = force / priors[pulled]
    target = force * (1 - floor[free][pulled] / priors[pulled])
    scale = np.sqrt(weights)
    found = floor.copy()
    for _ in range(ROUNDS if settings.robust else 1):
        stacked = np.concatenate([relative * scale[:, None], pull])
        step, before = nnls(stacked, np.concatenate([rest * scale, target])), found[free] - floor[free]
        found[free] = floor[free] + step
        if np.abs(relative @ (step - before)).max() < CONVERGED:
            break
        scale = np.sqrt(weights * settings.outlier / np.maximum(np.abs(relative @ step - rest), settings.outlier))
    return found


def nnls(matrix: Floats, target: Floats) -> Floats:
    """(columns,) x >= 0 of least |matrix x - target|, `matrix` (rows, columns). Columns of zeros get zero.

    Source: Bro and de Jong 1997, "A fast non-negativity-constrained least squares algorithm" (Lawson and Hanson's active
    set on normal equations), with columns scaled to unit length.
    """
    length = np.linalg.norm(matrix, axis=0)
    used = np.flatnonzero(length > 0)
    scaled = matrix[:, used] / length[used]
    gram, aim = scaled.T @ scaled, scaled.T @ target
    x, inside = np.zeros(len(used)), np.zeros(len(used), dtype=bool)
    tolerance = 1e-10 * max(1.0, float(np.abs(aim).max(initial=0.0)))
    for _ in range(10 * len(used) + 10):
        slope = np.where(inside, -np.inf, aim - gram @ x)
        if inside.all() or slope.max() <= tolerance:
            break
        inside[int(slope.argmax())] = True
        while True:
            step = np.zeros_like(x)
            step[inside] = np.linalg.lstsq(gram[np.ix_(inside, inside)], aim[inside], rcond=None)[0]
            below = inside & (step <= 0)
            if not below.any():
                break
            ratio = (x[below] / np.maximum(x[below] - step[below], 1e-300)).min()
            x = x + ratio * (step - x)
            inside &= x > 1e-14
            x[~inside] = 0.0
        x = step
    result = np.zeros(matrix.shape[1])
    result[used] = x / length[used]
    return result


def conformal_factors(ratios: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Factors on a prediction between which the truth lies with `confidence`; `ratios` are truth over held-out prediction.

    Half of the misses lie on either side where there are enough ratios for that (39 for 0.95), else the factors are the
    reciprocal of each other. The lower is 1 at most, the upper 1 at least.

    Raises:
        DataError: too few ratios for the confidence (19 for 0.95).

    Source: split conformal prediction (Vovk et al. 2005); on leave-one-out ratios the jackknife of Barber et al. 2021.
    """
    n, tail = len(ratios), (1 - confidence) / 2
    ordered = np.sort(ratios)
    below, above = int(np.floor((n + 1) * tail + 1e-9)), int(np.ceil((n + 1) * (1 - tail) - 1e-9))
    if below >= 1 and above <= n:
        return min(1.0, float(ordered[below - 1])), max(1.0, float(ordered[above - 1]))
    rank = int(np.ceil((n + 1) * confidence - 1e-9))
    if rank > n:
        raise DataError(f"{n} held-out measurements cannot bound a further one with confidence {confidence}")
    spread = float(np.exp(np.sort(np.abs(np.log(ratios)))[rank - 1]))
    return 1 / spread, spread


def levels(ratios: Floats) -> dict[float, tuple[float, float]]:
    """`conformal_factors` at each of `LEVELS` for which there are enough ratios."""
    return {level: conformal_factors(ratios, level) for level in LEVELS if math.ceil((len(ratios) + 1) * level - 1e-9) <= len(ratios)}


def mape_percent(predicted: Floats, measured: Floats) -> float:
    """Mean absolute percentage error."""
    return 100 * float(np.abs(predicted / measured - 1).mean())


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation; ties share their mean rank."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Floats) -> Floats:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count).astype(np.float64)
    found: Floats = (ends - (count - 1) / 2)[place]
    return found


def _part(settings: Settings, rows: NDArray[np.bool_]) -> Settings:
    return settings if settings.weights is None else dataclasses.replace(settings, weights=settings.weights[rows])
