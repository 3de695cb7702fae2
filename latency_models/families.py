"""Boards of one family, such as ARM cores of one architecture, under one runtime: what they share fills in what one lacks.

A board with twenty measured networks cannot tell twenty coefficients apart. Its family can: coefficients are alike up to a
factor for each of a few groups (launches, memory, arithmetic). `learn` finds the typical coefficients and how far boards
spread around them, `settings` turns both into the prior of one board's fit: an empirical Bayes estimate, with a relative
noise of `NOISE` on every network.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from latency_models.fitting import OVERHEAD, Floats, Row, Settings, amounts, latencies, nnls, solve
from latency_models.kernel_forms import Form

NOISE = 0.08
"""Relative residual of one network that is expected of a good fit."""

LEAST_SPREAD, MOST_SPREAD = 0.15, 1.0
"""Bounds on how much coefficients of a family may vary around the typical one, relative to it."""

GROUP_RIDGE = 0.02
"""What holds the factors of the groups together, in networks that are off by 100 %."""

OUTLIER = 0.15
ROUNDS, AGAIN_ROUNDS = 8, 3


@dataclass(frozen=True, slots=True)
class Family:
    """Typical coefficients of a family, (1 + coefficients,) in ms a unit up to one factor, and their relative spread."""

    form: Form
    group: Callable[[str], int]
    fixed: dict[str, float]
    typical: Floats
    spread: Floats

    def settings(self, rows: Sequence[Row], floor: dict[str, float] | None = None) -> Settings:
        """The prior of a board of the family, of which `rows` were measured."""
        matrix, measured = amounts(self.form, rows), latencies(rows)
        return _settings(self, matrix, measured, floor or {})


def names_of(form: Form) -> tuple[str, ...]:
    """The intercept and the coefficients of `form`."""
    return (OVERHEAD, *form.coefficients)


def learn(form: Form, boards: Sequence[Sequence[Row]], group: Callable[[str], int], fixed: dict[str, float] | None = None) -> Family:
    """What `boards`, each a board's rows, have in common.

    `group` gives each coefficient's group as a number from 0 on; `fixed` holds those that are not fitted.
    """
    data = [(amounts(form, rows), latencies(rows)) for rows in boards]
    free = np.array([name not in (fixed or {}) for name in names_of(form)])
    first = Family(form, group, fixed or {}, _start(data) * free, np.full(len(free), MOST_SPREAD))
    return _improved(first, data, ROUNDS)


def learn_again(family: Family, boards: Sequence[Sequence[Row]]) -> Family:
    """`family` as it would be found in other rows of nearly the same boards and networks: a few rounds from where it was."""
    return _improved(family, [(amounts(family.form, rows), latencies(rows)) for rows in boards], AGAIN_ROUNDS)


def _improved(family: Family, data: Sequence[tuple[Floats, Floats]], rounds: int) -> Family:
    names = names_of(family.form)
    free = np.array([name not in family.fixed for name in names])
    for _ in range(rounds):
        found = []
        for matrix, measured in data:
            own = solve(names, matrix, measured, _settings(family, matrix, measured, {}))
            found.append(own / _factor(matrix @ family.typical, measured))
        stack = np.array(found)
        typical = np.maximum(stack.mean(axis=0), 1e-12) * free
        spread = np.clip(stack.std(axis=0) / np.maximum(typical, 1e-12), LEAST_SPREAD, MOST_SPREAD)
        family = dataclasses.replace(family, typical=typical, spread=spread)
    return family


def _start(data: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Coefficients of all boards together, each scaled to the first one's speed."""
    typical = np.full(data[0][0].shape[1], 1e-3)
    for _ in range(4):
        factors = [_factor(matrix @ typical, measured) for matrix, measured in data]
        relative = np.concatenate([matrix * f / measured[:, None] for (matrix, measured), f in zip(data, factors, strict=True)])
        typical = nnls(relative, np.ones(len(relative)))
    return typical


def _factor(predicted: Floats, measured: Floats) -> float:
    """What to multiply predictions with, for the least relative residuals."""
    relative = predicted / measured
    return float(relative.sum() / (relative @ relative))


def _settings(family: Family, matrix: Floats, measured: Floats, floor: dict[str, float]) -> Settings:
    names = names_of(family.form)
    of_group = np.array([family.group(name) for name in names])
    groups = range(int(of_group.max()) + 1)
    columns = np.stack([(matrix * family.typical * (of_group == g)).sum(axis=1) for g in groups], axis=1) / measured[:, None]
    common = _factor(matrix @ family.typical, measured)
    hold = np.sqrt(GROUP_RIDGE) * np.eye(len(groups))
    factors = nnls(np.concatenate([columns, hold / common]), np.concatenate([np.ones(len(measured)), hold.sum(axis=0)]))
    prior = dict(zip(names, (family.typical * factors[of_group]).tolist(), strict=True))
    spread = dict(zip(names, family.spread.tolist(), strict=True))
    return Settings(prior, NOISE**2, spread, floor, family.fixed, robust=True, outlier=OUTLIER)
