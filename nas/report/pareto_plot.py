"""Accuracy against latency: every candidate of the search, and the picks in all their versions."""

from collections.abc import Mapping, Sequence
from html import escape

from nas.core.latency import LatencyEstimate
from nas.core.result import CandidateResult, RunResult, Step
from nas.report import words
from nas.report.choice import Headline, candidate_origin, ranked
from nas.report.plot_style import CANDIDATE, GREY, Figure, axis, budget_marks, layout, mark


def pareto_plot(result: RunResult) -> Figure:
    """Validation accuracy over latency: every candidate, the front of the search, the budget, and the picks' versions."""
    feasible = [c for c in result.candidates if c.feasible and c.accuracy is not None]
    over = [c for c in result.candidates if not c.feasible and c.accuracy is not None]
    unevaluated = [c for c in result.candidates if c.accuracy is None]
    front = sorted((c for c in feasible if c.on_front), key=lambda c: c.latency_ms)
    origins = {c.id: candidate_origin(result, c) for c in result.candidates}
    shown = ranked(result)
    data = [
        _unevaluated(unevaluated, origins),
        _dots(over, origins, "over budget", GREY, 0.55, "circle-open"),
        _dots(feasible, origins, "candidates (shared weights)", CANDIDATE, 0.7, "circle"),
        _front_line(front) if set(result.objectives) == {"accuracy", "latency"} else _front_marks(front),
        _journeys(shown),
        *(_versions(name, shown) for name in version_names(result)),
    ]
    right = right_edge(result)
    drawn = result.budget.latency_ms <= right
    look = layout(480) | {
        "xaxis": axis("latency of one image, ms") | {"range": [left_edge(result, right), right]},
        "yaxis": axis("validation accuracy") | {"tickformat": ".0%"},
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.06, "x": 0, "itemsizing": "constant"},
        "hovermode": "closest",
        **(budget_marks(result.budget.latency_ms, f"budget {words.limit(result.budget.latency_ms)}") if drawn else {}),
    }
    return {"data": [trace for trace in data if trace["x"]], "layout": look}


def version_names(result: RunResult) -> tuple[str, ...]:
    """Names of all versions, in the order in which the picks went through them."""
    return tuple(dict.fromkeys(step.name for pick in result.picks for step in pick.steps))


def right_edge(result: RunResult) -> float:
    """Right end of the plot in ms: all that is feasible, all versions, and the budget unless it lies far beyond."""
    ends = [c.latency_ms for c in result.candidates if c.feasible]
    ends += [step.latency.total.high_ms for pick in result.picks for step in pick.steps if step.latency]
    budget_ms = result.budget.latency_ms
    far = max(ends, default=budget_ms)
    if budget_ms > 2 * far:
        return 1.06 * far
    beyond = any(not c.feasible for c in result.candidates)
    return max(1.06 * far, (1.2 if beyond else 1.06) * budget_ms)


def left_edge(result: RunResult, right_ms: float) -> float:
    """Left end of the plot in ms: a little left of the fastest."""
    starts = [c.latency_ms for c in result.candidates]
    starts += [step.latency.total.low_ms for pick in result.picks for step in pick.steps if step.latency]
    first = min([*starts, right_ms])
    return max(0.0, first - 0.08 * (right_ms - first))


def _unevaluated(candidates: Sequence[CandidateResult], origins: Mapping[str, str]) -> Figure:
    """Ticks along the bottom: their latency is known, their accuracy is not."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "over budget, not evaluated",
        "yaxis": "y2",
        "x": [c.latency_ms for c in candidates],
        "y": [0.02] * len(candidates),
        "text": [_hover(c, origins[c.id]) for c in candidates],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": "line-ns-open", "size": 11, "color": GREY},
    }


def _dots(candidates: Sequence[CandidateResult], origins: Mapping[str, str], name: str, colour: str, opacity: float, symbol: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [c.latency_ms for c in candidates],
        "y": [c.accuracy for c in candidates],
        "text": [_hover(c, origins[c.id]) for c in candidates],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": symbol, "size": 7, "color": colour, "opacity": opacity},
    }


def _front_line(front: Sequence[CandidateResult]) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "front of the search",
        "x": [c.latency_ms for c in front],
        "y": [c.accuracy for c in front],
        "hoverinfo": "skip",
        "line": {"shape": "hv", "color": CANDIDATE, "width": 2},
    }


def _front_marks(front: Sequence[CandidateResult]) -> Figure:
    """The front of other objectives, which is no line over latency."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "front of the search",
        "x": [c.latency_ms for c in front],
        "y": [c.accuracy for c in front],
        "hoverinfo": "skip",
        "marker": {"symbol": "circle-open", "size": 12, "color": CANDIDATE, "line": {"width": 2}},
    }


def _journeys(shown: Sequence[Headline]) -> Figure:
    """Thin lines that join the versions of a pick; one trace, with gaps between the picks."""
    x: list[float | None] = []
    y: list[float | None] = []
    for one in shown:
        known = [step for step in one.pick.steps if step.latency]
        x += [step.latency.total.ms if step.latency else None for step in known] + [None]
        y += [step.validation_accuracy for step in known] + [None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "versions of one pick",
        "x": x if any(value is not None for value in x) else [],
        "y": y,
        "hoverinfo": "skip",
        "showlegend": False,
        "connectgaps": False,
        "line": {"color": GREY, "width": 1.2, "dash": "dot"},
    }


def _versions(name: str, shown: Sequence[Headline]) -> Figure:
    rows: list[tuple[int, Step, LatencyEstimate]] = []
    labels: list[str] = []
    for number, one in enumerate(shown, start=1):
        for step in one.pick.steps:
            if step.name == name and step.latency:
                rows.append((number, step, step.latency))
                labels.append(str(number) if name == one.latency_of else "")
    symbol, colour = mark(name)
    return {
        "type": "scatter",
        "mode": "markers+text",
        "text": labels,
        "textposition": "top center",
        "name": f"picks, {name} (fine-tuned)",
        "x": [latency.total.ms for _, _, latency in rows],
        "y": [step.validation_accuracy for _, step, _ in rows],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [latency.total.high_ms - latency.total.ms for _, _, latency in rows],
            "arrayminus": [latency.total.ms - latency.total.low_ms for _, _, latency in rows],
            "color": colour,
            "thickness": 1.2,
            "width": 3,
        },
        "customdata": [
            f"<b>Pick {number}, {escape(name)}</b><br>"
            f"{words.milliseconds(latency.total.ms)}, {latency.origin} ({words.bounds(latency)})<br>"
            f"validation {words.percent(step.validation_accuracy)}, test {words.percent(step.test_accuracy)}<br>"
            f"{words.count(step.macs)} MACs, {words.size(step.size_mb)}"
            for number, step, latency in rows
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
        "marker": {"symbol": symbol, "size": 11, "color": colour, "line": {"color": "rgba(255,255,255,0.9)", "width": 1}},
    }


def _hover(candidate: CandidateResult, origin: str) -> str:
    accuracy = "accuracy not evaluated" if candidate.accuracy is None else f"{words.percent(candidate.accuracy)} with shared weights"
    if candidate.rejected_after:
        accuracy += f" on the first {candidate.rejected_after} images, then stopped: another is better"
    spread = f"{words.milliseconds(candidate.latency_low_ms)} to {words.milliseconds(candidate.latency_high_ms)}"
    layers = escape(candidate.description).replace(" | ", "<br>")
    return (
        f"<b>{escape(candidate.id)}</b>{'' if candidate.feasible else ', over budget'}<br>{accuracy}<br>"
        f"{words.milliseconds(candidate.latency_ms)}, {origin} ({spread})<br>{words.count(candidate.macs)} MACs<br><br>{layers}"
    )
