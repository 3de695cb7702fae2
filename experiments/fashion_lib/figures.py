"""What the comparison found, as one value, as a table and as Markdown: pure functions of its results."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import mean
from typing import Any

from experiments.fashion_lib.entrants import SHARED

GOAL_PERCENT = 93.5
"""Test accuracy that the best pick is to reach."""
POINTS, TIMES = 0.3, 1.3
"""A pick is ahead of a peer by that many points of test accuracy, or by being that many times as fast with no more points behind."""

Row = Mapping[str, Any]


def networks(lines: Sequence[Row], times: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A row a network, in the order of `lines` (of `entrants.trained`): accuracies in percent are means over seeds, `ms` may be None."""
    rows: dict[str, dict[str, Any]] = {}
    for line in lines:
        same = ("key", "title", "pick", "start", "genes", "resolution", "macs", "params")
        row = rows.setdefault(line["key"], {name: line[name] for name in same} | {"validation_each": [], "test_each": [], "wrong_each": []})
        row["validation_each"].append(line["validation"])
        row["test_each"].append(line["test"])
        row["wrong_each"].append(line["wrong"])
    for key, row in rows.items():
        row |= {part: round(100 * mean(row[f"{part}_each"]), 3) for part in ("validation", "test")}
        row["ms"] = times.get(key)
    return list(rows.values())


def best(rows: Sequence[Row], start: str) -> Row | None:
    """The pick that begins with `start` and is best on validation images; None where none was trained."""
    ours = [row for row in rows if row["pick"] and row["start"] == start]
    return max(ours, key=lambda row: row["validation"], default=None)


def comparisons(rows: Sequence[Row], test_images: int) -> list[dict[str, Any]]:
    """The first pick, from scratch too, and the best one if that is another, each held against every peer.

    Peers have the multiply-accumulates of the first pick; `macs` is how many times a peer's our network has. `points` is how far
    its test accuracy is ahead in percentage points, and `error` the standard error of that over such images, for one seed; `times`
    is how many times as fast it is (None: not timed).
    """
    winner = best(rows, SHARED)
    found = []
    for ours in (row for row in rows if row["pick"] == 1 or row is winner):
        for peer in (row for row in rows if not row["pick"]):
            points = round(ours["test"] - peer["test"], 3)
            times = round(peer["ms"]["median"] / ours["ms"]["median"], 3) if ours["ms"] and peer["ms"] else None
            same = {"ours": ours["title"], "peer": peer["title"], "macs": round(ours["macs"] / peer["macs"], 3)}
            error = round(mean(map(partial(paired_error, images=test_images), ours["wrong_each"], peer["wrong_each"])), 3)
            found.append(same | {"points": points, "error": error, "times": times, "ahead": ahead(points, times)})
    return found


def paired_error(a: Sequence[int], b: Sequence[int], images: int) -> float:
    """Standard error, in percentage points, of the difference of two networks that were wrong on the images `a` and `b` of `images`.

    Only images on which one of them alone is wrong tell them apart. Source: McNemar 1947; the variance of a mean of differences.
    """
    one, other = len(set(a) - set(b)), len(set(b) - set(a))
    return 100 * math.sqrt(one + other - (one - other) ** 2 / images) / images


def ahead(points: float, times: float | None) -> bool:
    """Whether a pick that is `points` better and `times` as fast counts as ahead; see `POINTS`."""
    return points >= POINTS or (times is not None and times >= TIMES and points > -POINTS)


def document(found: Row, head: Row, lines: Sequence[Row], timed: tuple[Row, Mapping[str, Mapping[str, float]], int]) -> dict[str, Any]:
    """All that is known.

    Args:
        found: from `picking.read`.
        head: title of the trainings.
        lines: from `entrants.trained`.
        timed: title of the latencies, `times.figures` of them, and the number of rounds.
    """
    title, times, rounds = timed
    rows = networks(lines, times)
    winner = best(rows, SHARED)
    return {
        "trained_on": head,
        "search": {name: value for name, value in found.items() if name != "front"} | {"front_members": len(found["front"])},
        "latency": dict(title) | {"rounds": rounds} if title else None,
        "goal_percent": GOAL_PERCENT,
        "reached": bool(winner and winner["test"] >= GOAL_PERCENT and winner["macs"] <= found["max_macs"]),
        "networks": [{name: value for name, value in row.items() if name != "wrong_each"} for row in rows],
        "comparisons": comparisons(rows, head["test_images"]),
    }


HEADINGS = ("network", "starts from", "px", "M MACs", "M params", "validation %", "test %", "ms", "least to most")


def cells(row: Row) -> tuple[str, ...]:
    """One network as text, under `HEADINGS`."""
    ms = row["ms"]
    each = " (" + ", ".join(f"{100 * one:.2f}" for one in row["test_each"]) + ")" if len(row["test_each"]) > 1 else ""
    timed = (f"{ms['median']:.3f}", f"{ms['least']:.3f} to {ms['most']:.3f}") if ms else ("not timed", "")
    size = f"{row['macs'] / 1e6:.2f}", f"{row['params'] / 1e6:.3f}"
    return row["title"], row["start"], str(row["resolution"]), *size, f"{row['validation']:.2f}", f"{row['test']:.2f}{each}", *timed


def table(told: Row) -> Any:
    """The networks as a table for a terminal."""
    from rich.table import Table

    shown = Table(*HEADINGS)
    for row in told["networks"]:
        shown.add_row(*cells(row))
    return shown


def sentences(told: Row) -> list[str]:
    """What follows from the figures, in words."""
    limit, winner = told["search"]["max_macs"] / 1e6, best(told["networks"], SHARED)
    said = [
        "Picks begin with the shared weights of the supernet, the published networks with random ones: the supernet's training comes "
        "on top of the epochs in the table. A pick from scratch begins as its peers do."
    ]
    if winner:
        verdict = "reaches" if told["reached"] else "does not reach"
        said.append(
            f"{winner['title']}, the best on validation images, has {winner['test']:.2f} % test at {winner['macs'] / 1e6:.2f} M MACs "
            f"(limit {limit:g} M): it {verdict} {told['goal_percent']} %."
        )
    for one in told["comparisons"]:
        speed = "not timed" if one["times"] is None else f"{one['times']:.2f} times as fast"
        said.append(
            f"{one['ours']} against {one['peer']}: {one['points']:+.2f} points (standard error {one['error']:.2f}), {speed} "
            f"at {one['macs']:.2f} times its MACs: {'' if one['ahead'] else 'not '}ahead."
        )
    return said


def markdown(told: Row, when: str) -> str:
    """The figures as a page."""
    recipe = ", ".join(f"{name} {value:g}" for name, value in told["trained_on"]["recipe"].items())
    latency = told["latency"]
    clock = (
        f"Latency: one image, {latency['runtime']}, {latency['threads']} thread(s), median of {latency['rounds']} interleaved rounds "
        f"of the 10th percentile of undisturbed runs, on {latency['machine']}."
        if latency
        else "Nothing was timed yet."
    )
    lines = [
        "# Full Fashion-MNIST: a pick beside published networks of its size",
        "",
        f"{when}, `python -m experiments.fashion_mnist`. Images: {told['trained_on']['data']}. One recipe for all: {recipe}. Test images "
        "were looked at once, after training.",
        "",
        f"Search: {told['search']['evaluated']} networks of {told['search']['space']} evaluated with shared weights "
        f"({told['search']['strategy']}, {told['search']['objectives']}, at most {told['search']['max_macs'] / 1e6:g} M MACs).",
        "",
        clock,
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "---|" * len(HEADINGS),
        *("| " + " | ".join(cells(row)) + " |" for row in told["networks"]),
        "",
        *(f"- {sentence}" for sentence in sentences(told)),
    ]
    return "\n".join(lines) + "\n"
