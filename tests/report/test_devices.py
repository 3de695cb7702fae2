"""The page and the data that compare devices: whole, escaped, self-contained, and the same figures everywhere."""

import io
import itertools
import json
from dataclasses import replace

import plotly.graph_objects
import pytest
from rich.console import Console

import search_spaces
from nas.comparing import ONE_FOR_ALL
from nas.core.budget import Costs
from nas.core.comparison import Comparison, Network, OnDevice
from nas.core.latency import ORIGINS
from nas.report import devices_json, devices_tables, write_devices
from nas.report.choice import answer
from nas.report.devices import cost_of_one
from nas.report.devices_html import devices_html
from nas.report.devices_plot import device_plots
from tests.report.samples import LOCAL, NANO, network_latency, network_macs, sample
from tests.report.test_html import Page

MODELS = {"jetson-nano": (NANO, 3.4, 1.0, 0.11), "local": (LOCAL, 0.04, 0.11, 0.04)}
SPACE = search_spaces.load("mobile_shuffle_32")


def compared(single=True, count=4) -> Comparison:
    """A run for a board and this machine: every pick of either, and one of the board's as the best single network."""
    results = {"jetson-nano": sample(picks=count), "local": sample(LOCAL, 0.6, picks=count)}
    picks = {pick.architecture.id: pick for result in results.values() for pick in result.picks}
    best = results["jetson-nano"].picks[1].architecture.id if single else ""
    networks = tuple(network(pick, results, best) for pick in picks.values())
    first = sorted(networks, key=lambda one: one.places["jetson-nano"].latency.total.ms)
    command = "python -m nas.search --device jetson-nano,local --budget 10ms,600us"
    return Comparison("two", command, results, tuple(first), best, 96, {"supernet": 60.0, "search": 100.0})


def network(pick, results, single) -> Network:
    spec = SPACE.network(pick.architecture, 1, 10)
    places = {}
    for name, result in results.items():
        profile, base, scale, width = MODELS[name]
        latency = network_latency(spec, profile.targets[0].target, profile.targets[0].origin, base, scale, width)
        costs = Costs(latency.total, 0.5, 0.1)
        own = next((one for one in result.picks if one.architecture == pick.architecture), None)
        made = pick if own is None and pick.architecture.id == single else None
        on_front = any(one.id == pick.architecture.id and one.on_front for one in result.candidates)
        folder = name if own else f"{ONE_FOR_ALL}/{name}" if made else ""
        places[name] = OnDevice(latency, costs, result.budget.verdict(costs), on_front, own is not None, own or made, folder)
    return Network(pick.architecture, pick.description, pick.resolution, network_macs(spec), pick.inherited_accuracy, places)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(devices_html(compared()))


def test_every_device_has_its_answer_and_a_way_to_its_own_report(page):
    for name, result in compared().results.items():
        shown = answer(result)
        assert shown and f"{100 * shown.step.test_accuracy:.1f} %" in page.text
        assert ("a", "href", f"{name}/report.html") in page.attributes
        assert ("a", "href", f"{name}/{shown.step.model}") in page.attributes
    assert page.tags["h1"] == 1 and "Networks for NVIDIA Jetson Nano and this machine" in page.text


def test_the_same_device_twice_has_two_titles():
    comparison = compared()
    twice = {name: replace(result, device=replace(result.device, title="A board")) for name, result in comparison.results.items()}
    assert "Networks for A board (jetson-nano) and A board (local)" in Page(devices_html(replace(comparison, results=twice))).text


def test_one_network_for_all_is_compared_with_each_device_s_own(page):
    comparison = compared()
    single = comparison.best_single
    assert single and f"is {single.id} , a pick of" in page.text
    for name, (own, shown) in cost_of_one(comparison).items():
        assert shown.pick.architecture.id == single.id and own == answer(comparison.results[name])
        change = 100 * (shown.step.test_accuracy - own.step.test_accuracy)
        assert f"{abs(change):.1f} pt" in page.text
        assert ("a", "href", f"{single.places[name].folder}/{shown.step.model}") in page.attributes
    assert "there is no single one to ship" in Page(devices_html(compared(single=False))).text


def test_every_network_stands_on_every_device_with_its_origin(page):
    comparison = compared()
    words = [word.replace("\N{NO-BREAK SPACE}", " ").strip() for word in page.words if word.strip()]
    assert sum(first.endswith(" ms") and second in ORIGINS for first, second in itertools.pairwise(words)) >= 2 * len(comparison.networks)
    for one in comparison.networks:
        assert one.id in page.text
        assert all(f"{place.latency.total.high_ms:.3g}"[:3] in page.text for place in one.places.values())
    assert any(place.fits is False for one in comparison.networks for place in one.places.values()) == ("over budget" in page.text)


def test_tables_have_captions_plots_have_words_and_nothing_is_loaded(page):
    assert page.tags["table"] == page.tags["caption"] >= 6 and page.tags["figure"] == page.tags["figcaption"] == 2
    links = [value or "" for _, name, value in page.attributes if name in ("src", "href", "data", "action")]
    assert links and not [value for value in links if "//" in value or ":" in value]
    assert [value for _, name, value in page.attributes if name == "content" and "default-src 'none'" in str(value)]


def filled(text: str) -> Comparison:
    """A run that says `text` wherever a person's or another program's words may stand."""
    comparison = compared()
    results = {
        f"{number}{text}": replace(
            result,
            data=text,
            space=text,
            findings=(text,),
            not_measured=(text,),
            device=replace(result.device, title=text),
            candidates=tuple(replace(one, description=text) for one in result.candidates),
        )
        for number, result in enumerate(comparison.results.values())
    }
    networks = tuple(
        replace(one, description=text, places=dict(zip(results, one.places.values(), strict=True))) for one in comparison.networks
    )
    return replace(comparison, name=text, command=text, results=results, networks=networks, seconds={text: 1.0})


def test_hostile_text_stays_text():
    evil = "</script><script>alert('x')</script><img src=x>\"&{{ 7 * 7 }}"
    found, plain = Page(devices_html(filled(evil))), Page(devices_html(filled("harmless")))
    assert found.tags == plain.tags
    assert not any("<script" in script.lower() for script in found.scripts[1:])
    assert evil in found.text and not [value for _, name, value in found.attributes if name == "href" and "<" in str(value)]


@pytest.mark.parametrize("single", [True, False])
def test_figures_are_what_plotly_understands_and_hold_every_front(single):
    comparison = compared(single)
    plots = device_plots(comparison)
    assert list(plots) == list(comparison.results)
    for name, figure in plots.items():
        plotly.graph_objects.Figure(figure)
        points = {trace["name"]: trace["x"] for trace in figure["data"]}
        latencies = {one.id: one.latency_ms for one in comparison.results[name].candidates if one.accuracy is not None}
        for other, result in comparison.results.items():
            members = [one.id for one in result.candidates if one.on_front and one.feasible and one.id in latencies]
            assert points.get(f"front of {other}", []) == sorted(latencies[one] for one in members)
        assert ("best single network" in points) == (single and comparison.single in latencies)
    assert len({tuple(figure["layout"]["yaxis"]["range"]) for figure in plots.values()}) == 1


def test_the_json_is_plain_and_says_what_the_page_says(tmp_path):
    comparison = compared()
    found = devices_json(comparison)
    write_devices(comparison, tmp_path)
    assert json.loads((tmp_path / "devices.json").read_text()) == json.loads(json.dumps(found))
    assert found["best_single"] == comparison.single and found["evaluations"] == 96
    assert [one["id"] for one in found["networks"]] == [one.id for one in comparison.networks]
    for name in comparison.results:
        assert found["devices"][name] == json.loads((tmp_path / name / "pareto.json").read_text())
        assert (tmp_path / name / "report.html").exists() and (tmp_path / name / "pareto.csv").exists()
    for told, one in zip(found["networks"], comparison.networks, strict=True):
        for name, place in one.places.items():
            assert told["on"][name]["latency_high_ms"] == place.latency.total.high_ms
            assert (told["on"][name]["model"] is None) == (place.pick is None)
    assert devices_json(compared(single=False))["best_single"] is None


@pytest.mark.parametrize("width", [80, 140])
def test_the_terminal_has_a_table_a_device_and_one_for_all(width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(devices_tables(compared()))
    text = console.export_text()
    assert text.count("picks for") == 2 and "The same networks on every device" in text
    assert all(one.id in text for one in compared().networks)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width and "…" not in text
