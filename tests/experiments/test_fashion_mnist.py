"""The comparison on Fashion-MNIST: who takes part, what counts as ahead, and that it goes on from wherever it was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from typer.testing import CliRunner

import search_spaces
from experiments import fashion_mnist
from experiments.fashion_lib import entrants, figures, images, picking, times
from experiments.journal import Journal
from nas import data
from nas.core.errors import StudyError, UnknownNameError
from nas.core.objectives import DEFAULT
from nas.data import Split
from search_spaces import blocks, known

ROOT = Path(__file__).parents[2]
SPACE = search_spaces.load("mobile_shuffle_32")
GENES = [list(SPACE.architecture(genes).genes) for genes in ((3, 1, 1, 5, 5, 2, 1, 4, 4, 4, 1, 1, 5, 5, 0), (2, *[0] * 14))]


def picked(*genes, weights="12345678", max_macs=10e6):
    chosen = [SPACE.architecture(one) for one in genes or GENES]
    picks = [{"id": one.id, "genes": list(one.genes), "macs": blocks.macs(SPACE.network(one, 1, 10))} for one in chosen]
    same = {"supernet": weights, "space": SPACE.key, "channels": 1, "classes": 10, "max_macs": max_macs, "front": picks, "picks": picks}
    return same | {"evaluated": 9, "strategy": "random", "objectives": str(DEFAULT)}


def test_the_packages_weights_have_not_seen_a_validation_image():
    found = images.load("embedded", SPACE.name, 100)
    assert (len(found.train), len(found.validation), len(found.test)) == (100, 1000, 1000)
    assert found.name == "embedded, 100 training and 1,000 validation images"
    whole = data.load("embedded", 32, 0)
    mixed = Split(torch.cat([whole.validation.images[:5], whole.train.images[:7]]), torch.arange(12))
    assert images.without(mixed, whole.train).labels.tolist() == [0, 1, 2, 3, 4]


def test_peers_are_as_large_as_the_best_pick_and_it_alone_may_begin_from_scratch():
    first, *others, last = entrants.entrants(picked(), from_scratch=True)
    assert [one.title for one in (first, *others, last)] == [
        "pick 1",
        "MobileNetV2, scaled",
        "MobileNetV3-Small, scaled",
        "ShuffleNetV2, scaled",
        "pick 2",
        "pick 1, from scratch",
    ]
    assert len({one.key for one in (first, *others, last)}) == 6 and last.spec == first.spec and last.start == entrants.RANDOM
    for peer in others[:3]:
        assert peer.start == entrants.RANDOM and peer.spec.resolution == first.spec.resolution and not peer.pick
        assert blocks.macs(peer.spec) == pytest.approx(blocks.macs(first.spec), rel=known.ALLOWED)
    assert entrants.entrants(picked(), from_scratch=False) == [first, *others]


def line(entrant, test, seed=0):
    kept = {"key": entrant.key, "title": entrant.title, "start": entrant.start, "genes": list(entrant.genes), "seed": seed}
    counts = {"resolution": entrant.spec.resolution, "macs": blocks.macs(entrant.spec), "params": blocks.weights(entrant.spec)}
    return kept | counts | {"validation": test - 0.001, "test": test, "wrong": list(range(round(1000 * (1 - test))))}


RECIPE = entrants.Recipe(16)
TITLE = {"data": "some", "test_images": 1000, "fingerprint": "0", "recipe": {"epochs": 16, "batch_size": 64}}


def test_only_networks_of_the_last_search_are_compared(tmp_path):
    with pytest.raises(StudyError, match="run the search command first"):
        entrants.trained(tmp_path)
    found = picked()
    picking.picks_of(tmp_path).write_text(json.dumps(found))
    with pytest.raises(StudyError, match="run the train command first"):
        entrants.trained(tmp_path)
    now, old = entrants.entrants(found, True), entrants.entrants(picked((3, 0, 1, *GENES[0][3:]), weights="old"), True)
    journal = Journal(entrants.journal_of(tmp_path), TITLE)
    for one in (*reversed(now), *old):
        journal.add(line(one, 0.9))
    head, lines = entrants.trained(tmp_path)
    assert (
        head == TITLE and [one["key"] for one in lines] == [one.key for one in now] and [one["pick"] for one in lines] == [1, 0, 0, 0, 2, 1]
    )
    with pytest.raises(StudyError, match="shared weights 12345678, now there are 9: search again"):
        picking.require_same(found, "9", tmp_path)


@pytest.mark.parametrize(
    ("points", "faster", "wanted"),
    [(0.3, None, True), (0.29, None, False), (0.0, 1.3, True), (-0.29, 1.5, True), (-0.3, 9.0, False), (0.1, 1.29, False)],
)
def test_ahead_is_better_or_faster_and_no_worse(points, faster, wanted):
    assert figures.ahead(points, faster) is wanted


def told(tests, ms=None, max_macs=10e6):
    found = picked(max_macs=max_macs)
    everyone = entrants.entrants(found, True)
    lines = [line(one, test) | {"pick": one.pick} for one, test in zip(everyone, tests, strict=True)]
    timed = {one.key: {"median": value, "least": value, "most": value} for one, value in zip(everyone, ms or (), strict=False)}
    clock = {"machine": "m", "runtime": "r", "threads": 1} if ms else {}
    return figures.document(found, TITLE, lines, (clock, timed, 3))


def test_the_figures_say_who_is_ahead_and_of_whom():
    found = told((0.94, 0.935, 0.938, 0.939, 0.93, 0.936), ms=(1, 1, 2, 1.2, 0.5, 1))
    assert found["reached"] and found["networks"][0]["test"] == 94.0
    ours = {(one["ours"], one["peer"]): one for one in found["comparisons"]}
    assert len(ours) == 6 and {first for first, _ in ours} == {"pick 1", "pick 1, from scratch"}
    assert [ours["pick 1", one["title"]]["ahead"] for one in found["networks"][1:4]] == [True, True, False]
    assert ours["pick 1", "MobileNetV2, scaled"]["error"] == pytest.approx(0.223, abs=1e-3)  # 5 of 1000 images differ
    assert ours["pick 1", "MobileNetV3-Small, scaled"]["times"] == 2 and ours["pick 1", "ShuffleNetV2, scaled"]["points"] == 0.1
    page = figures.markdown(found, "today")
    assert "| pick 1 | shared weights | 32 |" in page and "it reaches 93.5 %" in page and "median of 3 interleaved rounds" in page
    json.dumps(found, allow_nan=False)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_the_error_is_that_of_the_mean_of_differences(wrong):
    mine, theirs = ([place for place, each in enumerate(wrong) if each[i]] for i in (0, 1))
    differences = np.array([float(b) - float(a) for a, b in wrong])
    wanted = 100 * differences.std() / len(wrong) ** 0.5
    assert figures.paired_error(mine, theirs, len(wrong)) == pytest.approx(wanted, abs=1e-9)


def test_another_pick_that_is_best_on_validation_images_is_held_against_peers_too_and_its_size_is_said():
    found = told((0.92, 0.9, 0.9, 0.9, 0.93, 0.9))
    assert not found["reached"] and {one["ours"] for one in found["comparisons"]} == {"pick 1", "pick 2", "pick 1, from scratch"}
    sizes = {one["macs"] < 0.5 for one in found["comparisons"] if one["ours"] == "pick 2"}
    assert sizes == {True} and "Nothing was timed yet." in figures.markdown(found, "today")
    assert not told((0.99, *[0.9] * 5), max_macs=1e6)["reached"]  # too large


def test_seeds_are_averaged_and_incomplete_rounds_do_not_count():
    one = entrants.entrants(picked(), False)[0]
    rows = figures.networks([line(one, test, seed) | {"pick": 1} for seed, test in enumerate((0.9, 0.91))], {})
    assert (
        len(rows) == 1 and rows[0]["test"] == 90.5 and rows[0]["test_each"] == [0.9, 0.91] and "(90.00, 91.00)" in figures.cells(rows[0])[6]
    )
    rounds = [{"ms": {"a": 1.0, "b": 5.0}}, {"ms": {"a": 9.0}}, {"ms": {"a": 3.0, "b": 4.0}}, {"ms": {"a": 2.0, "b": 6.0}}]
    assert times.figures(rounds, ["a", "b"])["a"] == {"median": 2.0, "least": 1.0, "most": 3.0} and times.figures(rounds, ["c"]) == {}


def call(*words, out, fails=None):
    result = CliRunner().invoke(fashion_mnist.app, [*words, "--out", str(out)], catch_exceptions=fails is not None)
    assert isinstance(result.exception, fails) if fails else result.exit_code == 0
    return result.stdout


def test_what_lacks_is_said(tmp_path):
    call("report", out=tmp_path, fails=StudyError)
    call("train", "--data", "embedded", "--images", "128", out=tmp_path, fails=StudyError)
    call("supernet", "--data", "embedded", "--images", "128", "--init", "shiped", out=tmp_path, fails=UnknownNameError)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_from_end_to_end_and_a_killed_training_ends_in_the_same_bits(tmp_path):
    some = ("--data", "embedded", "--images", "640")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for out in (whole, killed):
        assert "shared weights" in call("supernet", *some, "--epochs", "0.2", out=out)
        asked = ("--device", "jetson-nano", "--trials", "4", "--picks", "1", "--validation-images", "100", "--calibration-images", "64")
        assert "4 networks evaluated" in call("search", *some, *asked, out=out)
    training = (*some, "--epochs", "0.7", "--from-scratch")
    assert len(call("train", *training, out=whole).splitlines()) == 5

    command = [sys.executable, "-m", "experiments.fashion_mnist", "train", *training, "--out", str(killed), "--checkpoint-seconds", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    begun = killed / "training"
    while not list(begun.glob("mobilenet_v2*")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len((killed / "trained.jsonl").read_text().splitlines()) == 2  # title and the first network
    assert len(call("train", *training, out=killed).splitlines()) == 4
    assert not list(begun.iterdir()) and not call("train", *training, out=killed)

    names = sorted(path.name for path in (whole / "networks").iterdir())
    assert len(names) == 5 and names == sorted(path.name for path in (killed / "networks").iterdir())
    for name in names:
        one, other = (load_file(out / "networks" / name) for out in (whole, killed))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)

    assert len(call("time", "--rounds", "2", "--max-seconds", "0.02", out=whole).splitlines()) == 2
    assert not call("time", "--rounds", "2", "--max-seconds", "0.02", out=whole)
    assert "against MobileNetV2, scaled" in call("report", "--result", str(tmp_path / "figures.json"), out=whole)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["latency"]["rounds"] == 2 and len(found["networks"]) == 5 and (tmp_path / "figures.md").exists()
