"""Which figures stand for a pick, in a search for another precision than fp32."""

import io
from dataclasses import replace

from rich.console import Console

from nas.core.result import RunResult
from nas.report import pareto_csv, pareto_json, report_html, summary_table
from nas.report.choice import ranked, search_origin
from tests.report.samples import LOCAL, sample


def int8_search() -> RunResult:
    """A search in int8 on a device of which nothing is known in fp32."""
    result = sample(LOCAL, 0.6)
    unknown = [
        replace(
            pick,
            recommended="int8",
            steps=tuple(
                step if step.name == "int8" else replace(step, latency=None, latency_note="no fp32 latencies are known of local")
                for step in pick.steps
            ),
        )
        for pick in result.picks
    ]
    return replace(result, target=LOCAL.targets[1].target, picks=tuple(unknown))


def test_every_form_of_the_report_shows_the_precision_that_was_searched_for() -> None:
    result = int8_search()
    assert {(shown.step.name, shown.latency_of) for shown in ranked(result)} == {("int8", "int8")}
    found = pareto_json(result)
    assert found["target"]["precision"] == "int8"
    for pick in found["picks"]:
        assert pick["latency_target"] == found["target"] and pick["within_budget"] is True
        assert [step["latency_ms"] is None for step in pick["steps"]] == [True, True, False]
    out = io.StringIO()
    Console(file=out, width=80).print(summary_table(result))
    assert f"searched for {result.target}" in out.getvalue() and "unknown" not in out.getvalue()
    page = report_html(result)
    assert f"priced for {result.target}" in page and "no fp32 latencies are known of local" in page
    assert len(pareto_csv(result).splitlines()) == 1 + 3 * len(result.picks)


def test_candidates_have_the_origin_of_the_target_that_priced_them() -> None:
    result = int8_search()
    calibrated = replace(LOCAL, targets=(LOCAL.targets[0], replace(LOCAL.targets[1], origin="calibrated")))
    assert search_origin(result) == "measured"
    assert search_origin(replace(result, device=calibrated, picks=())) == "calibrated"
