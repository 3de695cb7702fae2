"""The report for people: one HTML file that needs neither network nor server, for readers who never heard of architecture search."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from nas.core.device import TargetProfile
from nas.core.latency import LatencyEstimate
from nas.core.result import Pick, RunResult, Step
from nas.report import words
from nas.report.block_plot import block_plot
from nas.report.choice import Headline, answer, candidate_origin, ranked, search_origin
from nas.report.measured_plot import measured_plot, ordered
from nas.report.pareto_plot import pareto_plot, right_edge, version_names
from nas.report.plot_style import mark
from nas.report.usage import browser_code, packages, usage_code

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One line of the table that compares the versions of a pick; deltas are against its fp32 version, or empty."""

    step: Step
    recommended: bool
    meant: bool
    on_front: bool
    fits: bool | None
    accuracy_delta: str
    latency_delta: str
    macs_delta: str
    params_delta: str
    size_delta: str
    memory_delta: str


@dataclass(frozen=True, slots=True)
class PickView:
    """A pick as the page shows it: `number` counts from the fastest, from 1."""

    number: int
    headline: Headline
    best: bool
    fits: bool | None
    versions: tuple[VersionRow, ...]


def report_html(result: RunResult) -> str:
    """The whole page. Every text of `result` is escaped, and the page may not load anything from elsewhere."""
    from plotly.offline import get_plotlyjs

    best = answer(result)
    views = tuple(_view(result, number, shown, shown == best) for number, shown in enumerate(ranked(result), start=1))
    shown_in_code = best or (views[0].headline if views else None)
    return template("report.html.j2").render(
        result=result,
        picks=views,
        best=next((view for view in views if view.best), None),
        best_profile=profile_of(result, best.latency) if best and best.latency else None,
        pareto_plot=pareto_plot(result),
        block_plot=block_plot(result),
        measured_plot=measured_plot(result),
        timed=ordered(result),
        change=words.change,
        plotted=any(candidate.accuracy is not None for candidate in result.candidates) or bool(views),
        budget_drawn=result.budget.latency_ms <= right_edge(result),
        search_front=sorted((c for c in result.candidates if c.on_front and c.feasible), key=lambda c: c.latency_ms),
        search_origin=search_origin(result),
        origin_of={candidate.id: candidate_origin(result, candidate) for candidate in result.candidates},
        origins=words.ORIGINS,
        versions={name: words.VERSIONS.get(name, "") for name in version_names(result)},
        marks={name: mark(name)[1] for name in version_names(result)},
        terms=words.TERMS,
        unknown=_unknown_latencies(result),
        notes=_notes(views),
        other_objectives=set(result.objectives) != {"accuracy", "latency"},
        powered=any(step.power_w is not None for pick in result.picks for step in pick.steps),
        code=usage_code(result, shown_in_code) if shown_in_code else "",
        browser_code=browser_code(result, shown_in_code) if shown_in_code else "",
        packages=packages(shown_in_code) if shown_in_code else "",
        code_pick=shown_in_code,
        plotly_js=get_plotlyjs(),
    )


def template(name: str) -> "Template":
    """The template of that name, which escapes every text and knows the filters of `nas.report.words`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        lstrip_blocks=True,
    )
    quantities: tuple[Callable[..., str], ...] = (words.percent, words.milliseconds, words.limit, words.limits, words.bounds)
    quantities += (words.count, words.size, words.memory, words.energy, words.duration)
    environment.filters |= {function.__name__: _unbroken(function) for function in quantities}
    environment.filters["href"] = quote
    return environment.get_template(name)


def _unbroken(function: Callable[..., str]) -> Callable[..., str]:
    """`function` with spaces at which a line does not break, so that a number and its unit stay together."""
    return lambda *arguments: function(*arguments).replace(" ", "\N{NO-BREAK SPACE}")


def profile_of(result: RunResult, latency: LatencyEstimate) -> TargetProfile | None:
    """The device's entry for what a latency holds for, with the source and the error of its"""
    return next((profile for profile in result.device.targets if profile.target == latency.target), None)


def _view(result: RunResult, number: int, shown: Headline, best: bool) -> PickView:
    pick = shown.pick
    base = next((step for step in pick.steps if step.name == "fp32"), pick.steps[0])
    rows = tuple(_row(result, pick, step, base) for step in pick.steps)
    return PickView(number, shown, best, result.budget.verdict(shown.costs), rows)


def _row(result: RunResult, pick: Pick, step: Step, base: Step) -> VersionRow:
    same = step is base
    return VersionRow(
        step=step,
        recommended=step.name == pick.recommended,
        meant=step.name == pick.meant,
        on_front=(pick.architecture.id, step.name) in result.front,
        fits=result.budget.verdict(step.costs),
        accuracy_delta="" if same else words.points(step.test_accuracy, base.test_accuracy),
        latency_delta=words.change(step.latency.total.ms, base.latency.total.ms) if step.latency and base.latency and not same else "",
        macs_delta="" if same else words.change(step.macs, base.macs),
        params_delta="" if same else words.change(step.params, base.params),
        size_delta="" if same else words.change(step.size_mb, base.size_mb),
        memory_delta="" if same else words.change(step.memory_mb or 0.0, base.memory_mb or 0.0),
    )


def _unknown_latencies(result: RunResult) -> Mapping[tuple[str, str], int]:
    """How many picks lack a latency, by version and reason."""
    found: dict[tuple[str, str], int] = {}
    for pick in result.picks:
        for step in pick.steps:
            if step.latency is None:
                found[step.name, step.latency_note] = found.get((step.name, step.latency_note), 0) + 1
    return found


def _notes(views: Sequence[PickView]) -> Mapping[str, str]:
    """What the picks' notes say, each once, with the picks that it holds for: "Picks 1, 2"."""
    found: dict[str, list[str]] = {}
    for view in views:
        for note in view.headline.pick.notes:
            found.setdefault(note, []).append(str(view.number))
    return {note: f"Pick{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}" for note, numbers in found.items()}
