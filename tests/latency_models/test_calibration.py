import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles.table_file import NetworkTiming
from latency_models.calibration import calibrate, held_out_error, line, predicted_ms
from nas.core.errors import MeasurementError


def networks(factor, join_ms, cold=0.0, noise=0.0, count=12, held_out=4, seed=0):
    """Networks whose latency is `factor` x sum - `join_ms` x joins + `cold` ms for each MB of weights above 1, times noise."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(count + held_out):
        sum_ms, blocks, weights_mb = random.uniform(0.5, 3.0), int(random.integers(6, 20)), random.uniform(0.2, 3.0)
        truth = factor * sum_ms - join_ms * (blocks - 1) + cold * max(0.0, weights_mb - 1.0)
        truth *= 1 + noise * random.standard_normal()
        found.append(NetworkTiming("s@1", blocks, int(1e6 * sum_ms), weights_mb, sum_ms, truth, i >= count))
    return found


@given(st.floats(0.2, 2.0), st.floats(0.0, 0.004))
def test_exact_terms_are_found_and_their_interval_is_narrow(factor, join_ms):
    measured = networks(factor, join_ms)
    found = calibrate(measured)
    assert (found.factor, found.join_ms, found.cold_ms_per_mb) == pytest.approx((factor, join_ms, 0), abs=1e-6)
    assert found.low_factor == pytest.approx(1) and found.high_factor == pytest.approx(1)
    assert held_out_error(measured, found).mape_percent < 0.1


def test_weights_that_do_not_fit_the_cache_are_noticed():
    measured = networks(0.9, 0.002, cold=0.3, count=40, held_out=20)
    found = calibrate(measured)
    assert found.cached_mb == 1.0 and found.cold_ms_per_mb == pytest.approx(0.3, rel=1e-6)
    assert held_out_error(measured, found).mape_percent < 0.01


def test_no_cache_is_believed_in_where_none_shows():
    found = calibrate(networks(0.9, 0.002, noise=0.02, count=40))
    assert (found.cached_mb, found.cold_ms_per_mb) == (0.0, 0.0)


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0.01, 10)), min_size=2, max_size=20))
def test_no_line_predicts_less_than_nothing(points):
    x, y = (np.array(values) for values in zip(*points, strict=True))
    slope, intercept = line(x, y)
    assert slope >= 0 and intercept >= 0 and slope + intercept > 0


times = st.floats(0.001, 1.0)


@given(st.lists(st.tuples(times, times, st.integers(2, 20), st.floats(0.01, 3.0)), min_size=4, max_size=8))
def test_however_noisy_the_timings_the_bounds_are_on_either_side_of_the_prediction_and_above_zero(timings):
    found = calibrate([NetworkTiming("s@1", blocks, 1_000_000, mb, sum_ms, ms, False) for sum_ms, ms, blocks, mb in timings])
    assert 0 < found.low_factor <= 1 <= found.high_factor < np.inf and 0 < found.confidence < 1


def test_the_confidence_is_what_the_number_of_networks_allows():
    few, many = calibrate(networks(1, 0.001, noise=0.05)), calibrate(networks(1, 0.001, noise=0.05, count=100))
    assert few.confidence == pytest.approx(11 / 13) and many.confidence == 0.95
    assert few.low_factor < 1 < few.high_factor


@pytest.mark.parametrize(("count", "asked", "nominal"), [(12, 0.95, 11 / 13), (40, 0.95, 0.95), (40, 0.8, 0.8)])
def test_the_interval_holds_as_often_as_it_says(count, asked, nominal):
    held = []
    for seed in range(20):
        measured = networks(1, 0.001, noise=0.05, count=count, held_out=50, seed=seed)
        found = calibrate(measured, asked)
        unseen = [network for network in measured if network.held_out]
        ratios = np.array([network.measured_ms for network in unseen]) / predicted_ms(unseen, found)
        held += [found.low_factor <= ratio <= found.high_factor for ratio in ratios]
    assert np.mean(held) == pytest.approx(nominal, abs=0.06)


def test_too_few_networks_are_refused():
    with pytest.raises(MeasurementError, match="a calibration needs 4 measured networks at least, got 3"):
        calibrate(networks(1, 0, count=3))
    with pytest.raises(MeasurementError, match="no measured network was held out"):
        held_out_error(networks(1, 0, held_out=0), calibrate(networks(1, 0, held_out=0)))


def test_the_error_stands_beside_that_of_macs_alone():
    measured = networks(1, 0)
    shuffled = [dataclasses.replace(network, macs=1 + 7919 * i % 13) for i, network in enumerate(measured)]
    found = held_out_error(shuffled, calibrate(shuffled))
    assert found.mape_percent == pytest.approx(0, abs=0.01) and found.baseline_mape_percent > 10 and found.rows == 4
