"""The page that compares devices: one HTML file that needs neither network nor server, beside the complete report of each device."""

from collections.abc import Sequence
from dataclasses import dataclass

from nas.core.comparison import Comparison, Network, OnDevice
from nas.core.result import RunResult
from nas.report import words
from nas.report.choice import Headline, answer, headline, ranked, search_origin
from nas.report.devices import cost_of_one
from nas.report.devices_plot import colour, device_plots
from nas.report.html import template
from nas.report.plot_style import mark

TERMS = ("Accuracy", "Latency", "Budget", "Pareto front", "Shared weights")
"""Of `words.TERMS`, those that the page uses."""


@dataclass(frozen=True, slots=True)
class PickRow:
    """One pick of a device; `fits` is None where its latency is not known."""

    headline: Headline
    best: bool
    fits: bool | None


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device as the page shows it: `number` counts from 0, `best` is its own answer, None if no pick is within its budget.

    `title` is the device's own, with `name` where the same device is there twice.
    """

    name: str
    title: str
    number: int
    colour: str
    result: RunResult
    best: Headline | None
    picks: tuple[PickRow, ...]
    front: int
    origin: str


@dataclass(frozen=True, slots=True)
class OneForAll:
    """What the best single network would give up on a device, against the device's own answer."""

    name: str
    own: Headline
    single: Headline
    accuracy_delta: str
    latency_delta: str
    folder: str


@dataclass(frozen=True, slots=True)
class Place:
    """One network on one device, with the version to ship there where it was finished for it."""

    on: OnDevice
    shown: Headline | None


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """One network on every device."""

    network: Network
    single: bool
    places: tuple[Place, ...]


def devices_html(comparison: Comparison) -> str:
    """The whole page. Every text is escaped, and the page may not load anything from elsewhere."""
    from plotly.offline import get_plotlyjs

    plots = device_plots(comparison)
    titles = [result.device.title for result in comparison.results.values()]
    devices = tuple(_device(name, number, result, titles) for number, (name, result) in enumerate(comparison.results.items()))
    rows = tuple(_row(comparison, network) for network in comparison.networks)
    versions = dict.fromkeys(place.shown.step.name for row in rows for place in row.places if place.shown)
    return template("devices.html.j2").render(
        comparison=comparison,
        devices=devices,
        rows=rows,
        one_for_all=_one_for_all(comparison),
        single=comparison.best_single,
        findings=[(device.name, finding) for device in devices for finding in device.result.findings],
        plots=list(plots.values()),
        origins=words.ORIGINS,
        marks={name: mark(name)[1] for name in versions},
        terms={term: words.TERMS[term] for term in TERMS},
        seconds=_seconds(comparison),
        plotly_js=get_plotlyjs(),
    )


def _device(name: str, number: int, result: RunResult, titles: Sequence[str]) -> DeviceView:
    best, own = answer(result), result.device.title
    title = own if titles.count(own) == 1 else f"{own} ({name})"
    picks = tuple(PickRow(shown, shown == best, result.budget.verdict(shown.costs)) for shown in ranked(result))
    front = sum(one.on_front and one.feasible for one in result.candidates)
    return DeviceView(name, title, number, colour(number), result, best, picks, front, search_origin(result))


def _row(comparison: Comparison, network: Network) -> NetworkRow:
    places = tuple(Place(on, headline(on.pick) if on.pick else None) for on in network.places.values())
    return NetworkRow(network, network.id == comparison.single, places)


def _one_for_all(comparison: Comparison) -> tuple[OneForAll, ...]:
    single = comparison.best_single
    found = []
    for name, (own, shown) in cost_of_one(comparison).items():
        assert single is not None, "there is a cost of one only if there is one"
        accuracy = words.points(shown.step.test_accuracy, own.step.test_accuracy)
        latency = words.change(shown.latency.total.ms, own.latency.total.ms) if shown.latency and own.latency else ""
        found.append(OneForAll(name, own, shown, accuracy, latency, single.places[name].folder))
    return tuple(found)


def _seconds(comparison: Comparison) -> dict[str, float]:
    """Wall time by phase: what the devices share, and what was done for each."""
    own = {f"{phase}, {name}": seconds for name, result in comparison.results.items() for phase, seconds in result.seconds.items()}
    return {**comparison.seconds, **own}
