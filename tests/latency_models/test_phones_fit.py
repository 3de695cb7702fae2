"""The five published devices: their figures recomputed from the measurements, and what their models say of our spaces."""

import json

import numpy as np
import pytest

import hardware_profiles
import latency_models
import search_spaces
from experiments import fit_phones
from latency_models import extremes
from latency_models.importers import public_networks
from nas.core.operators import Operator
from tests import shared_data

DEVICES = tuple(fit_phones.SOURCES)


@pytest.fixture(scope="module")
def result():
    return fit_phones.evaluate(shared_data.path("latency/pixel1_note10_blocks.csv").parent)


@pytest.fixture(scope="module")
def committed():
    return json.loads(fit_phones.RESULTS.read_text())


def leaves(tree, path=""):
    """Every figure of the results, by its path."""
    if not isinstance(tree, dict | list):
        yield path, tree
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from leaves(value, f"{path}/{key}")


@pytest.mark.slow
def test_the_committed_figures_are_those_of_the_data(result, committed):
    found, wanted = dict(leaves(json.loads(json.dumps(result)))), dict(leaves(committed))
    numbers = {key for key, value in wanted.items() if isinstance(value, float)}
    assert found.keys() == wanted.keys() and all(found[key] == wanted[key] for key in wanted.keys() - numbers)
    # another processor adds up in another order
    assert [found[key] for key in sorted(numbers)] == pytest.approx([wanted[key] for key in sorted(numbers)], rel=2e-3, abs=2e-4)


def test_profiles_hold_what_was_fitted(committed):
    for name, device in committed["devices"].items():
        profile = hardware_profiles.load(name)
        (found,) = (each for each in profile.targets if each.target.runtime == fit_phones.RUNTIMES[name])
        assert found.parameters["coefficients"] == device["coefficients"]
        assert found.error.mape_percent == device["held out"]["mape_percent"] and found.provenance.command == fit_phones.COMMAND


def test_errors_are_within_what_was_aimed_at(committed):
    devices = committed["devices"]
    alone = devices["pixel-1"]["blocks alone"]
    assert alone["mape_percent"] <= 8 and alone["spearman"] >= 0.995 and alone["networks"] == 22
    limits = {"galaxy-note10": 3, "pixel-1": 5, "pixel-3": 6, "raspberry-pi-4": 12, "snapdragon-855": 7}
    for name, limit in limits.items():
        held_out = devices[name]["held out"]
        assert held_out["mape_percent"] <= limit and held_out["mape_percent"] < 0.6 * held_out["macs_only_mape_percent"]
    assert devices["snapdragon-855"]["leave one network out"]["mape_percent"] <= 4.5


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("space", search_spaces.names())
def test_the_ends_of_a_space_are_priced(name, space):
    model = latency_models.load(hardware_profiles.load(name))
    found = search_spaces.load(space)
    fastest, slowest = (end(found, model, 3, 10)[1] for end in (extremes.fastest, extremes.slowest))
    assert 0.1 < fastest.total.ms < slowest.total.ms < 500
    for estimate in (fastest, slowest):
        assert estimate.total.low_ms < estimate.total.ms < estimate.total.high_ms < 2.1 * estimate.total.ms
        assert 0.3 < estimate.coverage <= 1
        assert estimate.origin == ("calibrated" if estimate.coverage >= 0.5 else "estimated")


@pytest.mark.parametrize("name", DEVICES)
def test_more_work_takes_longer(name):
    model = latency_models.load(hardware_profiles.load(name))

    def ms(network):
        return model.overhead.ms + sum(model.operator(operator).interval.ms for operator in public_networks.operators(network))

    sizes = [ms(f"mobilenet_v2-{width}@{resolution}") for width in (0.35, 0.75, 1.4) for resolution in (96, 160, 224)]
    assert sizes[0] == min(sizes) and sizes[-1] == max(sizes)
    assert ms("mobilenet_v3_small") < ms("mobilenet_v3_large") < ms("efficientnet_b0")
    assert ms("mobilenet_v3_large_minimalistic") < ms("mobilenet_v3_large")


def test_the_note10_was_never_seen_to_compute_an_exponential():
    """Its source has h-swish and hard sigmoids alone: swish has the wide bounds of a guess, and counts as none of the measured."""
    model = latency_models.load(hardware_profiles.load("galaxy-note10"))

    def price(name):
        return model.operator(Operator("activation", 64, 64, 1, 1, 28, 28, name))

    for name in ("hard_swish", "hard_sigmoid"):
        found = price(name)
        assert found.covered_ms == found.interval.ms > 0
    swish = price("swish")
    assert swish.covered_ms == 0 and swish.interval.high_ms == pytest.approx(2 * swish.interval.ms)
    assert swish.interval.ms > price("hard_swish").interval.ms


def test_profiles_cover_what_the_script_writes():
    for name, covers in fit_phones.COVERS.items():
        (found,) = (one for one in hardware_profiles.load(name).targets if one.target.runtime == fit_phones.RUNTIMES[name])
        assert list(found.parameters["covers"]) == covers


def test_names_of_paddle_networks():
    names = {
        "MobileNetV1": "mobilenet_v1",
        "MobileNetV3_large_x0_35": "mobilenet_v3_large-0.35",
        "ShuffleNetV2_swish": "shufflenet_v2_swish",
    }
    assert {name: fit_phones.paddle_name(name) for name in names} == names
    assert fit_phones.paddle_name("MobileNetV3_large_x1_0_int8") == "" and fit_phones.paddle_name("GhostNet_x1_3") == "ghostnet-1.3"


def test_scaling_is_by_the_median_ratio():
    rows = [fit_phones.Row(name, name, public_networks.operators(name), 1.0) for name in ("mobilenet_v1", "mobilenet_v2", "ghostnet")]
    base = dict.fromkeys(fit_phones.NAMES, 0.1)
    predicted = fit_phones.fitting.amounts(fit_phones.FORM, rows) @ fit_phones.values(base)
    assert fit_phones.scaled(base, rows)["launch_ms"] == pytest.approx(0.1 / np.median(predicted))


def test_targets_of_others_stay_in_a_profile():
    hand, measured = 'title = "board"\n\n', '\n[[targets]]\nruntime = "onnxruntime"\n'
    once = fit_phones.replaced(hand + fit_phones.MARK + "old\n" + fit_phones.END + measured, "new\n")
    assert once == hand + fit_phones.MARK + "new\n" + fit_phones.END + measured == fit_phones.replaced(once, "new\n")
    assert fit_phones.replaced(hand, "new\n") == hand + fit_phones.MARK + "new\n" + fit_phones.END
