"""A run's settings, with every name found: which of a device's targets candidates are priced for."""

import pytest

from nas import footprint
from nas.core.errors import DeviceError, StudyError, TargetMismatchError
from nas.problem import ask, named
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from tests.boards import SPACE, board, target

FP32, INT8, INT8_TWO = target("fp32"), target("int8"), target("int8", 2)


def question(path, **asked):
    return ask(RunSettings(device=path, budget_ms=50, **asked))


@pytest.mark.parametrize(
    ("asked", "found"),
    [({}, FP32), ({"precision": "int8"}, INT8), ({"precision": "int8", "threads": 2}, INT8_TWO), ({"runtime": "onnxruntime"}, FP32)],
)
def test_candidates_are_priced_for_the_target_that_was_asked_for(tmp_path, asked, found):
    path = board(tmp_path, [FP32, INT8, INT8_TWO], [FP32, INT8, INT8_TWO])
    assert question(path, **asked).model.target == found


def test_an_int8_search_has_int8_prices_and_sizes(tmp_path):
    path = board(tmp_path, [FP32, INT8], [FP32, INT8])
    fp32, int8 = (question(path, precision=precision).about(1, 10) for precision in ("fp32", "int8"))
    for architecture in (SPACE.smallest(), SPACE.largest()):
        slow, fast = fp32.price(architecture), int8.price(architecture)
        blocks = 0.01 * len(SPACE.network(architecture, 1, 10).blocks)
        assert fast.latency.ms - blocks == pytest.approx((slow.latency.ms - blocks) / 2)
        assert fast.size_mb == footprint.size_mb(int8.network(architecture), "int8") < slow.size_mb


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"precision": "fp16"},
            "board has no latencies for fp16, only for: board onnxruntime 1.17.0 fp32, 1 thread, batch 1; .*No command here measures them",
        ),
        ({"runtime": "tensorrt"}, "board has no latencies for tensorrt fp32, only for"),
        ({"precision": "int8", "threads": 4}, r"board has no latencies for int8 4 thread\(s\), only for"),
    ],
)
def test_a_target_that_the_device_lacks_is_not_replaced_by_another(tmp_path, asked, sentence):
    with pytest.raises(TargetMismatchError, match=sentence):
        question(board(tmp_path, [FP32, INT8], [FP32, INT8]), **asked)


def test_a_target_that_is_not_measured_yet_says_what_to_run(tmp_path):
    with pytest.raises(DeviceError, match="int8, 1 thread, batch 1 is not measured yet; run: measure int8"):
        question(board(tmp_path, [FP32, INT8], [FP32]), precision="int8")


def test_latencies_of_files_that_nothing_makes_are_of_no_use(tmp_path):
    path = board(tmp_path, [FP32, INT8], [FP32, INT8], compressors=("hidden_channels", "fp16"))
    with pytest.raises(DeviceError, match=r"no compressor that makes int8 files \(compressors in .*board.toml: hidden_channels, fp16\)"):
        question(path, precision="int8")


def test_a_run_goes_on_where_the_same_target_is_asked_for_in_other_words(tmp_path):
    """`--runtime onnxruntime --threads 1` is what the first target was anyway; another target is another run."""
    path, folder = board(tmp_path, [FP32, INT8, INT8_TWO], [FP32, INT8, INT8_TWO]), RunFolder(tmp_path / "run")

    def claim(settings):
        with folder.claim(settings, False, named) as found:
            return found.continues

    assert not claim(RunSettings(device=path, budget_ms=50))  # as a version did that kept what was typed
    assert claim(question(path).settings) and claim(question(path, runtime="onnxruntime", threads=1).settings)
    assert RunSettings.read(folder.settings).runtime == "onnxruntime" and RunSettings.read(folder.settings).threads == 1
    with pytest.raises(StudyError, match="precision was 'fp32' and is now 'int8'"):
        claim(question(path, precision="int8").settings)
    with pytest.raises(StudyError, match="threads was 1 and is now 2"):
        claim(question(path, precision="int8", threads=2).settings)


def test_the_budget_holds_on_the_bound_of_the_confidence_that_was_asked_for():
    given = {"device": "jetson-nano", "budget_ms": 20.0}
    loose, plain, strict = (ask(RunSettings(**given, confidence=level)).about(1, 10) for level in (0.5, None, 0.99))
    assert [problem.model.confidence for problem in (loose, plain, strict)] == [0.5, 0.95, 0.99]
    prices = [problem.price(problem.space.largest()).latency for problem in (loose, plain, strict)]
    assert len({price.ms for price in prices}) == 1 and prices[0].high_ms < prices[1].high_ms < prices[2].high_ms
    with pytest.raises(DeviceError, match=r"is known with confidence 0\.5, 0\.8, 0\.9, 0\.95, 0\.99, not 0\.7: ask for one of these"):
        ask(RunSettings(**given, confidence=0.7))
    with pytest.raises(StudyError, match=r"confidence was None and is now 0\.5"):
        RunSettings(**given, confidence=0.5).refuse_change(RunSettings(**given))
