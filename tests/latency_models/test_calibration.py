import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles.table_file import NetworkTiming
from latency_models.calibration import calibrate, held_out_error, line
from nas.core.errors import MeasurementError


def networks(factor, offset_ms, noise=0.0, count=12, held_out=4, seed=0):
    random = np.random.default_rng(seed)
    sums = random.uniform(0.5, 3.0, count + held_out)
    truth = (factor * sums + offset_ms) * (1 + noise * random.standard_normal(count + held_out))
    return [NetworkTiming("s@1", int(1e6 * s), float(s), float(t), i >= count) for i, (s, t) in enumerate(zip(sums, truth, strict=True))]


@given(st.floats(0.2, 2.0), st.floats(0.0, 0.5))
def test_an_exact_line_is_found_and_its_interval_is_narrow(factor, offset_ms):
    measured = networks(factor, offset_ms)
    found = calibrate(measured)
    assert (found.factor, found.offset_ms) == pytest.approx((factor, offset_ms), abs=1e-6)
    assert found.low_factor == pytest.approx(1) and found.high_factor == pytest.approx(1)
    assert held_out_error(measured, found).mape_percent < 0.1


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0.01, 10)), min_size=2, max_size=20))
def test_no_line_predicts_less_than_nothing(points):
    x, y = (np.array(values) for values in zip(*points, strict=True))
    slope, intercept = line(x, y)
    assert slope >= 0 and intercept >= 0 and slope + intercept > 0


def test_the_confidence_is_what_the_number_of_networks_allows():
    few, many = calibrate(networks(1, 0.1, noise=0.05)), calibrate(networks(1, 0.1, noise=0.05, count=100))
    assert few.confidence == pytest.approx(11 / 13) and many.confidence == 0.95
    assert few.low_factor < 1 < few.high_factor


def test_the_interval_holds_as_often_as_it_says():
    held = []
    for seed in range(40):
        measured = networks(1, 0.1, noise=0.05, count=12, held_out=50, seed=seed)
        found = calibrate(measured)
        ratios = [n.measured_ms / (found.factor * n.sum_ms + found.offset_ms) for n in measured if n.held_out]
        held += [found.low_factor <= ratio <= found.high_factor for ratio in ratios]
    assert np.mean(held) == pytest.approx(11 / 13, abs=0.06)


def test_too_few_networks_are_refused():
    with pytest.raises(MeasurementError, match="a calibration needs 4 measured networks at least, got 3"):
        calibrate(networks(1, 0, count=3))
    with pytest.raises(MeasurementError, match="no measured network was held out"):
        held_out_error(networks(1, 0, held_out=0), calibrate(networks(1, 0, held_out=0)))


def test_the_error_stands_beside_that_of_macs_alone():
    measured = [NetworkTiming("s@1", macs, s, s, i >= 6) for i, (macs, s) in enumerate([(5, 1.0), (1, 2.0), (9, 3.0), (2, 4.0)] * 3)]
    found = held_out_error(measured, calibrate(measured))
    assert found.mape_percent == pytest.approx(0, abs=0.01) and found.baseline_mape_percent > 10 and found.rows == 6
