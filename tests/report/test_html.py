"""The page is whole, escaped, self-contained, and says where each latency comes from."""

import ast
import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import plotly.graph_objects
import pytest

from hardware_profiles.installed import WEB_FOLDER
from nas.core.budget import Budget
from nas.core.latency import ORIGINS
from nas.core.result import RunResult
from nas.report import report_html
from nas.report.block_plot import block_plot
from nas.report.choice import answer
from nas.report.pareto_plot import pareto_plot
from nas.report.usage import browser_code, usage_code
from tests.report.samples import LOCAL, sample, tiny

HEADINGS = (
    *("The answer", "Know before you use it", "Accuracy against latency", "The picks", "What compression changed", "Where the time goes"),
    *("How to run it", "What was not measured, and why", "How far to trust the figures", "Words used here", "How to repeat it"),
)
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Reads a page strictly: tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())


def page(result: RunResult) -> Page:
    return Page(report_html(result))


@pytest.fixture(scope="module")
def nano() -> Page:
    return page(sample())


@pytest.fixture(scope="module")
def local() -> Page:
    return page(sample(LOCAL, 0.6))


def blank_latencies(result: RunResult, note: str) -> RunResult:
    return replace(
        result, picks=tuple(replace(p, steps=tuple(replace(s, latency=None, latency_note=note) for s in p.steps)) for p in result.picks)
    )


def test_answer_comes_first_with_origin_and_bounds(local: Page) -> None:
    shown = answer(sample(LOCAL, 0.6))
    assert shown is not None and shown.latency is not None
    start = local.text[local.text.index("The answer") :][:400]
    assert f"Ship {shown.step.model}" in start
    assert f"{100 * shown.step.test_accuracy:.1f} %" in start
    assert "(measured, between" in start and "within the budget of 0.6 ms" in start


def test_answer_says_when_another_version_was_priced(nano: Page) -> None:
    assert "(calibrated for its fp32 version, between" in nano.text
    assert "that of fp16 is not known: the profile of jetson-nano has no fp16 figures." in nano.text


def test_every_section_has_its_heading(nano: Page) -> None:
    for heading in HEADINGS:
        assert heading in nano.text
    assert nano.tags["h1"] == 1 and nano.tags["h2"] == len(HEADINGS)


def test_tables_have_captions_and_plots_have_alternatives(nano: Page) -> None:
    assert nano.tags["table"] == nano.tags["caption"] > 5
    plots = [value for tag, name, value in nano.attributes if tag == "div" and name == "aria-label" and "tables below" in str(value)]
    assert nano.tags["figcaption"] == 2 and len(plots) == 1
    assert nano.tags["details"] == 2


def test_every_origin_is_explained(nano: Page) -> None:
    for origin in ORIGINS:
        assert f" {origin} " in nano.text


def test_origins_stand_beside_latencies(local: Page) -> None:
    """Every latency in a table cell is followed by where it comes from."""
    words = [word.replace("\N{NO-BREAK SPACE}", " ").strip() for word in local.words]
    bold = [word for word, tag in itertools.pairwise(words) if word.endswith(" ms") and tag in ORIGINS]
    assert len(bold) >= 6 + 18
    mixed = sample(LOCAL, 0.6)
    first = mixed.picks[0]
    guess = replace(first.steps[2], latency=replace(first.steps[2].latency, origin="estimated"))
    text = page(replace(mixed, picks=(replace(first, steps=(*first.steps[:2], guess)), *mixed.picks[1:]))).text
    assert f"{guess.latency.total.ms:.3f} ms estimated" in text


def test_loads_nothing_from_elsewhere(nano: Page) -> None:
    links = [value or "" for _, name, value in nano.attributes if name in ("src", "href", "data", "action")]
    assert links and not [value for value in links if "//" in value or ":" in value]
    policy = [value for _, name, value in nano.attributes if name == "content" and "default-src" in str(value)]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"]


def test_plotly_is_inside(nano: Page) -> None:
    assert any("Plotly.newPlot" in script for script in nano.scripts)
    assert any(len(script) > 1_000_000 for script in nano.scripts)


def filled(text: str) -> RunResult:
    """A run that says `text` wherever a person's or another program's words may stand."""
    result = sample()
    return replace(
        result,
        name=text,
        data=text,
        space=text,
        command=text,
        findings=(text,),
        not_measured=(text,),
        uncounted_operators=(text,),
        environment={text: text},
        seconds={text: 1.0},
        device=replace(result.device, title=text, notes=text, improve=text),
        input_format=replace(result.input_format, classes=(text, "b")),
        candidates=tuple(replace(c, description=text) for c in result.candidates),
        picks=tuple(
            replace(
                pick,
                description=text,
                notes=(text,),
                steps=tuple(replace(step, model=f"models/{text}.onnx", latency_note=text) for step in pick.steps),
            )
            for pick in result.picks
        ),
    )


def test_hostile_text_stays_text() -> None:
    evil = "</script><script>alert('x')</script><img src=x>\"&{{ 7 * 7 }}"
    found, plain = page(filled(evil)), page(filled("harmless"))
    assert found.tags == plain.tags
    assert not any("<script" in script.lower() for script in found.scripts[1:])
    assert evil in found.text
    assert not [value for _, name, value in found.attributes if name == "href" and "<" in str(value)]


def test_a_path_cannot_be_a_scheme() -> None:
    result = tiny()
    picks = tuple(replace(pick, steps=tuple(replace(step, model="javascript:alert(1)") for step in pick.steps)) for pick in result.picks)
    assert not [value for _, name, value in page(replace(result, picks=picks)).attributes if name == "href" and ":" in str(value)]


def test_all_sentences_of_the_run_are_there(nano: Page) -> None:
    result = sample()
    assert all(sentence in nano.text for sentence in (*result.findings, *result.not_measured, *result.uncounted_operators, result.command))
    assert "Latency of the fp16 version of 6 picks: the profile of jetson-nano has no fp16 figures." in nano.text
    assert "5.8 % of 6,267 rows" in nano.text


def test_notes_are_said_once_with_their_picks() -> None:
    assert "Picks 1, 2: no qat version: it needs more images." in page(tiny()).text


def test_no_picks_still_says_what_to_do() -> None:
    result = sample()
    over = tuple(candidate for candidate in result.candidates if not candidate.feasible)
    fastest = min(over, key=lambda candidate: candidate.latency_high_ms)
    text = page(replace(result, picks=(), front=(), candidates=over)).text
    assert "There is no network to ship" in text
    assert f"The fastest one considered takes {fastest.latency_ms:.2f} ms calibrated" in text
    assert "How to run it" not in text and "Accuracy against latency" not in text


def test_nothing_at_all_is_a_page() -> None:
    result = sample()
    empty = replace(
        result, picks=(), front=(), candidates=(), findings=(), not_measured=(), uncounted_operators=(), seconds={}, environment={}
    )
    assert "Nothing was left out." in page(empty).text


def test_picks_without_any_latency() -> None:
    found = page(blank_latencies(sample(), "never run"))
    assert "No pick is known to be within the budget" in found.text
    assert "Latency of the fp32 version of 6 picks: never run." in found.text
    assert "Where the time goes" not in found.text


def test_picks_over_the_budget() -> None:
    result = sample()
    text = page(replace(result, budget=replace(result.budget, latency_ms=1.0))).text
    assert "No pick is known to be within the budget of 1 ms" in text
    assert "over budget" in text


def test_changes_against_fp32_are_shown() -> None:
    text = page(tiny()).text
    assert "89.4 % −0.6 pt" in text
    assert "2.00 ms measured −50 %" in text
    assert "25 kB −75 %" in text


@pytest.mark.parametrize(
    "result", [sample(), sample(LOCAL, 0.6), tiny(), blank_latencies(sample(), "")], ids=["nano", "local", "tiny", "blank"]
)
def test_figures_are_what_plotly_understands(result: RunResult) -> None:
    """plotly's own checks refuse unknown properties and values."""
    for figure in (pareto_plot(result), block_plot(result)):
        plotly.graph_objects.Figure(figure)


def test_plot_holds_every_candidate_and_every_known_version() -> None:
    result = sample(LOCAL, 0.6)
    points = {trace["name"]: len(trace["x"]) for trace in pareto_plot(result)["data"]}
    feasible = sum(candidate.feasible for candidate in result.candidates)
    assert points["candidates (shared weights)"] == feasible
    assert points["over budget, not evaluated"] == len(result.candidates) - feasible
    assert [points[f"picks, {name} (fine-tuned)"] for name in ("fp32", "pruned", "int8")] == [6, 6, 6]


def test_a_budget_far_away_does_not_squeeze_the_plot() -> None:
    result = sample()
    far = replace(result, budget=replace(result.budget, latency_ms=1000.0))
    plot = pareto_plot(far)
    assert plot["layout"]["xaxis"]["range"][1] < 20 and "shapes" not in plot["layout"]
    assert "The budget of 1000 ms lies beyond the right edge." in page(far).text
    assert pareto_plot(result)["layout"]["shapes"][0]["x0"] == 10.0


def test_bars_add_up_to_the_latency() -> None:
    result = sample(LOCAL, 0.6)
    total: Counter[str] = Counter()
    for trace in block_plot(result)["data"]:
        for pick, ms in zip(trace["y"], trace["x"], strict=True):
            total[pick] += ms
    shown = sorted(pick.step("int8").latency.total.ms for pick in result.picks)
    assert [total[f"Pick {number}"] for number in range(1, 7)] == pytest.approx(shown)
    names = [trace["name"] for trace in block_plot(result)["data"]]
    assert names == sorted(names, key=["overhead", "stem", "stage1", "stage2", "stage3", "head"].index)


@pytest.mark.parametrize(
    ("classes", "channels"), [(("cat", 'a "dog"\n'), 3), (tuple(f"class {i}" for i in range(40)), 1)], ids=["few", "many"]
)
def test_the_sample_code_runs_and_normalises(tmp_path: Path, classes: tuple[str, ...], channels: int) -> None:
    """Run in a fresh process against a model that averages each channel; the network's answer is the last class."""
    result = tiny()
    eats = replace(result.input_format, classes=classes, channels=channels, mean=(0.25,) * channels, std=(0.5,) * channels)
    result = replace(result, input_format=eats)
    shown = answer(result)
    assert shown is not None
    _averaging_model(tmp_path / shown.step.model, channels, shown.pick.resolution, len(classes))
    from nas.report import write

    write(result, tmp_path)
    code = usage_code(result, shown)
    assert code in "".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).words)
    (tmp_path / "run.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    name, probability = ast.literal_eval(done.stdout)
    scores = np.linspace(0, -0.5, len(classes))  # black pixels: (0 - 0.25) / 0.5, times a rising ramp from 0 to 1
    assert name == classes[0]
    assert probability == pytest.approx(1 / np.exp(scores).sum(), rel=1e-5)


def test_a_tflite_file_is_run_by_litert(tmp_path: Path) -> None:
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("the package ai-edge-litert is not installed (pip install ai-edge-litert)")
    import onnx

    from nas import tflite
    from nas.report import write

    result = tiny()
    picks = tuple(
        replace(pick, steps=tuple(replace(s, model=s.model.replace(".onnx", ".tflite"), onnx=s.model) for s in pick.steps))
        for pick in result.picks
    )
    result = replace(result, picks=picks)
    shown = answer(result)
    assert shown is not None
    _averaging_model(tmp_path / shown.step.onnx, 1, shown.pick.resolution, 2)
    (tmp_path / shown.step.model).write_bytes(tflite.convert(onnx.load(tmp_path / shown.step.onnx)))
    write(result, tmp_path)
    found = page(result)
    assert "pip install ai-edge-litert numpy" in "".join(found.words) and usage_code(result, shown) in "".join(found.words)
    assert {shown.step.onnx, shown.step.model} <= {value for _, name, value in found.attributes if name == "href"}
    (tmp_path / "run.py").write_text(usage_code(result, shown), encoding="utf-8")
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    name, probability = ast.literal_eval(done.stdout)
    assert name == "cat" and probability == pytest.approx(1 / (1 + np.exp(-2.0)), rel=1e-5)  # (0 - 0.5) / 0.25, times 0 and 1


@pytest.mark.parametrize("classes", [("cat", 'a "dog"\n'), tuple(f"class {i}" for i in range(40))], ids=["few", "many"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_search_for_the_browser_shows_javascript_that_runs(tmp_path: Path, classes: tuple[str, ...], channels: int) -> None:
    """Run by node, with the very runtime that `make web` fetches; only where the module comes from is another."""
    result = tiny()
    shown = answer(result)
    assert shown is not None and browser_code(result, shown) == "" and "In a web page" not in page(result).text
    eats = replace(result.input_format, classes=classes, channels=channels, mean=(0.25,) * channels, std=(0.5,) * channels)
    result = replace(result, input_format=eats, target=replace(result.target, runtime="onnxruntime-web"))
    code = browser_code(result, shown)
    assert code in "".join(page(result).words)
    module = WEB_FOLDER / "dist" / "ort.wasm.min.mjs"
    if not shutil.which("node") or not module.exists():
        pytest.skip("node or ONNX Runtime Web is not installed (make web)")
    _averaging_model(tmp_path / shown.step.model, channels, shown.pick.resolution, len(classes))
    code = code.replace('"onnxruntime-web/wasm"', json.dumps(module.as_uri()))
    code = code.replace("create(MODEL,", 'create(await (await import("node:fs/promises")).readFile(MODEL),')
    code = code.replace('await (await fetch("pareto.json")).json()', f"{{ input: {{ classes: {json.dumps(classes)} }} }}")
    (tmp_path / "run.mjs").write_text(code, encoding="utf-8")
    done = subprocess.run(["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    name, probability = json.loads(done.stdout)
    assert name == classes[0] and probability == pytest.approx(1 / np.exp(np.linspace(0, -0.5, len(classes))).sum(), rel=1e-5)


def _averaging_model(path: Path, channels: int, size: int, classes: int) -> None:
    """Logits are the mean of the input times a ramp from 0 to 1 over the classes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    ramp = np.repeat(np.linspace(0, 1, classes, dtype=np.float32)[np.newaxis] / channels, channels, axis=0)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "ramp"], ["scores"]),
        ],
        "averaging",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, size, size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(ramp, "ramp")],
    )
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def test_memory_energy_and_every_limit_are_shown() -> None:
    result = sample(LOCAL, 0.6)
    picks = tuple(replace(p, steps=tuple(replace(s, memory_mb=0.1234, power_w=2.0) for s in p.steps)) for p in result.picks)
    known = page(replace(result, picks=picks, budget=Budget(0.6, 4.0, 64.0, 50.0))).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "within 0.6 ms, 4 MB on disk, 64 MB of memory, 50 mJ" in known
    assert (
        "123 kB" in known
        and " mJ" in known
        and "at 2 W, measured" in known
        and "not measured" not in known.partition("What was not measured")[0]
    )
    unknown = page(result).text.replace("\N{NO-BREAK SPACE}", " ").partition("What was not measured")
    assert " mJ" not in unknown[0] and "Energy" in unknown[2], "nothing is invented, and the page says so once"
