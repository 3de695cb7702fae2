"""How well one ranking agrees with another, and the figures and the plot of the experiment: pure functions of its results."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
CONFIDENCE = 0.95
LEAST = 4
"""Networks below which no agreement is computed."""

Floats = npt.NDArray[np.float64]
Row = Mapping[str, Any]


def kendall(a: Floats, b: Floats) -> float:
    """Kendall's tau-b of two rankings (n,); not a number where one of them has a single value.

    Twenty times as fast as scipy's for the few networks of a resample. Source: Kendall 1945, the treatment of ties.
    """
    first, second = np.sign(np.subtract.outer(a, a)), np.sign(np.subtract.outer(b, b))
    ordered = float((first * first).sum()) * float((second * second).sum())
    return float((first * second).sum()) / ordered**0.5 if ordered else float("nan")


def joined(alone: Sequence[Row]) -> list[dict[str, Any]]:
    """A row a network, by MACs: `group`, `id`, `genes`, `macs`, and under `alone` the test accuracy of each seed, in order."""
    networks: dict[str, dict[str, Any]] = {}
    for line in sorted(alone, key=lambda line: (line["macs"], line["id"], line["seed"])):
        row = networks.setdefault(line["id"], {name: line[name] for name in ("group", "id", "genes", "macs")} | {"alone": []})
        row["alone"].append(line["test"])
    return list(networks.values())


def figures(rows: Sequence[Row], inherited: Mapping[str, Row]) -> dict[str, dict[str, Any]]:
    """Figures of one supernet for the networks over the range, those in the band, and all of them.

    Args:
        rows: from `joined`.
        inherited: lines of `shared.score` by id; networks that it lacks are left out.
    """
    known = [row for row in rows if row["id"] in inherited]
    groups = {"range": [row for row in known if row["group"] == "range"], "band": [row for row in known if row["group"] == "band"]}
    return {name: agreement(members, inherited) for name, members in (groups | {"all": known}).items() if len(members) >= LEAST}


def agreement(rows: Sequence[Row], inherited: Mapping[str, Row]) -> dict[str, Any]:
    """Figures over `rows`; each tau with the ends of its bootstrap interval over networks.

    `tau` is against the mean of the seeds. `tau_one_seed` is against single seeds, averaged: like `ceiling`, the tau between
    two seeds, it has the noise of a single training in it, so their quotient `of_ceiling` compares like with like.
    """
    seeds = min(len(row["alone"]) for row in rows)
    alone = np.array([row["alone"][:seeds] for row in rows], np.float64)
    test, raw, held = (np.array([inherited[row["id"]][name] for row in rows], np.float64) for name in ("test", "raw", "validation"))
    macs = np.array([row["macs"] for row in rows], np.float64)
    truth = alone.mean(axis=1)
    gaps = 100 * (truth - test)
    found: dict[str, Any] = {
        "networks": len(rows),
        "seeds": seeds,
        "alone_percent": _spread(100 * truth),
        "inherited_percent": _spread(100 * test),
        "gap_points": {"mean": _round(gaps.mean()), "least": _round(gaps.min()), "most": _round(gaps.max())},
        "tau": _interval(lambda at: kendall(test[at], truth[at]), len(rows)),
        "tau_validation": _interval(lambda at: kendall(held[at], truth[at]), len(rows)),
        "tau_macs": _interval(lambda at: kendall(macs[at], truth[at]), len(rows)),
        "tau_without_recalibration": _interval(lambda at: kendall(raw[at], truth[at]), len(rows)),
        "without_recalibration_percent": _spread(100 * raw),
        "seed_noise_points": None,
        "tau_one_seed": None,
        "ceiling": None,
        "of_ceiling": None,
    }
    if seeds >= 2:

        def one_seed(at: npt.NDArray[np.int64]) -> float:
            return mean(kendall(test[at], alone[at, seed]) for seed in range(seeds))

        def ceiling(at: npt.NDArray[np.int64]) -> float:
            return mean(kendall(alone[at, i], alone[at, j]) for i in range(seeds) for j in range(i))

        found["seed_noise_points"] = _round(100 * np.sqrt(alone.var(axis=1, ddof=1).mean()))
        found["tau_one_seed"] = _interval(one_seed, len(rows))
        found["ceiling"] = _interval(ceiling, len(rows))
        found["of_ceiling"] = _interval(lambda at: one_seed(at) / ceiling(at) if ceiling(at) > 0 else float("nan"), len(rows))
    return found


def _interval(statistic: Any, count: int) -> dict[str, float | None]:
    """`value` of a statistic of indices (count,), with `low` and `high` of `RESAMPLES` draws of them with replacement."""
    random = np.random.default_rng(0)
    drawn = np.array([statistic(random.integers(0, count, count)) for _ in range(RESAMPLES)])
    kept = drawn[np.isfinite(drawn)]
    low, high = np.quantile(kept, (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)) if len(kept) else (np.nan, np.nan)
    return {"value": _round(statistic(np.arange(count))), "low": _round(low), "high": _round(high)}


def _spread(values: Floats) -> dict[str, float | None]:
    return {"mean": _round(values.mean()), "least": _round(values.min()), "most": _round(values.max())}


def _round(value: float) -> float | None:
    """Four decimals; None for what is no number, which JSON has no word for."""
    return round(float(value), 4) if np.isfinite(value) else None


def plot(rows: Sequence[Row], inherited: Mapping[str, Row]) -> str:
    """A page with inherited over stand-alone accuracy, a point a network, with bars over the seeds."""
    import plotly.graph_objects as go

    from nas.report.plot_style import axis, layout

    figure = go.Figure(layout=layout(620))
    for group, colour in (("range", "#3987c9"), ("band", "#dd7f1e")):
        members = [row for row in rows if row["group"] == group and row["id"] in inherited]
        truth = [100 * mean(row["alone"]) for row in members]
        figure.add_scatter(
            name=f"{group} of MACs",
            x=truth,
            y=[100 * inherited[row["id"]]["test"] for row in members],
            error_x={"type": "data", "array": [100 * max(row["alone"]) - x for row, x in zip(members, truth, strict=True)], "thickness": 1},
            mode="markers",
            marker={"color": colour, "size": [6 + row["macs"] / 1e6 for row in members]},
            text=[f"{row['id']}, {row['macs'] / 1e6:.2f} M MACs" for row in members],
        )
    figure.update_layout(xaxis=axis("trained alone, % of test images (mean of the seeds)"), yaxis=axis("inherited, % of test images"))
    return str(figure.to_html(include_plotlyjs=True))


def table(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Any:
    """Figures by supernet and group as a table for a terminal."""
    from rich.table import Table

    shown = Table("supernet", "networks", "tau [95 %]", "one seed", "ceiling", "of it", "MACs alone", "no re-calibration", "gap, points")
    for name, groups in found.items():
        for group, one in groups.items():
            tau = one["tau"]
            others = ("tau_one_seed", "ceiling", "of_ceiling", "tau_macs", "tau_without_recalibration")
            values = ["" if one[key] is None else _show(one[key]["value"]) for key in others]
            interval = f"{_show(tau['value'])} [{_show(tau['low'])}, {_show(tau['high'])}]"
            shown.add_row(name, f"{group}, {one['networks']}", interval, *values, _show(one["gap_points"]["mean"]))
    return shown


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
