"""A run for several devices as data and for the terminal: `devices.json`, which others script against, and tables."""

import dataclasses
from typing import TYPE_CHECKING, Any

from nas.core.comparison import Comparison, Network, OnDevice
from nas.report import words
from nas.report.choice import Headline, answer, headline
from nas.report.pareto import pareto_json
from nas.report.terminal import summary_table

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

SCHEMA = 1
"""Raised whenever a key changes its meaning or goes; new keys may come at any time."""

JsonObject = dict[str, Any]


def devices_json(comparison: Comparison) -> JsonObject:
    """What the run found for each device, and every network on all of them; the public interface of a run for several devices.

    `devices` has, by the name of its folder, what `pareto.json` there says; paths of models are relative to that folder. `networks`
    are all picks, what is on the fronts of several devices, and the best single network within all budgets (`best_single` is its id, null
    if there is none), the fastest on the first device first. `on` has each of them on every device: latency and costs predicted at the
    precision that the device was searched for, in milliseconds, megabytes (10^6 bytes) and millijoules (null where no power was measured),
    and, where it was finished for the device, its `version` to ship there with the file, relative to the run's folder, and its own
    accuracy. A network's own accuracies are those of its fp32 version after fine-tuning, null where it was not tuned;
    `inherited_accuracy` is that with shared weights, which ranks every network alike.
    """
    results = comparison.results.values()
    return {
        "schema": SCHEMA,
        "name": comparison.name,
        "command": comparison.command,
        "space": next(result.space for result in results),
        "data": next(result.data for result in results),
        "seed": next(result.seed for result in results),
        "evaluations": comparison.evaluations,
        "best_single": comparison.single or None,
        "on_several_fronts": [network.id for network in comparison.on_several_fronts],
        "devices": {name: pareto_json(result) for name, result in comparison.results.items()},
        "networks": [_network(network) for network in comparison.networks],
        "seconds": dict(comparison.seconds),
    }


def _network(network: Network) -> JsonObject:
    tuned = network.tuned.step("fp32") if network.tuned else None
    return {
        "id": network.id,
        "architecture": {
            "space": network.architecture.space,
            "genes": list(network.architecture.genes),
            "description": network.description,
            "resolution": network.resolution,
        },
        "macs": network.macs,
        "inherited_accuracy": network.inherited_accuracy,
        "validation_accuracy": tuned.validation_accuracy if tuned else None,
        "accuracy": tuned.test_accuracy if tuned else None,
        "pick_of": list(network.chosen_for),
        "on_front_of": list(network.on_fronts_of),
        "within_all_budgets": network.fits_all,
        "on": {name: _place(place) for name, place in network.places.items()},
    }


def _place(place: OnDevice) -> JsonObject:
    latency, costs = place.latency, place.costs
    shown = headline(place.pick) if place.pick else None
    return {
        "latency_ms": latency.total.ms,
        "latency_low_ms": latency.total.low_ms,
        "latency_high_ms": latency.total.high_ms,
        "latency_origin": latency.origin,
        "latency_confidence": latency.confidence,
        "latency_target": dataclasses.asdict(latency.target),
        "size_mb": costs.size_mb,
        "memory_mb": costs.memory_mb,
        "energy_mj": costs.energy_mj,
        "within_budget": place.fits,
        "on_front": place.on_front,
        "picked": place.chosen,
        "version": shown.step.name if shown else None,
        "model": f"{place.folder}/{shown.step.model}" if shown else None,
        "accuracy": shown.step.test_accuracy if shown else None,
        "validation_accuracy": shown.step.validation_accuracy if shown else None,
    }


def devices_tables(comparison: Comparison) -> "Group":
    """The tables of each device as its own run would show them, and then every network on all devices."""
    from rich.console import Group

    return Group(*(summary_table(result) for result in comparison.results.values()), _across(comparison))


def _across(comparison: Comparison) -> "Table":
    """One row for each network: accuracy after fine-tuning in fp32, and what it takes on every device."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text("The same networks on every device"),
        caption=Text("\n".join(_legend(comparison))),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("network", no_wrap=True)
    table.add_column("accuracy", justify="right", no_wrap=True)
    for name in comparison.results:
        table.add_column(name, justify="right", overflow="fold")
    for network in comparison.networks:
        single = network.id == comparison.single
        cells = [f"{'*' if single else ' '} {network.id}", accuracy_of(network), *(_cell(place) for place in network.places.values())]
        table.add_row(*map(Text, cells), style="bold" if single else None)
    return table


def _legend(comparison: Comparison) -> list[str]:
    single = comparison.best_single
    origins = ", ".join(
        f"{name}: {', '.join(dict.fromkeys(network.places[name].latency.origin for network in comparison.networks))}"
        for name in comparison.results
    )
    return [
        "accuracy of the fp32 version on test images after fine-tuning; ~ with shared weights, on validation images",
        f"latency predicted ({origins}), at most; p: a pick there, f: on the front there, !: not within the budget",
        f"* best single network within all budgets{'' if single else ': there is none'}",
    ]


def accuracy_of(network: Network) -> str:
    """On test images in fp32, as in "87.1 %"; "~71.3 %" with shared weights where the network was not tuned."""
    return words.percent(network.tuned.step("fp32").test_accuracy) if network.tuned else f"~{words.percent(network.inherited_accuracy)}"


def _cell(place: OnDevice) -> str:
    marks = ("p" if place.chosen else "") + ("f" if place.on_front else "") + ("" if place.fits else "!")
    return f"{words.milliseconds(place.latency.total.high_ms)} {marks:3}"


def cost_of_one(comparison: Comparison) -> dict[str, tuple[Headline, Headline]]:
    """What one network for all would give up, by device: the device's own answer, and the version of the single one to ship there.

    Only devices for which there are both.
    """
    single = comparison.best_single
    found = {}
    for name, result in comparison.results.items():
        own, pick = answer(result), single.places[name].pick if single else None
        if own and pick:
            found[name] = (own, headline(pick))
    return found
