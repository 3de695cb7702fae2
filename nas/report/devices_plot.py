"""The same networks on several devices: one panel a device, with the fronts of all of them in it."""

from collections.abc import Sequence
from html import escape

from nas.core.comparison import Comparison
from nas.core.result import CandidateResult, RunResult
from nas.report import words
from nas.report.choice import search_origin
from nas.report.pareto_plot import left_edge, right_edge
from nas.report.plot_style import BUDGET, CANDIDATE, GREY, Figure, axis, budget_marks, layout

DEVICES = ("#3987c9", "#dd7f1e", "#1f9e74", "#a06bd8", "#cc5f9e", "#b0a02c")
"""Colours of the devices' fronts, in their order; the first again after the last."""

_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "pentagon", "hexagon")


def device_plots(comparison: Comparison) -> dict[str, Figure]:
    """A figure for each device: validation accuracy with shared weights over its latency, with one range of accuracies for all."""
    fronts = {name: _front(result) for name, result in comparison.results.items()}
    values = [one.accuracy for result in comparison.results.values() for one in result.candidates if one.accuracy is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.05 * (high - low) or 0.01
    return {name: _panel(comparison, name, fronts, (low - margin, high + margin)) for name in comparison.results}


def colour(number: int) -> str:
    """Colour of the device of that number, from 0."""
    return DEVICES[number % len(DEVICES)]


def _panel(comparison: Comparison, name: str, fronts: dict[str, set[str]], accuracies: tuple[float, float]) -> Figure:
    result = comparison.results[name]
    origin = search_origin(result)
    scored = [one for one in result.candidates if one.accuracy is not None]
    data = [
        _dots([one for one in scored if not one.feasible], origin, "over budget here", GREY, "circle-open", 6),
        _dots([one for one in scored if one.feasible], origin, "candidates (shared weights)", CANDIDATE, "circle", 6),
    ]
    for number, (other, front) in enumerate(fronts.items()):
        members = sorted((one for one in scored if one.id in front), key=lambda one: one.latency_ms)
        symbol = _SYMBOLS[number % len(_SYMBOLS)]
        trace = _dots(members, origin, f"front of {other}", colour(number), symbol if other == name else f"{symbol}-open", 10)
        if other == name:
            trace |= {"mode": "lines+markers", "line": {"shape": "hv", "color": colour(number), "width": 2}}
        data.append(trace)
    single = [one for one in scored if one.id == comparison.single]
    data.append(_dots(single, origin, "best single network", BUDGET, "star", 15))
    right = right_edge(result)
    budget_ms = result.budget.latency_ms
    look = layout(400) | {
        "xaxis": axis(f"latency on {escape(name)}, ms") | {"range": [left_edge(result, right), right]},
        "yaxis": axis("validation accuracy") | {"tickformat": ".0%", "range": list(accuracies)},
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0, "itemsizing": "constant"},
        "hovermode": "closest",
        **(budget_marks(budget_ms, f"budget {words.limit(budget_ms)}") if budget_ms <= right else {}),
    }
    look["margin"] = look["margin"] | {"t": 28}
    return {"data": [trace for trace in data if trace["x"]], "layout": look}


def _front(result: RunResult) -> set[str]:
    return {one.id for one in result.candidates if one.on_front and one.feasible}


def _dots(candidates: Sequence[CandidateResult], origin: str, name: str, colour: str, symbol: str, size: int) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": [one.latency_ms for one in candidates],
        "y": [one.accuracy for one in candidates],
        "text": [_hover(one, origin) for one in candidates],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": symbol, "size": size, "color": colour, "opacity": 0.6 if size < 10 else 1.0},
    }


def _hover(candidate: CandidateResult, origin: str) -> str:
    spread = f"{words.milliseconds(candidate.latency_low_ms)} to {words.milliseconds(candidate.latency_high_ms)}"
    stopped = f" on the first {candidate.rejected_after} images" if candidate.rejected_after else ""
    return (
        f"<b>{escape(candidate.id)}</b>{'' if candidate.feasible else ', over budget here'}<br>"
        f"{words.percent(candidate.accuracy or 0.0)} with shared weights{stopped}<br>"
        f"{words.milliseconds(candidate.latency_ms)}, {origin} ({spread})<br>{words.count(candidate.macs)} MACs"
    )
