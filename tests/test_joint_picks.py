"""From candidates with a precision and a share of channels to picks: one for each network, in all versions, one of them meant."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.choosing import choose, recommend
from nas.compressors import CompressionError
from nas.core.architecture import Architecture
from nas.core.budget import Budget
from nas.core.device import RuntimeTarget
from nas.data import ImageData, Split
from nas.finishing import Finisher
from nas.joint_space import JointSpace
from nas.network import Network
from nas.run_folder import RunFolder
from nas.settings import RunSettings, TrainingSettings
from nas.supernet import Supernet
from nas.tuning import Tuner, read, write
from tests.joint import JOINT
from tests.test_choosing import record
from tests.test_finishing import FP32, INT8, PRUNED, step
from tests.tiny import CLASSES, SPACE, images


def plain(architecture):
    """Candidate `number` as one of three versions of network `number // 3`."""
    return Architecture("plain", (architecture.genes[0] // 3,))


FIGURES = st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.integers(1, 9).map(float)), max_size=15)


@given(FIGURES, st.integers(1, 6))
def test_no_network_is_picked_twice_and_as_many_as_there_are(figures, picks):
    records = [record(number, *one) for number, one in enumerate(figures)]
    chosen = choose(records, picks, plain=plain)
    networks = [plain(one.architecture) for one in chosen]
    assert len(set(networks)) == len(networks) == min(picks, len({plain(one.architecture) for one in records}))
    assert [one.latency.ms for one in chosen] == sorted(one.latency.ms for one in chosen)


def test_of_versions_on_the_front_the_most_accurate_is_meant():
    fast, accurate, other = record(0, 0.80, 1.0), record(1, 0.85, 2.0), record(3, 0.9, 3.0)
    assert choose([fast, accurate, other], 3) == [fast, accurate, other]
    assert choose([fast, accurate, other], 3, plain=plain) == [accurate, other]
    stopped = replace(accurate, evaluation=replace(accurate.evaluation, rejected_after=250))
    assert choose([fast, stopped, other], 3, plain=plain) == [fast, other], "an estimate is no reason"


@pytest.mark.parametrize(
    ("meant", "budget", "name"),
    [
        ("int8", Budget(20.0), "int8"),
        ("fp32", Budget(20.0), "fp32"),
        ("pruned", Budget(20.0), "pruned"),
        ("int8", Budget(7.0), "pruned"),
        ("pruned_int8", Budget(20.0), "pruned"),
        ("", Budget(20.0), "pruned"),
    ],
    ids=["though pruned is faster", "though all others are", "the fastest", "beyond the budget", "it could not be made", "nothing meant"],
)
def test_what_the_search_meant_is_recommended_unless_beyond_the_budget(meant, budget, name):
    assert recommend([FP32, PRUNED, INT8], budget, "fp32", meant) == name


def test_what_was_meant_is_recommended_though_its_latency_is_not_known():
    assert recommend([FP32, step("int8", 0.89, None, 1.0)], Budget(20.0), "fp32", "int8") == "int8"


def version(precision, keep, base=None):
    genes = (base or SPACE.largest()).genes
    return JOINT.architecture([*genes, JOINT.precisions.index(precision), JOINT.keeps.index(keep)])


@pytest.mark.parametrize(("keep", "kept"), [(1.0, 0.6), (0.75, 0.75), (0.5, 0.5)])
def test_a_pick_is_pruned_as_much_as_the_search_meant(tmp_path, keep, kept):
    """All others as much as the settings say."""
    data, tuning = images(64), TrainingSettings(epochs=0.5, learning_rate=0.01, batch_size=32)
    settings = RunSettings(device="made up", budget_ms=1, keep_hidden=0.6, fine_tuning=tuning, calibration_images=32)
    torch.manual_seed(0)
    tuner = Tuner.of(Supernet(SPACE, 1, CLASSES), data, settings, ("hidden_channels",), JOINT)
    tuner(version("int8", keep), tmp_path / "tuned", lambda: None)
    networks, notes = read(tmp_path / "tuned")
    assert notes == [] and networks["fp32"].spec == SPACE.network(SPACE.largest(), 1, CLASSES)
    wanted = JointSpace(SPACE, ("fp32",), (kept,))
    assert networks["pruned"].spec == wanted.network(wanted.architecture([*SPACE.largest().genes, 0, 0]), 1, CLASSES)


def finished(folder, architecture, monkeypatch, refuses=()):
    """The pick that comes of two untrained networks, with a compressor that copies files, and refuses those in `refuses`."""
    from nas import compressors

    folder = RunFolder(folder)
    torch.manual_seed(0)
    whole = Network(SPACE.network(JOINT.plain(architecture), 1, 10)).eval()
    pruned = Network(JOINT.network(architecture, 1, 10)).eval()
    folder.tuned(architecture.id).parent.mkdir(parents=True)
    write(folder.tuned(architecture.id), {"fp32": whole, "pruned": pruned}, [])
    split = Split(torch.randint(0, 256, (12, 1, 12, 12), dtype=torch.uint8), torch.arange(12) % 10)
    data = ImageData("made up", tuple("abcdefghij"), split, split, split, (0.5,), (0.25,), "0")

    def copied(self, source, target, evidence):
        if any(target.name.endswith(f"-{one}.onnx") for one in refuses):
            raise CompressionError(f"{target.name} would lose too much")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(compressors.FileCompressor, "compress", copied)
    target = RuntimeTarget("board", "onnxruntime", "1", "fp32", 1)
    given = Finisher(
        JOINT, data, data, ("int8_static",), target, 17, lambda *_: (None, "nobody timed it"), lambda _: None, Budget(1.0), folder
    )
    return given.finish(architecture, 0.5, JOINT.version(architecture))


def test_a_pruned_int8_version_is_made_where_it_was_meant_and_marked(tmp_path, monkeypatch):
    pick = finished(tmp_path, version("int8", 0.5), monkeypatch)
    assert [step.name for step in pick.steps] == ["fp32", "pruned", "int8", "pruned_int8"]
    assert pick.meant == pick.recommended == "pruned_int8"
    assert pick.steps[-1].model == f"models/{pick.architecture.id}-pruned_int8.onnx" and (tmp_path / pick.steps[-1].model).exists()
    assert pick.description.endswith("| int8, 0.5 of hidden channels")


@pytest.mark.parametrize(("precision", "keep", "meant"), [("fp32", 1.0, "fp32"), ("int8", 1.0, "int8"), ("fp32", 0.5, "pruned")])
def test_other_versions_are_those_of_every_run(tmp_path, monkeypatch, precision, keep, meant):
    pick = finished(tmp_path, version(precision, keep), monkeypatch)
    assert [step.name for step in pick.steps] == ["fp32", "pruned", "int8"] and pick.meant == pick.recommended == meant


def test_a_version_that_could_not_be_made_is_not_recommended(tmp_path, monkeypatch):
    pick = finished(tmp_path, version("int8", 0.5), monkeypatch, refuses=("pruned_int8",))
    assert [step.name for step in pick.steps] == ["fp32", "pruned", "int8"]
    assert pick.meant == "pruned_int8" != pick.recommended and "would lose too much" in pick.notes[-1]
