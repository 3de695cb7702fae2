"""Where the latency of each pick goes, block by block."""

import re
from html import escape

from nas.core.result import RunResult
from nas.report import words
from nas.report.choice import ranked
from nas.report.plot_style import GREY, Figure, axis, layout

_STAGES = ("#3987c9", "#1f9e74", "#dd7f1e", "#a06bd8", "#cc5f9e", "#b0a02c", "#4fb3bf")


def block_plot(result: RunResult) -> Figure:
    """One bar a pick: where its latency goes, block by block, coloured by stage."""
    bars = [(number, shown.latency) for number, shown in enumerate(ranked(result), start=1) if shown.latency]
    slots = list(dict.fromkeys(slot for _, latency in bars for slot, _ in latency.parts))
    slots.sort(key=_depth)
    stages = list(dict.fromkeys(stage_of(slot) for slot in slots if slot != "overhead"))
    data = []
    seen: set[str] = set()
    for slot in slots:
        rows = [(number, latency, dict(latency.parts)[slot]) for number, latency in bars if slot in dict(latency.parts)]
        stage = stage_of(slot)
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": stage,
                "legendgroup": stage,
                "showlegend": stage not in seen,
                "y": [f"Pick {number}" for number, _, _ in rows],
                "x": [part.ms for _, _, part in rows],
                "text": [
                    f"{words.milliseconds(part.ms)} ({words.percent(part.ms / latency.total.ms, 0)})<br>"
                    f"between {words.milliseconds(part.low_ms)} and {words.milliseconds(part.high_ms)}<br>{latency.origin}"
                    for _, latency, part in rows
                ],
                "textposition": "none",
                "hovertemplate": f"<b>%{{y}}, {escape(slot)}</b><br>%{{text}}<extra></extra>",
                "marker": {
                    "color": GREY if slot == "overhead" else _STAGES[stages.index(stage) % len(_STAGES)],
                    "line": {"color": "rgba(255,255,255,0.75)", "width": 1},
                },
            }
        )
        seen.add(stage)
    look = layout(max(260, 110 + 42 * len(bars))) | {
        "barmode": "stack",
        "xaxis": axis("latency of one image, ms") | {"rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "automargin": True, "ticksuffix": "  "},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        "hovermode": "closest",
    }
    return {"data": data, "layout": look}


def stage_of(slot: str) -> str:
    """The stage that a slot belongs to: "stage2" for "stage2_layer0"."""
    return slot.split("_layer")[0]


def _depth(slot: str) -> tuple[int, tuple[int, ...]]:
    """Sorts slots in the order in which an image passes them: "stage2_layer10" after "stage2_layer9"."""
    ends = {"overhead": 0, "stem": 1, "stem_pool": 2, "last_conv": 4, "head": 5}
    return ends.get(slot, 3), tuple(int(number) for number in re.findall(r"\d+", slot))
