"""What was predicted of networks against what the device took for them."""

from html import escape

from nas.core.result import RunResult, TimedResult
from nas.report import words
from nas.report.plot_style import CANDIDATE, GREY, Figure, axis, layout

_MEASURED = "#1f9e74"
_REFITTED = "#dd7f1e"


def measured_plot(result: RunResult) -> Figure:
    """A line a network that was timed, by round: the predicted interval, the measured latency, and the fit to all others."""
    networks = ordered(result)
    rows = [f"{number}" for number in range(1, len(networks) + 1)]
    hover = [_hover(one) for one in networks]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "predicted, with bounds",
            "x": [one.predicted.ms for one in networks],
            "y": rows,
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [one.predicted.high_ms - one.predicted.ms for one in networks],
                "arrayminus": [one.predicted.ms - one.predicted.low_ms for one in networks],
                "color": CANDIDATE,
                "thickness": 2.5,
                "width": 4,
            },
            "marker": {"symbol": "line-ns-open", "size": 11, "color": CANDIDATE},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "the fit to all others",
            "x": [one.refitted_ms for one in networks],
            "y": rows,
            "marker": {"symbol": "diamond-open", "size": 8, "color": _REFITTED},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "measured",
            "x": [one.measured.ms for one in networks],
            "y": rows,
            "marker": {"symbol": "circle", "size": 8, "color": _MEASURED, "line": {"color": GREY, "width": 0.5}},
        },
    ]
    for trace in data:
        trace |= {"customdata": hover, "hovertemplate": "%{customdata}<extra></extra>"}
    look = layout(max(260, 120 + 24 * len(networks))) | {
        "xaxis": axis("latency of one image, ms"),
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "ticksuffix": "  "},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "itemsizing": "constant"},
        "hovermode": "closest",
    }
    return {"data": data if networks else [], "layout": look}


def ordered(result: RunResult) -> tuple[TimedResult, ...]:
    """The networks that were timed, in rounds and from fastest to slowest within each; () where none was."""
    networks = result.on_device.networks if result.on_device else ()
    return tuple(sorted(networks, key=lambda one: (one.round, one.measured.ms)))


def _hover(one: TimedResult) -> str:
    span = f"{words.milliseconds(one.predicted.low_ms)} to {words.milliseconds(one.predicted.high_ms)}"
    return (
        f"<b>{escape(one.id)}</b>, round {one.round}<br>predicted {words.milliseconds(one.predicted.ms)}, {one.origin} ({span})<br>"
        f"measured {words.milliseconds(one.measured.ms)} ({words.change(one.measured.ms, one.predicted.ms)})<br>"
        f"the fit to all others: {words.milliseconds(one.refitted_ms)}<br><br>" + escape(one.description).replace(" | ", "<br>")
    )
