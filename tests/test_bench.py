"""A device that was reached: what is checked before anything is trained, and timings that survive whatever ends them."""

from dataclasses import replace
from pathlib import Path

import pytest

import hardware_profiles
import latency_models
from nas import bench as benches
from nas.bench import PASSES, Bench, probe, reached, time_networks, try_out
from nas.core.budget import Budget
from nas.core.errors import DeviceError, MeasurementError, TargetMismatchError
from nas.display import Silent
from nas.measuring import files as model_files
from nas.problem import Problem
from nas.settings import RunSettings
from tests.boards import SPACE, board, target
from tests.measuring.fakes import FakeHost

ARCHITECTURES = [SPACE.architecture([number % gene.options for gene in SPACE.genes]) for number in range(3)]
IDS = [one.id for one in ARCHITECTURES]
GPU = ("TensorrtExecutionProvider", "CPUExecutionProvider")


def problem_of(device, runtime=""):
    profile = hardware_profiles.load(device)
    model = latency_models.load(profile, runtime=runtime)
    return Problem(RunSettings(device=device, budget_ms=50.0), profile, model, SPACE, Budget(50.0), 1, 10, ())


@pytest.fixture
def problem(tmp_path):
    return problem_of(board(tmp_path, [target("fp32")], [target("fp32")]))


@pytest.fixture(autouse=True)
def written(monkeypatch):
    """Files that cost nothing: what was written, by the file's name."""
    found = {}

    def write(spec, path, of, opset):
        found[path.name] = (spec, of, opset)
        path.write_text(path.name)

    monkeypatch.setattr(model_files, "write", write)
    return found


def at(host, problem):
    return probe(problem, host, "ssh://pi@board")


def test_a_device_that_is_what_it_should_be_is_a_bench(problem):
    found = at(FakeHost(), problem)
    assert (found.target, found.machine, found.provider, found.max_opset) == (target("fp32"), "A board, aarch64, 4 cores", "cpu", 17)


def test_a_table_of_another_machine_or_version_is_refused(problem):
    with pytest.raises(TargetMismatchError, match=r"was measured on A board, aarch64, 4 cores, the device at .* is Another board"):
        at(FakeHost(machine="Another board"), problem)
    with pytest.raises(TargetMismatchError, match=r"1\.18\.0"):
        at(FakeHost(runtimes={"onnxruntime": "1.18.0"}), problem)


def test_a_device_without_the_runtime_is_refused(problem):
    with pytest.raises(MeasurementError, match="has no runtime onnxruntime"):
        at(FakeHost(runtimes={"litert": "1.0"}), problem)
    with pytest.raises(MeasurementError, match=r"has no provider tensorrt \(it has: cpu\)"):
        at(FakeHost(), problem_of("jetson-nano", "tensorrt"))


def test_this_machine_stands_for_no_other_device(problem):
    with pytest.raises(DeviceError, match="cannot be measured at local"):
        probe(problem, FakeHost(), "local")


def test_tensorrt_is_timed_as_a_provider_and_ncnn_not_at_all():
    nano = problem_of("jetson-nano", "tensorrt")
    found = at(FakeHost(providers=GPU), nano)
    assert (found.target.runtime, found.provider, found.max_opset) == ("onnxruntime-tensorrt", "tensorrt", 13)
    assert at(FakeHost(runtimes={"litert": "1.4"}), problem_of("raspberry-pi-4", "tflite")).target.runtime == "litert"
    with pytest.raises(MeasurementError, match=r"ncnn .* which this program cannot time .*--runtime"):
        at(FakeHost(), problem_of("jetson-nano", "ncnn"))


def test_no_place_is_no_bench_and_an_odd_one_is_an_error(problem):
    with reached(problem, "") as found:
        assert found is None
    with pytest.raises(MeasurementError, match="is no target"), reached(problem, "ftp://somewhere"):
        raise AssertionError("it was reached")


def test_a_device_that_cannot_time_is_known_before_the_search(problem):
    host = FakeHost(limit=0)
    with pytest.raises(MeasurementError, match="the connection was cut"):
        try_out(problem, at(host, problem))
    try_out(problem, at(FakeHost(), problem))


def times(problem, host, path, number=1):
    return time_networks(problem, at(host, problem), ARCHITECTURES, number, path, lambda done: None)


def test_every_network_is_timed_in_every_pass_between_sentinels(problem, tmp_path, written):
    host = FakeHost(ms=lambda path, count: 1.0 if path.stem == "sentinel" else 2.0 + IDS.index(path.stem))
    found, sentinel_ms, lost = times(problem, host, tmp_path / "partial")
    assert (sentinel_ms, lost) == (1.0, "")
    assert {one: [each.timing.p10_ms for each in of] for one, of in found.items()} == {
        one: [2.0 + i] * PASSES for i, one in enumerate(ARCHITECTURES)
    }
    stems = [Path(name).stem for name in host.timed]
    assert len(stems) == PASSES * 3 + PASSES + 1 and stems[0] == stems[-1] == "sentinel"
    rounds = " ".join(stems).split("sentinel")[1:-1]
    assert all(sorted(one.split()) == sorted(IDS) for one in rounds) and len(set(rounds)) > 1, "in another order each time"
    assert {Path(name).suffix for name in written} == {".onnx"} and all(of[1] == target("fp32") for of in written.values())


@pytest.mark.parametrize("after", [0, 1, 7, 12])
def test_what_was_timed_before_a_kill_is_not_timed_again(problem, tmp_path, after):
    class Killed(BaseException):
        pass

    def ms(path, count):
        if count > after:
            raise Killed
        return 1.0

    first = FakeHost(ms=ms)
    with pytest.raises(Killed):
        times(problem, first, tmp_path / "partial")
    second = FakeHost(ms=lambda path, count: 1.0)
    found, _, lost = times(problem, second, tmp_path / "partial")
    assert lost == "" and set(found) == set(ARCHITECTURES)
    networks = [name for name in [*first.timed[:after], *second.timed] if not name.startswith("sentinel")]
    assert len(networks) == PASSES * 3, "each pass of each network once; the one that was being timed is the only one repeated"


def test_a_lost_device_gives_what_is_whole_and_says_why(problem, tmp_path):
    class Unreachable(FakeHost):
        def stream(self, models, request):
            raise MeasurementError("board cannot be reached")
            yield

    assert times(problem, Unreachable(), tmp_path / "partial") == ({}, None, "board cannot be reached")
    found, _, lost = times(problem, FakeHost(limit=18), tmp_path / "partial")
    assert not found and lost == "the connection was cut"
    found, _, lost = times(problem, FakeHost(), tmp_path / "partial")
    assert len(found) == 3 and lost == ""


def test_a_connection_that_is_cut_once_ends_nothing(problem, tmp_path):
    class Once(FakeHost):
        def stream(self, models, request):
            try:
                yield from super().stream(models, request)
            finally:
                self.limit = None

    found, _, lost = times(problem, Once(limit=9), tmp_path / "partial")
    assert len(found) == 3 and lost == ""


def test_disturbed_timings_are_made_again(problem, tmp_path):
    host = FakeHost(ms=lambda path, count: 1.0, disturbed=(3, 4))
    found, _, _ = times(problem, host, tmp_path / "partial")
    assert all(each.undisturbed > 0 for of in found.values() for each in of)
    slow = FakeHost(ms=lambda path, count: 2.0 if 5 <= count <= 8 else 1.0)  # a sentinel and what stands before and after it
    found, sentinel_ms, _ = times(problem, slow, tmp_path / "other")
    assert sentinel_ms == 1.0 and all(each.timing.p10_ms == 1.0 for of in found.values() for each in of)


def test_what_an_earlier_round_left_is_discarded(problem, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        times(problem, FakeHost(ms=lambda path, count: _interrupt() if count > 5 else 9.0), tmp_path / "partial")
    found, _, _ = times(problem, FakeHost(ms=lambda path, count: 1.0), tmp_path / "partial", number=2)
    assert all(each.timing.p10_ms == 1.0 for of in found.values() for each in of)


def _interrupt():
    raise KeyboardInterrupt


def test_files_of_picks_are_timed_and_predicted_when_the_device_is_lost(problem, tmp_path):
    file, said = tmp_path / "model.onnx", []
    file.write_text("a model")
    network = SPACE.network(ARCHITECTURES[0], 1, 10)

    class Told(Silent):
        def say(self, sentence):
            said.append(sentence)

    host = FakeHost(ms=lambda path, count: 3.0, limit=8)
    of = at(host, problem).latency_of_files(problem, Told())
    found, note = of("fp32", file, network)
    assert (found.origin, found.total.ms, note) == ("measured", 3.0, "")
    for _ in range(2):
        found, note = of("fp32", file, network)
        assert found.total == problem.price(ARCHITECTURES[0]).latency and note.startswith(benches.LOST)
    assert len(said) == 1 and said[0].startswith("DEVICE LOST: the connection was cut")
    assert len(host.timed) == 8


def test_a_gpu_is_asked_for_one_thread(problem, tmp_path):
    asked = []

    class Host(FakeHost):
        def stream(self, models, request):
            asked.append(request)
            return super().stream(models, request)

    nano = problem_of("jetson-nano", "tensorrt")
    gpu = replace(at(Host(providers=GPU), nano), host=Host())
    try_out(nano, gpu)
    assert (asked[0].runtime, asked[0].provider, asked[0].threads) == ("onnxruntime", "tensorrt", 1)
    assert isinstance(gpu, Bench)
