"""The report of a search alone, in a table or by a score: one HTML file that needs neither network nor server."""

from collections.abc import Sequence

from nas.core.pareto import spread
from nas.core.search_result import Judged, SearchResult
from nas.core.survey import WORDS as METRIC_NAMES
from nas.core.survey import percentage
from nas.report import words
from nas.report.html import template
from nas.report.search_plot import DOTS, progress_plot, right_edge, search_plot

PICKS = 10
"""Members of the front that the first table shows; the others are in one that folds."""

TERMS = ("Budget", "Pareto front", "MACs")
"""Of `words.TERMS`, those that the page uses."""

_HYPERVOLUME = (
    "How much a front dominates: of all trade-offs between the worst corner and the best imaginable, the part that something on the "
    "front is at least as good as. It rises whenever the front improves."
)
_GROWING = 0.1
"""Where the front improved within this last share of the evaluations, the page says that more may find more."""


def search_html(found: SearchResult) -> str:
    """The whole page. Every text of `found` is escaped, and the page may not load anything from elsewhere."""
    from plotly.offline import get_plotlyjs

    progress = found.progress()
    picks = _picks(found)
    origins = {**words.ORIGINS, "given": words.GIVEN}
    return template("search.html.j2").render(
        found=found,
        best=found.best,
        picks=picks,
        others=len(found.front) - len(picks),
        metrics=_metrics(found),
        conclusion=conclusion(found, progress),
        reached=words.reached(progress[-1][1]) if found.truth and progress else "",
        progress=progress,
        search_plot=search_plot(found),
        budget_drawn=found.budget.limits.get(found.objectives.costs[0], 0.0) <= right_edge(found),
        progress_plot=progress_plot(found, progress),
        every=max(1, -(-sum(one.within for one in found.judged) // DOTS)),
        names={metric: name for metric, (name, _) in METRIC_NAMES.items()},
        percentage=percentage,
        worth=words.worth,
        cost=words.cost,
        origins=origins,
        shown_origins=("given",) if found.origin == "given" else tuple(words.ORIGINS),
        terms={"Hypervolume": _HYPERVOLUME, **{term: words.TERMS[term] for term in TERMS}},
        plotly_js=get_plotlyjs(),
    )


def conclusion(found: SearchResult, progress: Sequence[tuple[int, float]]) -> tuple[str, ...]:
    """What came out, in sentences: how good the best is, how much of what can be had was had, and whether more may come."""
    said = []
    best, truth, spent = found.best, found.truth, found.evaluations
    if best and truth:
        lack = truth.best - best.worth
        said.append(
            f"It is the best of all {truth.within:,} rows within the budget."
            if lack <= 0
            else f"The best of all {truth.within:,} rows within the budget has {words.worth(truth.best, found.share)}, "
            f"{words.percent(lack, 2) if found.share else f'{lack:.2g}'} more."
        )
    members = f"{len(found.front)} {'architecture' if len(found.front) == 1 else 'architectures'}"
    if truth and progress:
        share, whole = progress[-1][1], len(truth.front)
        said.append(
            f"After {spent:,} evaluations the front has {members} and dominates {words.reached(share)} of what the true front does, "
            f"which has {whole}."
        )
    else:
        said.append(f"After {spent:,} evaluations the front has {members}.")
    if not found.countable:
        said.append("How much the front dominates is not shown: with so many members and objectives that takes too long to compute.")
    rises = [number for (number, share), (_, before) in zip(progress[1:], progress[:-1], strict=True) if share > before]
    if rises and rises[-1] > (1 - _GROWING) * spent and not (truth and progress[-1][1] >= 1 - 1e-9):
        said.append(f"It still grew at evaluation {rises[-1]:,}: more trials may find more.")
    elif rises:
        said.append(f"It last grew at evaluation {rises[-1]:,}.")
    return tuple(said)


def _picks(found: SearchResult) -> list[Judged]:
    """Members of the front at even steps of its first cost, the best among them."""
    metric = found.objectives.costs[0]
    chosen = spread(found.front, PICKS, lambda one: one.costs.value(metric) or 0.0)
    if found.best and found.best not in chosen:
        chosen = [*chosen[:-1], found.best]
    return [one for one in found.front if one in chosen]


def _metrics(found: SearchResult) -> tuple[str, ...]:
    """Costs beside the latency that are known of the front."""
    return tuple(name for name in words.METRICS if name != "latency" and any(one.costs.value(name) is not None for one in found.front))
