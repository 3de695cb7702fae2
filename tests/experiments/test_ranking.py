import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau
from typer.testing import CliRunner

from experiments import ranking
from experiments.journal import Journal, read
from experiments.ranking_lib import agreement, alone, shared
from experiments.ranking_lib.networks import BAND, choose
from experiments.single_training import Recipe
from nas.core.errors import CheckpointError, StudyError
from nas.data import normalise
from nas.supernet import Supernet
from nas.training import accuracy
from search_spaces import blocks
from tests.tiny import CLASSES, SPACE, images

DATA = images()


def test_networks_are_spread_evenly_over_macs_and_a_third_lie_in_the_band():
    chosen = choose(SPACE, 1, CLASSES, 12, seed=0)
    assert chosen == choose(SPACE, 1, CLASSES, 12, seed=0) != choose(SPACE, 1, CLASSES, 12, seed=1)
    assert len({one.architecture for one in chosen}) == 12
    assert all(one.macs == blocks.macs(SPACE.network(one.architecture, 1, CLASSES)) for one in chosen)
    spread = np.sort([one.macs for one in chosen if one.group == "range"])
    band = [one.macs for one in chosen if one.group == "band"]
    assert len(spread) == 8 and len(band) == 4 and max(band) / min(band) <= (1 + BAND) / (1 - BAND)
    width = (spread[-1] - spread[0]) / 7
    assert np.diff(spread).max() < 2.5 * width  # one in each of eight bins
    assert {one.group for one in chosen[:3]} == {"range", "band"}


def test_a_space_without_networks_of_every_size_is_refused():
    with pytest.raises(StudyError, match=r"tiny has networks in \d+ of 400 ranges of MACs"):
        choose(SPACE, 1, CLASSES, 600, seed=0)


def test_a_journal_survives_a_torn_line_and_refuses_another_title(tmp_path):
    path = tmp_path / "new" / "alone.jsonl"
    Journal(path, {"recipe": 1}).add({"id": "a"})
    with path.open("a") as file:
        file.write('{"id": "b", "te')
    again = Journal(path, {"recipe": 1})
    assert again.lines == [{"recipe": 1}, {"id": "a"}]
    again.add({"id": "c"})
    assert read(path) == [{"recipe": 1}, {"id": "a"}, {"id": "c"}]
    with pytest.raises(StudyError, match=r"begun with \{'recipe': 1\}, asked for is \{'recipe': 2\}"):
        Journal(path, {"recipe": 2})


def test_a_network_learns_alone_and_is_decided_by_its_seed():
    spec = SPACE.network(SPACE.smallest(), 1, CLASSES)
    recipe = Recipe(epochs=6, batch_size=32)
    network = alone.train(spec, DATA, recipe, seed=1)
    assert not network.training and accuracy(network, DATA, DATA.test) > 0.8
    again, other = alone.train(spec, DATA, recipe, seed=1).state_dict(), alone.train(spec, DATA, recipe, seed=2).state_dict()
    assert all(torch.equal(values, again[name]) for name, values in network.state_dict().items())
    assert any(not torch.equal(values, other[name]) for name, values in network.state_dict().items())


def supernet():
    torch.manual_seed(0)
    return Supernet(SPACE, 1, CLASSES)


def trained(path, recipe, stop=None):
    weights = supernet()
    for step, _, _ in shared.train(weights, DATA, recipe, seed=3, path=path):
        if step == stop:
            break
    return weights


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_shared_weights_continue_as_if_never_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "CHECKPOINT_STEPS", 2)
    recipe = shared.Recipe(epochs=2, batch_size=32, random_networks=1)
    whole = trained(tmp_path / "whole", recipe)
    trained(tmp_path / "halves", recipe, stop=4)
    assert same(whole, trained(tmp_path / "halves", recipe))
    with pytest.raises(CheckpointError, match="is of recipe"):
        trained(tmp_path / "whole", shared.Recipe(epochs=1, batch_size=32, random_networks=1))


def test_shared_statistics_hold_every_network_and_re_calibration_is_worth_it():
    weights = supernet()
    statistics = shared.shared_statistics(weights, DATA)
    network = weights.extract(SPACE.network(SPACE.smallest(), 1, CLASSES))
    before = {name: values.clone() for name, values in network.named_buffers()}
    shared.use_statistics(network, statistics)
    changed = {name for name, values in network.named_buffers() if not torch.equal(values, before[name])}
    assert changed == {name for name in before if name.endswith(("running_mean", "running_var"))}
    pixels = normalise(DATA.test.images, DATA, network.spec.resolution)
    with torch.no_grad():
        assert torch.isfinite(network(pixels)).all()


def test_figures_of_known_rankings():
    alone_lines = [
        {
            "id": str(i),
            "genes": [i],
            "group": "range" if i < 6 else "band",
            "macs": 100 - i,
            "seed": seed,
            "test": 0.8 + 0.01 * i + 0.001 * seed,
        }
        for seed in (1, 0)
        for i in range(10)
    ]
    rows = agreement.joined(alone_lines)
    assert [row["macs"] for row in rows] == sorted(row["macs"] for row in rows) and rows[0]["alone"] == pytest.approx([0.89, 0.891])
    scored = {str(i): {"id": str(i), "test": 0.79 + 0.01 * i, "validation": 0.5, "raw": -float(i)} for i in range(10)}
    found = agreement.figures(rows, scored)
    assert {name: one["networks"] for name, one in found.items()} == {"range": 6, "band": 4, "all": 10}
    whole = found["all"]
    assert whole["tau"] == {"value": 1, "low": 1, "high": 1}
    assert whole["ceiling"]["value"] == whole["of_ceiling"]["value"] == 1 and whole["tau_macs"]["value"] == -1
    assert whole["tau_without_recalibration"]["value"] == -1 and whole["tau_validation"]["value"] is None
    assert whole["gap_points"] == {"mean": 1.05, "least": 1.05, "most": 1.05}
    assert whole["seed_noise_points"] == pytest.approx(0.0707, abs=1e-4)
    json.dumps(found, allow_nan=False)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=30))
def test_tau_is_scipys(pairs):
    a, b = np.array(pairs, np.float64).T
    wanted = kendalltau(a, b).statistic
    assert agreement.kendall(a, b) == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_figures_agree_with_scipy_and_one_seed_has_no_ceiling():
    random = np.random.default_rng(0)
    truth, test = random.normal(size=20), random.normal(size=20)
    lines = [{"id": str(i), "genes": [], "group": "range", "macs": i, "seed": 0, "test": truth[i]} for i in range(20)]
    scored = {str(i): {"id": str(i), "test": test[i], "validation": test[i], "raw": 0.1} for i in range(20)}
    one = agreement.figures(agreement.joined(lines), scored)["range"]
    assert one["tau"]["value"] == pytest.approx(kendalltau(truth, test).statistic, abs=1e-4)
    assert one["tau"]["low"] < one["tau"]["value"] < one["tau"]["high"]
    assert one["ceiling"] is None and one["tau_one_seed"] is None


def test_a_report_without_results_says_what_to_do(tmp_path):
    result = CliRunner().invoke(ranking.app, ["report", "--out", str(tmp_path)])
    assert isinstance(result.exception, StudyError) and "run the standalone command first" in str(result.exception)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_experiment_from_end_to_end(tmp_path):
    def call(command, *words):
        result = CliRunner().invoke(ranking.app, [command, "--out", str(tmp_path), *words], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    some = ("--data", "embedded", "--images", "128")
    assert "12 of 12" in call("standalone", *some, "--nets", "6", "--epochs", "1")
    assert not call("standalone", *some, "--nets", "6", "--epochs", "1")  # everything is there
    call("supernet", *some, "--epochs", "1")
    assert "reference: step 2 of 2" not in call("supernet", *some, "--epochs", "1")
    scored = call("inherit", *some, "--nets", "6")
    assert len(scored.splitlines()) == 6 and not call("inherit", *some, "--nets", "6")
    assert "reference" in call("report", "--result", str(tmp_path / "ranking.json"))
    found = json.loads((tmp_path / "ranking.json").read_text())
    assert found["supernets"]["reference"]["figures"]["all"]["networks"] == 6 and found["alone"]["trainings"] == 12
    assert "plotly" in (tmp_path / "reference" / "ranking.html").read_text()
