"""The picks, or the front of a search alone, as a table for the terminal."""

from typing import TYPE_CHECKING

from nas.core.result import RunResult
from nas.core.search_result import SearchResult
from nas.report import words
from nas.report.choice import answer, ranked

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table


_GENES = 42
"""Columns of a terminal up to which genes are shown beside their figures; where they take more, a row is named by its line."""


def summary_table(result: RunResult) -> "Group":
    """The picks, from fastest to slowest, in two tables that fit 80 columns: what each is worth, and what it needs."""
    from rich.console import Group

    return Group(_worth(result), _needs(result))


def _needs(result: RunResult) -> "Table":
    """One row for each pick: parameters and memory of its recommended version, its energy, and the file of every version."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=Text("peak memory: of the activations of one image, predicted"))
    for heading in ("pick", "params", "peak memory", "energy"):
        table.add_column(heading, no_wrap=True, justify="left" if heading == "pick" else "right")
    table.add_column("files")
    for shown in ranked(result):
        step = shown.step
        files = ", ".join(f"{one.name} {words.size(one.size_mb)}" for one in shown.pick.steps)
        memory, energy = words.memory(step.memory_mb), words.energy(shown.costs.energy_mj)
        table.add_row(*map(Text, (f"  {shown.pick.architecture.id}", words.count(step.params), memory, energy, files)))
    return table


def _worth(result: RunResult) -> "Table":
    """One row for each pick: accuracy and latency of its recommended version."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    best = answer(result)
    ship = f"* ship first: {best.step.model}" if best else "no pick is known to be within the budget"
    table = Table(
        title=Text(f"{len(result.picks)} picks for {result.device.name} within {words.limits(result.budget)}"),
        caption=Text(f"searched for {result.target}\naccuracy on test images, bounds in ms\n{ship}"),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in ("pick", "version"):
        table.add_column(heading, no_wrap=True)
    for heading in ("accuracy", "latency", "bounds", "size"):
        table.add_column(heading, justify="right", no_wrap=heading != "bounds")
    table.add_column("origin", min_width=len("calibrated"))
    for shown in ranked(result):
        step, latency = shown.step, shown.latency
        stand_in = f" for {shown.latency_of}" if shown.latency_of != step.name else ""
        cells = (
            f"{'*' if shown == best else ' '} {shown.pick.architecture.id}",
            step.name,
            words.percent(step.test_accuracy),
            words.milliseconds(latency.total.ms) if latency else "unknown",
            words.bounds(latency).removesuffix(" ms") if latency else "",
            words.size(step.size_mb),
            latency.origin + stand_in if latency else "",
        )
        table.add_row(*map(Text, cells), style="bold" if shown == best else None)
    return table


def found_table(found: SearchResult) -> "Table":
    """The front of a search alone, from the least first cost to the most, the best marked; what was judged, and how far it got."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    bounded = any(one.costs.latency and one.costs.latency.high_ms > one.costs.latency.ms for one in found.front)
    metrics = [name for name in words.METRICS if name != "latency" and name in {*found.objectives.costs, *found.budget.limits}]
    reached, trust = found.reached(), " ".join(found.trust)
    shared = f"; {words.reached(reached)} of the true front's hypervolume" if reached is not None else ""
    given = "given by the table" if found.origin == "given" else found.origin
    table = Table(
        title=Text(f"{found.title} within {words.limits(found.budget)}"),
        caption=Text(f"* best of {found.evaluations:,} evaluated within the budget{shared}\nlatencies {given}. {trust}"),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in ("latency", *(["at most"] if bounded else []), found.quantity, *metrics):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    widths = [max(map(len, column)) + 1 for column in zip(found.genes, *(one.genes for one in found.front), strict=True)]
    genes = found.genes if sum(widths) <= _GENES else ()
    for gene in genes or ("row" if found.genes else "architecture",):
        table.add_column(Text(gene), no_wrap=True)
    for one in found.front:
        assert one.costs.latency is not None, "whatever is judged is priced"
        times = [f"{'*' if one == found.best else ' '} {words.milliseconds(one.costs.latency.ms)}"]
        times += [words.milliseconds(one.costs.latency.high_ms)] if bounded else []
        others = [words.cost(name, value) if (value := one.costs.value(name)) is not None else "" for name in metrics]
        cells = [*times, words.worth(one.worth, found.share), *others, *(one.genes if genes else (one.name,))]
        table.add_row(*map(Text, cells), style="bold" if one == found.best else None)
    return table
