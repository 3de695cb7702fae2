"""The table for the terminal."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from nas.core.result import RunResult
from nas.report import summary_table
from nas.report.choice import answer
from tests.report.samples import LOCAL, sample


def printed(result: RunResult, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(summary_table(result))
    return out.getvalue()


def test_every_pick_with_its_origin_in_80_columns() -> None:
    result = sample(LOCAL, 0.6)
    text = printed(result)
    assert all(pick.architecture.id in text for pick in result.picks)
    assert text.count("measured") == 12 and text.count("not measured") == 6 and "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert f"searched for {result.target}" in text


def test_marks_the_one_to_ship() -> None:
    result = sample(LOCAL, 0.6)
    shown = answer(result)
    assert shown is not None
    assert f"* {shown.pick.architecture.id}" in printed(result)
    assert f"ship first: {shown.step.model}" in printed(result)


def test_says_whose_latency_it_is() -> None:
    assert printed(sample(), 120).count("calibrated for fp32") == 6


def test_unknown_latency_is_not_a_number() -> None:
    result = sample()
    blank = tuple(replace(p, steps=tuple(replace(s, latency=None) for s in p.steps)) for p in result.picks)
    text = printed(replace(result, picks=blank))
    assert text.count("unknown") == 6 and "no pick is known to be within the budget" in text


def test_markup_in_names_is_printed_as_it_is() -> None:
    result = sample()
    assert "[bold]x" in printed(replace(result, device=replace(result.device, name="[bold]x")))


def test_importing_the_report_loads_nothing_heavy() -> None:
    """Commands import it before work starts."""
    code = "import sys, nas.report; print(sorted({'plotly', 'jinja2', 'rich', 'torch', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_says_what_each_pick_needs_and_never_invents_energy() -> None:
    result = sample(LOCAL, 0.6)
    known = tuple(replace(p, steps=tuple(replace(s, memory_mb=0.1234, power_w=5.0) for s in p.steps)) for p in result.picks)
    text = printed(replace(result, picks=known))
    assert text.count("123 kB") >= 6 and text.count(" mJ") == 6 and "not measured" not in text
    assert printed(result).count("not known") == printed(result).count("not measured") == 6
