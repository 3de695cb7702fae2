import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from latency_models import families, fitting
from latency_models.fitting import OVERHEAD, Row, Settings
from latency_models.kernel_forms import Form
from nas.core.errors import DataError
from nas.core.operators import Operator

FORM = Form(
    ("launch_ms", "mmac_ms", "mb_ms"),
    lambda operator: (operator,),
    lambda kernel: {"launch_ms": 1.0, "mmac_ms": kernel.macs / 1e6, "mb_ms": 4e-6 * (kernel.in_elements + kernel.out_elements)},
)
TRUTH = {OVERHEAD: 0.5, "launch_ms": 0.05, "mmac_ms": 0.02, "mb_ms": 0.1}


def networks(number, seed=0, noise=0.0, truth=TRUTH):
    random = np.random.default_rng(seed)
    found = []
    for i in range(number):
        layers = tuple(
            Operator("pointwise", int(random.integers(8, 300)), int(random.integers(8, 300)), 1, 1, int(random.integers(7, 60)), 14)
            for _ in range(random.integers(3, 30))
        )
        found.append(Row(f"net{i}", f"net{i}", layers, 1.0))
    exact = fitting.amounts(FORM, found) @ list(truth.values())
    return [Row(r.name, r.group, r.operators, float(ms * random.lognormal(0, noise))) for r, ms in zip(found, exact, strict=True)]


@given(rows=st.integers(1, 30), columns=st.integers(1, 12), seed=st.integers(0, 10_000), scale=st.sampled_from([1e-4, 1.0, 1e4]))
def test_nnls_is_as_good_as_that_of_scipy(rows, columns, seed, scale):
    random = np.random.default_rng(seed)
    matrix, target = scale * random.normal(size=(rows, columns)), random.normal(size=rows)
    found, other = fitting.nnls(matrix, target), scipy.optimize.nnls(matrix, target)[0]
    assert (found >= 0).all()
    assert np.linalg.norm(matrix @ found - target) <= np.linalg.norm(matrix @ other - target) * (1 + 1e-6) + 1e-9


def test_columns_of_zeros_get_zero():
    assert fitting.nnls(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([1.0, 2.0])) == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize("robust", [True, False])
def test_the_fit_finds_coefficients_that_it_is_given(robust):
    found = fitting.fit(FORM, networks(30), Settings(robust=robust))
    assert found.coefficients == pytest.approx(TRUTH, rel=1e-4)
    assert found.mape_percent < 0.01 < 1 < found.baseline_mape_percent and found.spearman == pytest.approx(1)


def test_the_fit_does_not_see_what_it_is_judged_by():
    rows = networks(25)
    odd = Row(rows[7].name, rows[7].group, rows[7].operators, 40 * rows[7].latency_ms)
    clean, dirty = (fitting.fit(FORM, [*rows[:7], row, *rows[8:]]) for row in (rows[7], odd))
    assert dirty.predicted_ms[7] == pytest.approx(clean.predicted_ms[7]) and dirty.measured_ms[7] == pytest.approx(
        40 * clean.measured_ms[7]
    )


def test_settings_may_follow_from_the_rows_that_are_seen():
    rows, asked = networks(20), []

    def settings(seen):
        asked.append({row.name for row in seen})
        return Settings()

    fitting.fit(FORM, rows, settings)
    every = {row.name for row in rows}
    assert sorted(len(every - seen) for seen in asked) == [0, *[1] * 20]


def test_floor_fixed_and_prior_hold():
    rows = networks(6, noise=0.05)
    matrix, measured = fitting.amounts(FORM, rows), fitting.latencies(rows)
    names = (OVERHEAD, *FORM.coefficients)
    low = fitting.solve(names, matrix, measured, Settings(floor={"mb_ms": 0.3}))
    assert low[3] >= 0.3
    fixed = fitting.solve(names, matrix, measured, Settings(fixed={"launch_ms": 0.2}))
    assert fixed[1] == 0.2
    pulled = fitting.solve(names, matrix, measured, Settings(prior=TRUTH, ridge=1e6, robust=False))
    assert pulled == pytest.approx(list(TRUTH.values()), rel=1e-3)
    held = Settings(prior={**TRUTH, "mb_ms": 1.0}, ridge=1.0, spread={"mb_ms": 1e-4}, robust=False)
    assert fitting.solve(names, matrix, measured, held)[3] == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("number", [25, 200])
def test_conformal_factors_hold_on_new_draws(number):
    random = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        low, high = fitting.conformal_factors(random.lognormal(0, 0.2, number))
        new = random.lognormal(0, 0.2, 100)
        inside.append(((new >= low) & (new <= high)).mean())
    assert 0.94 < np.mean(inside) < 0.985


def test_too_few_ratios_are_refused_or_lower_the_confidence():
    with pytest.raises(DataError, match="10 held-out measurements cannot bound"):
        fitting.conformal_factors(np.ones(10))
    assert fitting.fit(FORM, networks(10, noise=0.1)).confidence == 0.9


@pytest.mark.parametrize("number", [0, 1])
def test_one_group_is_not_enough(number):
    with pytest.raises(DataError, match="two groups"):
        fitting.fit(FORM, networks(number))


@pytest.mark.parametrize("latency_ms", [0.0, -1.0, float("nan"), float("inf")])
def test_a_latency_that_is_none_is_named(latency_ms):
    with pytest.raises(DataError, match="broken was measured as"):
        fitting.latencies([Row("broken", "a", (), latency_ms)])


@given(values=st.lists(st.integers(-5, 5), min_size=3, max_size=20), seed=st.integers(0, 99))
def test_spearman_is_that_of_scipy(values, seed):
    a = np.array(values, dtype=float)
    b = np.random.default_rng(seed).normal(size=len(a))
    if len(set(values)) > 1:
        assert fitting.spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)


def test_a_family_fills_in_what_a_board_with_few_networks_lacks():
    random = np.random.default_rng(3)
    truth = {OVERHEAD: 0.0, "launch_ms": 0.05, "mmac_ms": 0.02, "mb_ms": 0.1}

    def board(seed, number):
        speed = random.uniform(0.5, 3)
        own = {name: value * speed * random.lognormal(0, 0.05) for name, value in truth.items()}
        return own, networks(number, seed, 0.03, own)

    others = [board(seed, 20)[1] for seed in range(10, 18)]
    own, few = board(99, 3)
    family = families.learn(FORM, others, lambda name: 0, fixed={OVERHEAD: 0.0})
    names, test = families.names_of(FORM), networks(50, 7, 0.0, own)
    errors = [
        fitting.mape_percent(
            fitting.amounts(FORM, test) @ fitting.solve(names, fitting.amounts(FORM, few), fitting.latencies(few), settings),
            fitting.latencies(test),
        )
        for settings in (family.settings(few), Settings(fixed={OVERHEAD: 0.0}))
    ]
    assert errors[0] < 6 and errors[0] < errors[1]
    again = families.learn_again(family, others)
    assert again.typical == pytest.approx(family.typical, rel=0.05)
