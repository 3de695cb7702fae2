"""A search alone as plots: what it judged, with the front it found and the true one where that is known, and how it got there."""

from collections.abc import Sequence
from html import escape

from nas.core.search_result import Judged, SearchResult
from nas.report import words
from nas.report.plot_style import BUDGET, CANDIDATE, GREY, Figure, axis, budget_marks, layout

DOTS = 5_000
"""Architectures that are drawn one by one, at most; of more, as many at even steps."""

_TRUTH = "#dd7f1e"


def search_plot(found: SearchResult) -> Figure:
    """Worth over the first cost among the objectives: everything judged, the front, the true front and the budget."""
    metric, front = found.objectives.costs[0], found.front
    within = [one for one in found.judged if one.within]
    over = [one for one in found.judged if not one.within]
    trade_off = len(found.objectives.names) == 2
    limit, far = found.budget.limits.get(metric), right_edge(found)
    left = min((_at(one, metric) for one in within), default=0.0)
    drawn = limit is not None and limit <= far
    margin = 0.05 * (far - left or far)
    data = [
        _dots(found, over[:: _step(over)], "over the budget", GREY, "circle-open", 0.55),
        _dots(found, within[:: _step(within)], "judged", CANDIDATE, "circle", 0.6),
        _true_front(found, trade_off),
        _front(found, front, metric, trade_off),
    ]
    quantity = escape(found.quantity)
    look = layout(480) | {
        "xaxis": axis(words.METRICS[metric]) | {"range": [max(0.0, left - margin), far + margin]},
        "yaxis": axis(quantity) | ({"tickformat": ".1%"} if found.share else {}),
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.06, "x": 0, "itemsizing": "constant"},
        "hovermode": "closest",
        **(budget_marks(limit, f"budget {_limit(metric, limit)}") if drawn and limit is not None else {}),
    }
    return {"data": [trace for trace in data if trace["x"]], "layout": look}


def right_edge(found: SearchResult) -> float:
    """Right end of the plot, in the unit of the first cost: all that is within the budget, and its limit unless that lies far beyond."""
    metric = found.objectives.costs[0]
    ends = [_at(one, metric) for one in found.judged if one.within] + ([point[1] for point in found.truth.front] if found.truth else [])
    limit = found.budget.limits.get(metric)
    far = max(ends, default=limit or 1.0)
    return max(far, limit) if limit is not None and limit <= 2 * far else far


def progress_plot(found: SearchResult, progress: Sequence[tuple[int, float]]) -> Figure:
    """The share of a hypervolume over evaluations, as a step line; nothing where there is no progress to show."""
    evaluations, shares = [number for number, _ in progress], [share for _, share in progress]
    data = {
        "type": "scatter",
        "mode": "lines",
        "name": "reached",
        "x": evaluations,
        "y": shares,
        "line": {"shape": "hv", "color": CANDIDATE, "width": 2.5},
        "hovertemplate": "%{y:.2%} after %{x} evaluations<extra></extra>",
        "showlegend": False,
    }
    whole = {"color": BUDGET, "width": 1.2, "dash": "dot"}
    look = layout(320) | {
        "xaxis": axis("evaluations") | {"rangemode": "tozero"},
        "yaxis": axis("share of hypervolume") | {"tickformat": ".0%", "range": [0.0, 1.04]},
        "shapes": [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": 1, "y1": 1, "line": whole}],
    }
    return {"data": [data] if len(progress) > 1 else [], "layout": look}


def _limit(metric: str, limit: float) -> str:
    return words.limit(limit) if metric == "latency" else words.cost(metric, limit)


def _at(one: Judged, metric: str) -> float:
    value = one.costs.value(metric)
    assert value is not None, "an objective is known of every architecture"
    return value


def _step(some: Sequence[Judged]) -> int:
    return max(1, -(-len(some) // DOTS))


def _dots(found: SearchResult, some: Sequence[Judged], name: str, colour: str, symbol: str, opacity: float) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [_at(one, found.objectives.costs[0]) for one in some],
        "y": [one.worth for one in some],
        "text": [_hover(found, one) for one in some],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": symbol, "size": 7, "color": colour, "opacity": opacity},
    }


def _front(found: SearchResult, front: Sequence[Judged], metric: str, trade_off: bool) -> Figure:
    """The front as a line of marks where it is one over the plotted cost, else as marks; the best is a star."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if trade_off else "markers",
        "name": "front of the search",
        "x": [_at(one, metric) for one in front],
        "y": [one.worth for one in front],
        "text": [_hover(found, one) for one in front],
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"shape": "hv", "color": "#3987c9", "width": 2},
        "marker": {
            "symbol": ["star" if one == found.best else "circle" for one in front],
            "size": [15 if one == found.best else 9 for one in front],
            "color": "#3987c9",
            "line": {"color": "rgba(255,255,255,0.9)", "width": 1},
        },
    }


def _true_front(found: SearchResult, trade_off: bool) -> Figure:
    points = found.truth.front if found.truth else ()
    return {
        "type": "scatter",
        "mode": "lines+markers" if trade_off else "markers",
        "name": "true front of the table within the budget",
        "x": [point[1] for point in points],
        "y": [point[0] for point in points],
        "hoverinfo": "skip",
        "line": {"shape": "hv", "color": _TRUTH, "width": 2, "dash": "dot"},
        "marker": {"symbol": "circle-open", "size": 13, "color": _TRUTH, "line": {"width": 1.5}},
    }


def _hover(found: SearchResult, one: Judged) -> str:
    known = [words.cost(metric, value) for metric in words.METRICS if (value := one.costs.value(metric)) is not None]
    learned = ", known from another run" if one.learned else ""
    made_of = escape(one.description).replace(" | ", "<br>")
    return (
        f"<b>{escape(one.name)}</b>{'' if one.within else ', over the budget'}{learned}<br>{escape(found.quantity)} "
        f"{words.worth(one.worth, found.share)}<br>{', '.join(known)}<br><br>{words.folded(made_of)}"
    )
