"""Latency of a pick's files: each precision from figures of its own, in the runtime that was searched for; or unknown."""

from dataclasses import replace
from pathlib import Path

import pytest

import hardware_profiles
import latency_models
from latency_models.hosts.local import LocalHost
from nas import device_latency, runtimes, tflite
from nas.core.errors import ExportError
from nas.core.latency import estimate
from nas.device_latency import INT8_AS_MEASURED, latency_of_files
from nas.network import Network
from tests.boards import SPACE, board, target
from tests.measuring.fakes import report

FP32, INT8, INT8_TWO = target("fp32"), target("int8"), target("int8", 2)
NETWORK, FILE = SPACE.network(SPACE.smallest(), 1, 10), Path("model.onnx")


def latency(folder, measured, precision, threads=None):
    device = hardware_profiles.load(board(folder, [FP32, INT8, INT8_TWO], measured))
    return device, latency_of_files(device, [latency_models.load(device, precision, threads=threads)], "")


@pytest.mark.parametrize("searched", ["fp32", "int8"])
def test_each_precision_has_the_price_of_its_own_table(tmp_path, searched):
    device, of = latency(tmp_path, [FP32, INT8], searched)
    for precision in ("fp32", "int8"):
        found, note = of(precision, FILE, NETWORK)
        assert found == estimate(latency_models.load(device, precision), NETWORK) and note == (
            INT8_AS_MEASURED if precision == "int8" else ""
        )
        assert found.target.precision == precision


def test_without_a_table_of_its_own_a_version_is_of_unknown_latency(tmp_path):
    _, of = latency(tmp_path, [INT8], "int8")
    assert of("int8", FILE, NETWORK)[0].target == INT8
    found, note = of("fp32", FILE, NETWORK)
    assert found is None and "no fp32 latencies are known of board: " in note and "is not measured yet; run: measure fp32" in note


def test_figures_for_other_threads_do_not_stand_in(tmp_path):
    _, of = latency(tmp_path, [FP32, INT8, INT8_TWO], "int8", threads=2)
    assert of("int8", FILE, NETWORK)[0].target == INT8_TWO
    assert of("fp32", FILE, NETWORK) == (None, "no fp32 latencies are known of board: it has none in onnxruntime with 2 threads")


@pytest.fixture
def here(monkeypatch):
    """This machine, whose files take a millisecond; the requests that were made."""
    asked = []

    def stream(self, models, request):
        asked.append((request, [Path(model).suffix for model in models]))
        assert all(Path(model).stat().st_size for model in models)
        yield from (report(model, 1.0 + i) for i, model in enumerate(models))

    monkeypatch.setattr(LocalHost, "stream", stream)
    return asked


def of_this_machine(**changed):
    """The function, for a search whose target on this machine was as in `changed`."""

    class Model:
        target = replace(FP32, device="local", **changed)

    return latency_of_files(hardware_profiles.load("local"), [Model()], "")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "model.onnx"
    runtimes.load("onnxruntime").export(Network(NETWORK).eval(), path, 17)
    return path


def test_files_are_timed_here_with_the_threads_that_were_searched_for(here, file):
    found, _ = of_this_machine(precision="int8", threads=2)("fp32", file, NETWORK)
    ((request, suffixes),) = here
    assert (request.runtime, request.provider, request.threads) == ("onnxruntime", "cpu", 2)
    assert suffixes == [".onnx"] * device_latency.REPEATS
    assert (found.origin, found.target.precision, found.target.threads) == ("measured", "fp32", 2)
    assert (found.total.low_ms, found.total.ms, found.total.high_ms) == (1.0, 3.5, 6.0)


def test_an_execution_provider_is_a_runtime_of_its_own(here, file):
    of_this_machine(runtime="onnxruntime-xnnpack")("fp32", file, NETWORK)
    assert (here[0][0].runtime, here[0][0].provider) == ("onnxruntime", "xnnpack")


def test_a_search_for_the_web_runtime_is_timed_in_a_browser(here, file, monkeypatch):
    asked = []
    monkeypatch.setattr(
        device_latency.timing_web, "stream", lambda models, request: asked.append(request) or [report("m", 2.0)] * len(models)
    )
    found, _ = of_this_machine(runtime="onnxruntime-web")("fp32", file, NETWORK)
    assert len(asked) == 1 and not here and (found.total.ms, found.target.runtime) == (2.0, "onnxruntime-web")


def test_a_search_for_litert_is_timed_in_litert(here, file):
    try:
        tflite.require()
    except ExportError as error:
        pytest.skip(str(error))
    of = of_this_machine(runtime="litert")
    assert of("fp32", file, NETWORK)[0].target.runtime == "litert"
    ((request, suffixes),) = here
    assert request.runtime == "litert" and set(suffixes) == {".tflite"}
    quantized = file.with_name("int8.onnx")
    from nas.measuring import files

    files.write(NETWORK, quantized, replace(INT8, device="local"), 17)
    found, note = of("int8", quantized, NETWORK)
    assert found is None and note.startswith("the int8 file cannot be timed in litert: ") and len(here) == 1
