"""Precision and pruning as genes of a run's question: which device can be asked, and what it is asked."""

import subprocess
import sys

import pytest

from nas import footprint, problem, scored_search, search
from nas.core.errors import DeviceError, InfeasibleBudgetError, SpaceError, StudyError, TargetMismatchError, UnknownNameError
from nas.pipeline import Execution
from nas.problem import ask, named
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from nas.several_settings import SeveralSettings
from tests.boards import SPACE, board, target

FP32, INT8, INT8_TWO, FP32_TWO = target("fp32"), target("int8"), target("int8", 2), target("fp32", 2)
BOTH = ("hidden_channels", "int8_static")


def settings(path, precision="fp32,int8", keep="", **asked):
    return RunSettings(device=path, budget_ms=asked.pop("budget_ms", 50), precision=precision, keep=keep, **asked)


def test_a_network_is_priced_at_its_own_precision_and_width(tmp_path):
    path = board(tmp_path, [FP32, INT8], [FP32, INT8], BOTH)
    asked = ask(settings(path, keep="1,0.5")).about(1, 10)
    joint = asked.searched
    assert (joint.precisions, joint.keeps, asked.space) == (("fp32", "int8"), (1.0, 0.5), SPACE)
    for plain in (SPACE.smallest(), SPACE.largest()):
        whole, small, fast, both = (asked.price(joint.architecture([*plain.genes, p, k])) for p in (0, 1) for k in (0, 1))
        blocks = 0.01 * len(SPACE.network(plain, 1, 10).blocks)
        assert fast.latency.ms - blocks == pytest.approx((whole.latency.ms - blocks) / 2)
        assert small.latency.ms < whole.latency.ms and both.latency.ms < fast.latency.ms
        assert fast.size_mb == footprint.size_mb(SPACE.network(plain, 1, 10), "int8")
        assert asked.plain(joint.architecture([*plain.genes, 1, 1])) == plain
        assert asked.version(joint.architecture([*plain.genes, 1, 1])) == "pruned_int8"
        assert asked.macs(joint.architecture([*plain.genes, 1, 1])) < asked.macs(joint.architecture([*plain.genes, 1, 0]))


def test_one_precision_and_all_channels_change_nothing(tmp_path):
    path = board(tmp_path, [FP32, INT8], [FP32, INT8], BOTH)
    plain, same = ask(settings(path, "int8")), ask(settings(path, "int8", "1"))
    assert plain.joint is same.joint is None
    given = same.about(1, 10)
    assert given.searched is given.space and given.plain(SPACE.smallest()) == SPACE.smallest() and given.version(SPACE.smallest()) == ""


def test_runtime_and_threads_are_the_first_that_have_all_precisions(tmp_path):
    path = board(tmp_path, [FP32, FP32_TWO, INT8_TWO], [FP32, FP32_TWO, INT8_TWO], BOTH)
    found = ask(settings(path))
    assert found.settings.threads == 2 and {model.target.threads for model in found.joint.models} == {2}
    assert named(settings(path)) == found.settings
    with pytest.raises(DeviceError, match=r"board cannot be searched in fp32 and int8 at once with 1 thread\(s\): it has both "):
        ask(settings(path, threads=1))


def test_runtime_and_threads_that_were_measured_in_all_precisions_go_first(tmp_path):
    targets = [target(precision, threads) for threads in (1, 2) for precision in ("fp32", "int8")]
    device = board(tmp_path, targets, [targets[0], *targets[2:]])
    assert named(settings(device)).threads == 2
    assert named(settings(device, threads=1)).threads == 1


def test_a_question_is_answered_without_torch(tmp_path):
    path = board(tmp_path, [FP32, INT8], [FP32, INT8], BOTH)
    code = (
        "import sys; from nas.problem import ask; from nas.settings import RunSettings; "
        f"asked = ask(RunSettings(device={path!r}, budget_ms=50, precision='fp32,int8', keep='1,0.5')).about(1, 10); "
        "print(len(asked.overview())); assert not {'torch', 'optuna', 'onnx'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


@pytest.mark.parametrize(
    ("measured", "compressors", "asked", "kind", "said"),
    [
        ([FP32, INT8], BOTH, {"precision": "fp32,int7"}, UnknownNameError, "no precision is named 'int7'"),
        ([FP32, INT8], BOTH, {"keep": "1,2"}, SpaceError, "above 0 and up to 1"),
        ([FP32], BOTH, {}, DeviceError, "int8, 1 thread, batch 1 is not measured yet; run: measure int8"),
        (
            [FP32, INT8],
            ("hidden_channels",),
            {},
            DeviceError,
            r"it has both latencies and files for onnxruntime, 1 thread\(s\): fp32. .*compressors in .*board.toml \(hidden_channels\)",
        ),
        ([FP32, INT8], BOTH, {"precision": "fp32,fp16"}, DeviceError, r"in fp32 and fp16 at once.* 1 thread\(s\): fp32, int8"),
        ([FP32, INT8], ("int8_static",), {"keep": "1,0.5"}, DeviceError, r"no compressor that prunes hidden channels .*int8_static"),
        ([FP32, INT8], BOTH, {"max_energy_mj": 5.0}, DeviceError, "energy cannot be limited on board: no power was measured"),
        ([FP32, INT8], BOTH, {"runtime": "tensorrt"}, DeviceError, "in fp32 and int8 at once in tensorrt"),
    ],
)
def test_what_a_device_cannot_be_asked(tmp_path, measured, compressors, asked, kind, said):
    path = board(tmp_path, [FP32, INT8], measured, compressors)
    with pytest.raises(kind, match=said):
        ask(settings(path, **asked))


def test_a_single_precision_that_the_device_lacks_is_refused_as_ever(tmp_path):
    with pytest.raises(TargetMismatchError, match="board has no latencies for fp16"):
        ask(settings(board(tmp_path, [FP32, INT8], [FP32, INT8], BOTH), "fp16"))


def test_int8_for_a_device_that_reads_no_weights_per_channel_is_refused(tmp_path):
    path = board(tmp_path, [FP32, INT8], [FP32, INT8], BOTH)
    profile = tmp_path / "board.toml"
    profile.write_text(profile.read_text().replace("max_onnx_opset = 17", "max_onnx_opset = 12"))
    with pytest.raises(DeviceError, match=r"it has both latencies and files for onnxruntime, 1 thread\(s\): fp32\."):
        ask(settings(path))


def test_a_budget_below_all_combinations_is_refused_with_the_fastest(tmp_path):
    path = board(tmp_path, [FP32, INT8], [FP32, INT8], BOTH)
    with pytest.raises(InfeasibleBudgetError, match=r"^int8, 0\.5 of hidden channels: .*fastest of the 4 combinations") as caught:
        ask(settings(path, keep="1,0.5", budget_ms=0.01)).about(1, 10)
    assert caught.value.exit_code == 3


def test_another_question_of_precision_or_pruning_is_another_run(tmp_path):
    path, folder = board(tmp_path, [FP32, INT8], [FP32, INT8], BOTH), RunFolder(tmp_path / "run")

    def claim(**asked):
        with folder.claim(ask(settings(path, **asked)).settings, False, problem.named) as found:
            return found.continues

    assert not claim() and claim()
    with pytest.raises(StudyError, match="precision was 'fp32,int8' and is now 'fp32'"):
        claim(precision="fp32")
    with pytest.raises(StudyError, match=r"keep was '1' and is now '1,0\.5'"):
        claim(keep="0.5, 1")
    assert claim(precision="fp32, int8", keep="1.0"), "the same in other words"


def test_scores_that_know_nothing_of_precision_are_refused(tmp_path):
    path = board(tmp_path, [FP32, INT8], [FP32, INT8], BOTH)
    with pytest.raises(StudyError, match="--accuracy zen says nothing of precision and pruning"):
        scored_search.search(settings(path, accuracy="zen"), Execution(), tmp_path / "run", None)


@pytest.mark.parametrize("asked", [{"precision": "fp32,int8"}, {"precision": "fp32", "keep": "1,0.5"}])
def test_several_devices_have_one_precision_each(asked):
    with pytest.raises(StudyError, match="several devices at once are searched for in one precision each, and without --keep"):
        SeveralSettings.of([settings("a", **asked), settings("b", **asked)])


OPTIONS = {"--budget": "1ms", "--runtime": "", "--threads": "", "--max-size": "", "--max-memory": "", "--max-energy": "", "--max-macs": ""}


@pytest.mark.parametrize(
    ("device", "precision", "keep", "precisions", "folder"),
    [
        ("local", "fp32,int8", "1, 0.5", ["fp32,int8"], "local-fp32-int8-keep-1-0.5-1ms"),
        ("local", "int8", "", ["int8"], "local-int8-1ms"),
        ("local", "fp32", "", ["fp32"], "local-1ms"),
        ("jetson-nano,local", "fp32,int8", "", ["fp32", "int8"], "jetson-nano+local-int8-1ms"),
    ],
)
def test_precisions_are_genes_of_one_device_and_one_each_of_several(device, precision, keep, precisions, folder):
    each = search._each_device(device, {**OPTIONS, "--precision": precision})
    assert [one["precision"] for one in each] == precisions
    assert search._folder_name(each, keep) == folder
    assert search._folder_name(each, keep, 0.9) == f"{folder}-confidence-0.9"
