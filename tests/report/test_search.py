"""The page of a search alone: whole, escaped, self-contained, and honest about what is known of the space."""

import io
from dataclasses import replace

import numpy as np
import plotly.graph_objects
import pytest
from rich.console import Console

from nas.core import search_result, survey
from nas.core.budget import Budget, Costs
from nas.core.latency import Interval
from nas.core.objectives import Objectives
from nas.core.search_result import Judged, SearchResult, Truth
from nas.report import found_table, search_html, write_found
from nas.report.search_html import conclusion
from nas.report.search_plot import DOTS, progress_plot, right_edge, search_plot
from tests.report.test_html import Page

HEADINGS = (
    *("The answer", "Know before you use it", "The trade-off", "The picks", "How it got there", "What the space costs"),
    *("How far to trust the figures", "Words used here", "How to repeat it"),
)


def judged(number: int, worth: float, ms: float, size_mb: float = 1.0, **others) -> Judged:
    return Judged(
        f"line {number}", (f"conv{number}", "8"), f"op=conv{number}, width=8", worth, Costs(Interval(ms, ms, ms), size_mb), **others
    )


def table(names: tuple[str, ...] = ("accuracy", "latency"), budget: Budget | None = None, known: bool = True) -> SearchResult:
    """A search in a table in which latency buys accuracy, with what was judged beyond the budget in it."""
    rng, objectives, budget, count = np.random.default_rng(0), Objectives(names), budget or Budget(6.0), 40
    rows = [
        judged(number, 60 + 3 * ms + rng.normal(), ms, float(rng.uniform(1, 5)), within=ms <= budget.latency_ms)
        for number, ms in enumerate(rng.uniform(1, 9, count), start=2)
    ]
    within = [one for one in rows if one.within]
    front = objectives.front(within, lambda one: one.worth, lambda one: one.costs)
    best = max(front, key=lambda one: one.worth)
    truth = Truth(900, tuple((one.worth + 0.5, *objectives.of(one.costs)) for one in front), best.worth + 0.5)
    costs = {"latency": np.array([one.costs.latency.ms for one in rows]), "size": np.array([one.costs.size_mb for one in rows])}
    return SearchResult(
        name="a-run",
        title="The table some.csv",
        lead="A search in a table.",
        space="some@01234567",
        quantity="accuracy",
        share=False,
        origin="given",
        budget=budget,
        objectives=objectives,
        strategy="predictor_guided",
        trials=count,
        seed=3,
        genes=("op", "width"),
        judged=tuple(rows),
        front=tuple(front),
        best=best,
        corner=(59.0, *(budget.limits.get(name, 5.0) for name in objectives.costs)),
        truth=truth if known else None,
        survey=survey.of(costs, budget, whole=known),
        remarks=("The budget is a guess",),
        trust=("Accuracies are in the table's own unit.",),
        seconds={"search": 1.5},
        environment={"python": "3.11"},
        command="python -m nas.search --space tabular:some.csv --budget 6ms",
    )


def scored() -> SearchResult:
    """The same as a search by a prediction, with intervals and without genes of its own."""
    found = table(known=False)

    def predicted(one: Judged) -> Judged:
        ms = one.costs.latency.ms
        costs = replace(one.costs, latency=Interval(ms, 0.8 * ms, 1.2 * ms), macs=5e6)
        return replace(one, genes=(), worth=one.worth / 100, costs=costs, bounds=(one.worth / 100 - 0.01, one.worth / 100 + 0.01))

    own = {"quantity": "predicted ImageNet top-1", "share": True, "origin": "calibrated", "genes": (), "corner": (0.5, 6.0)}
    front = tuple(map(predicted, found.front))
    return replace(found, **own, judged=tuple(map(predicted, found.judged)), front=front, best=predicted(found.best))


def test_every_section_is_there_and_every_member_of_the_front_with_its_figures():
    found = table()
    page = Page(search_html(found))
    assert page.tags["h1"] == 1 and page.tags["h2"] == len(HEADINGS) and all(heading in page.text for heading in HEADINGS)
    for one in found.front:
        assert one.name in page.text and f"{one.worth:.5g}" in page.text and all(gene in page.text for gene in one.genes)
    assert page.tags["table"] == page.tags["caption"] and page.tags["figure"] == page.tags["figcaption"] == 2
    assert all(text in page.text for text in (found.command, found.lead, "The budget is a guess.", *found.trust, found.space))
    assert "given by the table" in page.text and f"{found.truth.best:.5g} is the most there is" in page.text
    assert "measured" not in page.text, "what a table says of itself has no origin of ours"


def test_nothing_is_loaded_and_hostile_text_stays_text(tmp_path):
    evil = "</script><script>alert('x')</script><img src=x>\"&{{ 7 * 7 }}"

    def filled(text: str) -> SearchResult:
        words = ("name", "title", "lead", "space", "quantity", "strategy", "command")
        rows = {one: replace(one, name=text, genes=(text, text), description=f"{text}, {text}") for one in table().judged}
        found = replace(table(), **dict.fromkeys(words, text), genes=(text, text), remarks=(text,), trust=(text,), seconds={text: 1.0})
        front = tuple(rows[one] for one in found.front)
        return replace(found, judged=tuple(rows.values()), front=front, best=rows[found.best], environment={text: text})

    write_found(filled(evil), tmp_path)
    page, plain = Page((tmp_path / "report.html").read_text()), Page(search_html(filled("harmless")))
    assert page.tags == plain.tags and evil in page.text
    assert not any("<script" in script.lower() for script in page.scripts[1:])
    links = [value or "" for _, name, value in page.attributes if name in ("src", "href", "data", "action")]
    assert links and not [value for value in links if "//" in value or ":" in value or "<" in value]
    assert [value for _, name, value in page.attributes if name == "content" and "default-src 'none'" in str(value)]


def test_a_prediction_has_its_bounds_and_origin_and_no_true_front():
    found = scored()
    page = Page(search_html(found)).text
    assert f"{100 * found.best.worth:.2f} %" in page and "(90 %)" in page and "calibrated" in page and "upper bound" in page
    assert "true front" not in page and "hypervolume at the end of the search" in page and "M MACs" in page
    assert found.reached() is None and found.progress()[-1][1] == 1.0


@pytest.mark.parametrize("names", [("accuracy", "latency"), ("accuracy", "size"), ("latency", "accuracy", "size")])
def test_figures_are_what_plotly_understands_and_hold_all_points(names):
    found = table(names)
    figure, metric = search_plot(found), found.objectives.costs[0]
    plotly.graph_objects.Figure(figure), plotly.graph_objects.Figure(progress_plot(found, found.progress()))
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert traces["judged"]["y"] == [one.worth for one in found.judged if one.within]
    assert traces["over the budget"]["y"] == [one.worth for one in found.judged if not one.within]
    assert traces["front of the search"]["x"] == [one.costs.value(metric) for one in found.front]
    assert traces["true front of the table within the budget"]["y"] == [worth for worth, *_ in found.truth.front]
    assert ("line" in traces["front of the search"]["mode"]) == (len(names) == 2)
    assert ("shapes" in figure["layout"]) == (metric == "latency")
    assert traces["front of the search"]["marker"]["symbol"].count("star") == 1


def test_a_budget_far_away_is_not_drawn_and_many_dots_are_thinned():
    far = table(budget=Budget(1000.0))
    assert right_edge(far) < 10 and "shapes" not in search_plot(far)["layout"]
    assert "The budget lies beyond the right edge" in Page(search_html(far)).text
    many = replace(far, judged=far.judged * 300)
    dots = next(trace for trace in search_plot(many)["data"] if trace["name"] == "judged")
    assert DOTS / 2 < len(dots["x"]) <= DOTS and "of the dots one in 3 is drawn" in Page(search_html(many)).text.lower()


def test_the_conclusion_says_what_is_missing_and_whether_more_may_come(monkeypatch):
    found = table()
    whole = replace(found, truth=Truth(900, tuple((one.worth, one.costs.latency.ms) for one in found.front), found.best.worth))
    best, reached, *_ = conclusion(whole, whole.progress())
    assert best == "It is the best of all 900 rows within the budget." and "dominates 100 % of what" in reached
    best, reached, *_ = conclusion(found, found.progress())
    assert best.endswith(f"has {found.best.worth + 0.5:.5g}, 0.5 more.") and "100 %" not in reached
    assert conclusion(found, [(1, 0.5), (found.evaluations, 0.9)])[-1].endswith("more trials may find more.")
    assert conclusion(found, [(1, 0.5), (2, 0.9), (found.evaluations, 0.9)])[-1] == "It last grew at evaluation 2."
    assert not any("is not shown" in one for one in conclusion(found, found.progress()))
    monkeypatch.setattr(search_result, "COUNTABLE", 3.0)
    assert found.progress() == () and found.reached() is None and "is not shown" in conclusion(found, ())[-1]


def test_nothing_within_the_budget_is_a_page():
    found = table()
    rows = tuple(replace(one, within=False) for one in found.judged)
    page = Page(search_html(replace(found, judged=rows, front=(), best=None, truth=None, remarks=(), seconds={}, environment={})))
    assert "There is no answer" in page.text and "The picks" not in page.text and "How it got there" not in page.text


@pytest.mark.parametrize("found", [table(), table(("accuracy", "latency", "size")), scored()], ids=["table", "three", "scored"])
def test_the_terminal_table_fits(found):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(found_table(found))
    text = console.export_text()
    assert all(one.name in text or one.genes[0] in text for one in found.front)
    assert text.count("* ") == 2 and "…" not in text, "the best, and what the star means"
    wide = tuple(f"a rather long gene {number}" for number in range(5))
    named = replace(found, genes=wide, front=tuple(replace(one, genes=wide) for one in found.front))
    console.print(found_table(named))
    text = console.export_text()
    assert all(one.name in text for one in named.front), "rows by their lines where genes take too much"
