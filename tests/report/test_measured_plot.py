"""Predicted against measured: in the page, in the plot and in `pareto.json` where networks were timed, and nowhere else."""

import json
from dataclasses import replace

import plotly.graph_objects
import pytest

from nas.core.latency import Interval
from nas.core.result import DeviceCheck, RunResult, TimedResult
from nas.report import pareto_json, report_html
from nas.report.choice import candidate_origin, search_origin
from nas.report.measured_plot import measured_plot, ordered
from nas.report.pareto_plot import pareto_plot
from tests.report.samples import sample

HEADING = "Predicted against measured"


def timed_run(remarks: tuple[str, ...] = ()) -> RunResult:
    """A run of which five candidates were timed in two rounds, a fifth slower than predicted at first."""
    result = sample()
    networks = []
    for number, candidate in enumerate([one for one in result.candidates if one.feasible][:5]):
        predicted = Interval(candidate.latency_ms, candidate.latency_low_ms, candidate.latency_high_ms)
        ms = candidate.latency_ms * (1.2 if number < 3 else 1.01)
        measured = Interval(ms, 0.99 * ms, 1.02 * ms)
        why, when = "front" if number % 2 else "uncertain", "2026-11-22T10:00:00+00:00"
        name = candidate.description + " <script>"
        networks.append(
            TimedResult(
                candidate.id, name, 1 + number // 3, why, predicted, predicted, "calibrated", measured, 1.02 * ms, 0.93, when, "921 MHz"
            )
        )
    machine = "NVIDIA Jetson Nano, aarch64, 4 cores"
    return replace(
        result, on_device=DeviceCheck("nano onnxruntime 1.16", machine, tuple(networks), 2, 16.7, 1.9, "calibrated", 0.95, remarks)
    )


def test_the_page_shows_every_network_and_both_errors() -> None:
    result = timed_run(("Round 2 of measuring was cut short: <b>the cable</b>",))
    page = report_html(result).replace("\N{NO-BREAK SPACE}", " ")
    checked = result.on_device
    assert checked is not None and HEADING in page and checked.machine in page
    assert all(one.id in page for one in checked.networks)
    assert "16.7 %" in page and "1.9 %" in page and "2 of 5" in page
    assert "&lt;b&gt;the cable&lt;/b&gt;" in page and "<script>&" not in page and ' <script>"' not in page


def test_a_run_without_timings_has_no_such_section() -> None:
    assert HEADING not in report_html(sample()) and "on_device" not in pareto_json(sample())
    assert measured_plot(sample())["data"] == []


def test_a_device_that_was_never_there_is_said() -> None:
    checked = DeviceCheck("nano", "a board", (), 3, None, None, "calibrated", 0.95, ("Round 1 of measuring was cut short: no route",))
    page = report_html(replace(sample(), on_device=checked))
    assert "No network could be timed" in page and "no route" in page


def test_the_plot_is_one_that_plotly_takes() -> None:
    result = timed_run()
    figure = plotly.graph_objects.Figure(measured_plot(result))
    assert [trace.name for trace in figure.data] == ["predicted, with bounds", "the fit to all others", "measured"]
    assert [one.round for one in ordered(result)] == [1, 1, 1, 2, 2]
    for trace in figure.data:
        assert len(trace.x) == len(trace.y) == 5 and "<script>" not in "".join(trace.customdata)
    assert list(figure.data[2].x) == [one.measured.ms for one in ordered(result)]


def test_a_candidate_that_was_timed_says_so() -> None:
    result = timed_run()
    assert search_origin(result) == "calibrated"
    origins = [candidate_origin(result, one) for one in result.candidates]
    assert origins.count("measured") == 5 and set(origins) == {"measured", "calibrated"}
    text = json.dumps(pareto_plot(result))
    assert ", measured (" in text and ", calibrated (" in text


def test_pareto_json_has_the_same_figures() -> None:
    result = timed_run()
    found = json.loads(json.dumps(pareto_json(result), allow_nan=False))["on_device"]
    assert (found["error_before_percent"], found["error_after_percent"], found["rounds"], found["inside"]) == (16.7, 1.9, 2, 2)
    assert result.on_device is not None
    for row, one in zip(found["networks"], result.on_device.networks, strict=True):
        assert row["measured"]["ms"] == pytest.approx(one.measured.ms) and row["inside"] == one.inside
        assert row.keys() >= {"id", "round", "why", "first", "predicted", "origin", "refitted_ms", "undisturbed", "when", "conditions"}
