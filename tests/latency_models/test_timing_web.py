"""ONNX Runtime Web in a headless browser: it times, it computes what ONNX Runtime computes, and it always ends."""

import http.client
import os
import signal
import stat
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from latency_models import timing_web
from latency_models.hosts import Request
from nas.core.errors import MeasurementError

SHORT = Request(runtime="onnxruntime-web", relative_width=0.2, max_seconds=0.1, warm_up_seconds=0.0)


def missing():
    """Why the tests that need a browser cannot run here, or ""."""
    try:
        timing_web.browser(), timing_web.installed()
    except MeasurementError as error:
        return str(error)
    return ""


needs_browser = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


@pytest.fixture
def quick(monkeypatch):
    """No full optimisation of the WASM code, which takes ten seconds a browser."""
    monkeypatch.setattr(timing_web, "STEADY", ())


@pytest.fixture
def model(tmp_path):
    """An ONNX file that squares a matrix of the given size `repeats` times."""

    def write(size, repeats=1, kind=TensorProto.FLOAT):
        names = [f"x{i}" for i in range(repeats + 1)]
        nodes = [helper.make_node("MatMul", [names[i], names[i]], [names[i + 1]]) for i in range(repeats)]
        values = [helper.make_tensor_value_info(name, kind, ["batch", 1, size, size]) for name in (names[0], names[-1])]
        graph = helper.make_graph(nodes, "squares", values[:1], values[1:])
        path = tmp_path / f"m{size}_{repeats}_{kind}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
        return path

    return write


@pytest.fixture
def pages(monkeypatch):
    """The pages that were opened."""
    seen, original = [], timing_web.opened

    @contextmanager
    def opened(*given):
        with original(*given) as page:
            seen.append(page)
            yield page

    monkeypatch.setattr(timing_web, "opened", opened)
    return seen


def processes(page):
    """Command lines, by number, of what the browser of `page` started and has not ended."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == page.process.pid and (command := (folder / "cmdline").read_bytes()):
                found[int(folder.name)] = command.decode(errors="replace").split("\0")
        except OSError:
            continue
    return found


def ends(page):
    """Waits for all processes of the page's browser to end."""
    until = time.monotonic() + 20
    while processes(page) and time.monotonic() < until:
        time.sleep(0.05)
    return not processes(page)


@needs_browser
def test_a_report_a_model_in_order_and_the_browser_ends(model, pages, quick):
    paths = [model(4), model(96, 6), model(8)]
    reports = list(timing_web.stream(paths, SHORT))
    assert [report.model for report in reports] == [str(path) for path in paths]
    small, large, _ = reports
    assert 0 < small.median_ms < large.median_ms
    for report in reports:
        assert report.min_ms <= report.p10_ms <= report.median_ms <= report.p95_ms < 1000
        assert report.runs >= 3 and 0 <= report.outliers <= report.runs and report.relative_width >= 0
        assert (report.runtime, report.runtime_version, report.provider, report.threads) == (
            "onnxruntime-web",
            timing_web.version(),
            "wasm",
            1,
        )
        assert report.clock_mhz is report.temperature_after_c is report.power_w is None
        assert asdict(report)["power_source"] == ""
    assert ends(pages[0])


@needs_browser
def test_no_models_no_browser(pages):
    assert list(timing_web.stream([], SHORT)) == [] and pages == []


@needs_browser
@pytest.mark.slow
def test_stopping_early_ends_the_browser(model, pages, quick):
    found = timing_web.stream([model(8)] * 50, SHORT)
    next(found)
    found.close()
    assert ends(pages[0])


@needs_browser
@pytest.mark.slow
def test_a_damaged_model_is_named_after_those_before_it(model, tmp_path, quick):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model(8).read_bytes()[:40] + b"\xff" * 40)
    found = timing_web.stream([model(8), broken], SHORT)
    assert next(found).median_ms > 0
    with pytest.raises(MeasurementError, match=r"broken\.onnx cannot be loaded or run; ONNX Runtime Web said: .+"):
        next(found)
    with pytest.raises(MeasurementError, match=r"missing\.onnx .*No such file"):
        list(timing_web.stream([tmp_path / "missing.onnx"], SHORT))
    with pytest.raises(MeasurementError, match=r"m4_1_11\.onnx cannot be .*input x0 is of type float64"):
        list(timing_web.stream([model(4, kind=TensorProto.DOUBLE)], SHORT))


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize(("victim", "what"), [("browser", "the browser ended"), ("--type=renderer", "the page crashed")])
def test_a_browser_killed_in_mid_run_is_an_error_that_names_the_model(model, pages, quick, victim, what):
    found = timing_web.stream([model(8), model(96, 6)], Request(relative_width=1e-9, max_seconds=60.0, warm_up_seconds=0.0))

    def kill():
        while not pages or "model" not in pages[0].files:
            time.sleep(0.05)
        time.sleep(1.5)
        for number, command in processes(pages[0]).items():
            if number == pages[0].process.pid if victim == "browser" else any(victim in word for word in command):
                os.kill(number, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    begun = time.monotonic()
    with pytest.raises(MeasurementError, match=rf"m8_1_1\.onnx was not timed or run: {what}"):
        next(found)
    thread.join()
    assert time.monotonic() - begun < 30 and ends(pages[0])


@needs_browser
def test_the_server_gives_its_own_files_and_nothing_else(pages):
    with timing_web.opened() as page:
        command = next(one for one in processes(page).values() if any("http://" in word for word in one))
        host, prefix, name = next(word for word in command if word.startswith("http://")).removeprefix("http://").split("/")
        assert host.startswith("127.0.0.1:") and len(prefix) >= 20
        asked = {f"/{prefix}/{name}": 200, f"/{prefix}/": 404, "/": 404, f"/{name}": 404, f"/wrong/{name}": 404}
        asked |= dict.fromkeys((f"/{prefix}/../{name}", f"/{prefix}/../../etc/passwd", f"/{prefix}/%2e%2e/etc/passwd", "//etc/passwd"), 404)
        for path, code in asked.items():
            connection = http.client.HTTPConnection(host, timeout=5)
            connection.request("GET", path)
            assert connection.getresponse().status == code, path
            connection.close()
        connection = http.client.HTTPConnection(host, timeout=5)
        connection.request("POST", "/answer", body=b"{}")
        assert connection.getresponse().status == 404
        connection.close()


@needs_browser
@pytest.mark.slow
def test_optimised_code_gives_steady_timings_and_whole_reports(model, pages):
    reports = list(timing_web.stream([model(32, 4)] * 3, Request(max_seconds=0.3)))
    assert [report.median_ms > 0 for report in reports] == [True] * 3
    assert {*timing_web.STEADY} < {*pages[0].process.args}


@needs_browser
def test_images_in_batches_give_what_they_give_at_once(model):
    path = model(6)
    images = np.random.default_rng(0).standard_normal((5, 1, 6, 6)).astype(np.float32)
    images[3, 0, 0, 0] = np.nan
    for batch_size in (2, 5):
        found = timing_web.run(path, images, 1, batch_size)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, images @ images, rtol=1e-5, atol=1e-5)


def test_without_a_browser_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeasurementError, match=r"no browser is on the PATH \(looked for chromium, .*\); install Chromium"):
        timing_web.browser()


def test_without_the_runtime_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(timing_web, "FOLDER", tmp_path / "nothing")
    with pytest.raises(MeasurementError, match=r"ONNX Runtime Web is not in .*nothing; run: make web"):
        list(timing_web.stream([tmp_path / "any.onnx"], SHORT))


def test_a_browser_that_does_not_start_is_an_error_with_its_words(monkeypatch, tmp_path):
    for name in ("package.json", *timing_web._RUNTIME):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"version": "1.2.3"}')
    fake = tmp_path / "chromium"
    fake.write_text(
        f"#!{sys.executable}\nimport sys\nprint('Chromium 9.8.7 built on sand')\nsys.stderr.write('no display\\n')\nsys.exit(3)\n"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(timing_web, "FOLDER", tmp_path)
    assert timing_web.version() == "1.2.3 in Chromium 9"
    with (
        pytest.raises(MeasurementError, match=r"the browser ended when it started \(exit code 3\); it said: no display"),
        timing_web.opened(),
    ):
        pass
