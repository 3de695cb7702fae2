"""The plot of `search_quality.py`: what part of the true front's hypervolume each search still misses, as a page and as a picture.

The default is bold, searches of others are dotted, our other strategies thin and grey. The page needs no network; the picture needs
matplotlib, which only benchmarks need (`pip install -e .[benchmarks]`).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from nas.files import atomic_write

BOLD = "predictor_guided"
LEAST = 1e-4
"""Share below which a search is drawn as missing nothing."""
TICKS = {0.5: "50 %", 0.2: "20 %", 0.1: "10 %", 0.05: "5 %", 0.02: "2 %", 0.01: "1 %", 1e-3: "0.1 %", LEAST: "≤ 0.01 %"}
"""What is written at the vertical axis."""
_GREYS, _COLOURS = ("#b9bec6", "#a3a9b3", "#8d949f"), ("#dd7f1e", "#1f9e74", "#a06bd8", "#cc5f9e")
_MARKS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross", "X": "x", "*": "star"}
"""Markers that tell grey lines apart, as matplotlib and as plotly call them."""
_TITLE = "missing share of the true front's hypervolume"

Summary = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By problem and search: "shares" has low, middle and high quartile by number of evaluations, "seeds" how many runs there are, and
"fewer_seeds" how many of them at the numbers of evaluations that not all reached."""


@dataclass(frozen=True, slots=True)
class Line:
    """One search in one panel: what it misses (0 to 1) at `points` evaluations; `low` is the better quartile, `high` the worse."""

    name: str
    label: str
    points: tuple[int, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]
    colour: str
    width: float
    dotted: bool
    mark: str


def lines(front: Summary, problem: str, peers: Collection[str]) -> list[Line]:
    """The lines of a problem's panel, the default last, so that it lies on top; a search looks the same in every panel."""
    looks = _looks({name for searches in front.values() for name in searches}, peers)
    found = []
    for name, runs in sorted(front[problem].items(), key=_last_on_top(peers)):
        shares = runs["shares"].values()
        high, middle, low = (tuple(max(LEAST, 1.0 - quartiles[place]) for quartiles in shares) for place in range(3))
        colour, width, mark = looks[name]
        fewer = "".join(f", {count} at {point}" for point, count in runs.get("fewer_seeds", {}).items())
        label, points = f"{name} ({runs['seeds']} seeds{fewer})", tuple(map(int, runs["shares"]))
        found.append(Line(name, label, points, low, middle, high, colour, width, name in peers, mark))
    return found


def regret_lines(budgets: Summary, problem: str, peers: Collection[str]) -> list[Line]:
    """The same for what the best network found within each budget lacks, in points; not a number where nothing was found."""
    looks, found = _looks(budgets[problem], peers), []
    for name, runs in sorted(budgets[problem].items(), key=_last_on_top(peers)):
        low, middle, high = (tuple(float("nan") if one[at] is None else one[at] for one in runs["regrets"]) for at in range(3))
        colour, width, mark = looks[name]
        places = tuple(range(1, len(middle) + 1))
        found.append(Line(name, f"{name} ({runs['seeds']} seeds)", places, low, middle, high, colour, width, name in peers, mark))
    return found


def _last_on_top(peers: Collection[str]) -> Callable[[tuple[str, Any]], tuple[bool, bool, str]]:
    """Puts searches in the order in which they are drawn: ours, those of others, the default."""
    return lambda item: (item[0] == BOLD, item[0] in peers, item[0])


def _looks(names: Collection[str], peers: Collection[str]) -> dict[str, tuple[str, float, str]]:
    """Colour, width and marker of each search's line."""
    plain = sorted({*names} - {BOLD, *peers})
    looks = {name: (grey, 1.0, mark) for name, grey, mark in zip(plain, cycle(_GREYS), cycle(_MARKS), strict=False)}
    looks |= {name: (colour, 1.8, "o") for name, colour in zip(sorted(peers), cycle(_COLOURS), strict=False)}
    return {**looks, BOLD: ("#0b5fbf", 3.5, "o")}


def page(front: Summary, peers: Collection[str], path: Path) -> None:
    """Writes the plot as one HTML page that needs neither network nor server."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=max(1, len(front)), subplot_titles=list(front), shared_yaxes=True)
    shown: set[str] = set()
    for column, (problem, searches) in enumerate(front.items(), start=1):
        for line in lines(front, problem, peers):
            spread = {"type": "data", "symmetric": False, "thickness": 1, "width": 3, "color": line.colour}
            spread["array"] = [high - middle for high, middle in zip(line.high, line.middle, strict=True)]
            spread["arrayminus"] = [middle - low for middle, low in zip(line.middle, line.low, strict=True)]
            look = {"width": line.width, "dash": "dot" if line.dotted else "solid", "color": line.colour}
            trace = go.Scatter(x=line.points, y=line.middle, name=line.name, line=look, legendgroup=line.name, mode="lines+markers")
            trace.update(marker={"symbol": _MARKS[line.mark], "size": 5 + line.width})
            trace.update(showlegend=line.name not in shown, hovertemplate=f"{line.label}: %{{y:.3%}} after %{{x}}<extra></extra>")
            figure.add_trace(trace.update(error_y=spread) if line.name == BOLD or line.dotted else trace, 1, column)
            shown.add(line.name)
        figure.update_xaxes(title_text=f"evaluations, {problem}", type="log", tickvals=sorted(_points(searches)), row=1, col=column)
    figure.update_yaxes(type="log", tickvals=list(TICKS), ticktext=list(TICKS.values()))
    figure.update_yaxes(title_text=_TITLE, col=1)
    figure.update_layout(width=460 * max(1, len(front)) + 220, height=560, template="plotly_white")
    atomic_write(path, figure.to_html(include_plotlyjs=True))


def picture(front: Summary, peers: Collection[str], path: Path) -> None:
    """Writes the plot as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    count = max(1, len(front))
    figure = Figure(figsize=(4.2 * count + 2.6, 5.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    handles: dict[str, Any] = {}
    for axes, (problem, searches) in zip(panels, front.items(), strict=False):
        for line in lines(front, problem, peers):
            handles[line.name] = _draw(axes, line)
        axes.axhline(0.01, color="#d1495b", linewidth=1, linestyle="--", zorder=0)
        axes.set(title=problem, xlabel="evaluations", xscale="log", yscale="log")
        axes.set_xticks(sorted(_points(searches)), [str(point) for point in sorted(_points(searches))])
        axes.xaxis.set_minor_locator(NullLocator())
        _tidy(axes)
    panels[0].set_ylabel(_TITLE)
    panels[0].set_yticks(list(TICKS), list(TICKS.values()))
    panels[0].yaxis.set_minor_locator(NullLocator())
    _save(figure, handles, peers, path)


def regrets_picture(budgets: Summary, peers: Collection[str], path: Path) -> None:
    """Writes what the best network found within each of ten budgets lacks, as a PNG; a budget for which nothing was found has no mark."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.6), dpi=150, layout="constrained")
    axes, handles = figure.subplots(), {}
    for problem in budgets:
        for line in regret_lines(budgets, problem, peers):
            handles[line.name] = _draw(axes, line)
    axes.set_yscale("symlog", linthresh=0.05)
    axes.set_yticks([0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5], ["0", "0.05", "0.1", "0.2", "0.5", "1", "2", "5"])
    axes.set(title=", ".join(budgets), xlabel="budget, tightest first", ylabel="points below the best within it", ylim=(-0.01, None))
    _tidy(axes)
    _save(figure, handles, peers, path)


def _draw(axes: Any, line: Line) -> Any:
    """Draws the line, shaded between its quartiles if it is the default or of others; returns what a legend needs."""
    style = {"color": line.colour, "linewidth": line.width, "linestyle": ":" if line.dotted else "-", "zorder": 1 + line.width}
    (handle,) = axes.plot(line.points, line.middle, marker=line.mark, markersize=3.5 + line.width, **style)
    if line.name == BOLD or line.dotted:
        axes.fill_between(line.points, line.low, line.high, color=line.colour, alpha=0.15, linewidth=0)
    return handle


def _tidy(axes: Any) -> None:
    axes.grid(color="#e9ecf0")
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, handles: Mapping[str, Any], peers: Collection[str], path: Path) -> None:
    """Writes the figure with its legend: the default first, then searches of others."""
    order = sorted(handles, key=lambda name: (name != BOLD, name not in peers, name))
    figure.legend(
        [handles[name] for name in order], order, loc="outside right upper", frameon=False, fontsize=9, title="median (shaded: quartiles)"
    )
    unfinished = path.with_suffix(".unfinished.png")
    figure.savefig(unfinished)
    unfinished.replace(path)


def _points(searches: Mapping[str, Mapping[str, Any]]) -> set[int]:
    return {int(point) for found in searches.values() for point in found["shares"]}
