"""What the plots share: marks, colours and layout. Whatever depends on light or dark is left to the style sheet."""

from typing import Any

Figure = dict[str, Any]
"""A plotly figure, or a part of one, as plain values."""

MARKS = {
    "fp32": ("circle", "#3987c9"),
    "pruned": ("diamond", "#dd7f1e"),
    "int8": ("square", "#1f9e74"),
    "fp16": ("triangle-up", "#a06bd8"),
    "pruned_int8": ("cross", "#0f7f93"),
    "pruned_fp16": ("star", "#c2528f"),
}
"""Marker and colour of each version of a pick."""

_OTHER_MARK = ("pentagon", "#cc5f9e")
GREY = "#8b95a3"
CANDIDATE = "#7c9cc4"
BUDGET = "#d1495b"
_FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
_HOVER = {"bgcolor": "#20262e", "bordercolor": "#20262e", "font": {"color": "#f2f4f7", "size": 13, "family": _FAMILY}, "align": "left"}
_FONT = {"family": _FAMILY, "size": 13}


def mark(step_name: str) -> tuple[str, str]:
    """(plotly marker, colour) of a version; versions without their own share one."""
    return MARKS.get(step_name, _OTHER_MARK)


def layout(height: int) -> Figure:
    """What every plot looks like, `height` pixels high."""
    return {
        "height": height,
        "autosize": True,
        "font": _FONT,
        "hoverlabel": _HOVER,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 60, "r": 16, "t": 16, "b": 52},
        "dragmode": "zoom",
    }


def axis(title: str) -> Figure:
    """An axis with its title."""
    return {"title": {"text": title, "standoff": 10}, "zeroline": False, "showline": True, "automargin": True}


def budget_marks(limit: float, text: str) -> Figure:
    """What a layout has of a limit on the horizontal axis: a dashed line, and `text` above it."""
    line = {"color": BUDGET, "width": 1.6, "dash": "dash"}
    place = {"x": limit, "y": 1, "xref": "x", "yref": "paper", "xanchor": "center", "yanchor": "bottom", "showarrow": False}
    shape = {"type": "line", "xref": "x", "yref": "paper", "x0": limit, "x1": limit, "y0": 0, "y1": 1, "line": line}
    return {"shapes": [shape], "annotations": [place | {"text": text}]}
