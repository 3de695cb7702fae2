"""What the accuracies of some architectures tell about the others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from nas.accuracy.predictor import INDUCING, fit
from nas.core.errors import SpaceError
from tests import shared_data

OPTIONS = (4, 3, 2, 5, 5, 5, 3, 3)


def problem(count, seed, noise=0.0):
    """Architectures and accuracies between 0 and 1 that crowd below the best, with options that interact."""
    random = np.random.default_rng(seed)
    genes = random.integers(0, OPTIONS, (count, len(OPTIONS)))
    worth = np.random.default_rng(0).random((len(OPTIONS), max(OPTIONS)))
    total = worth[np.arange(len(OPTIONS)), genes].sum(axis=1) + 2.0 * worth[0, genes[:, 0]] * worth[3, genes[:, 3]]
    return genes, 0.95 - 0.3 * np.exp(-0.7 * total) + noise * random.standard_normal(count)


def correlation(a, b):
    """Spearman's."""
    return np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1]


@pytest.mark.parametrize(("count", "least"), [(20, 0.7), (60, 0.9), (200, 0.97), (600, 0.97)])
def test_it_ranks_what_it_has_not_seen(count, least):
    genes, accuracy = problem(count, seed=1)
    unseen, truth = problem(2000, seed=2)
    mean, _ = fit(genes, OPTIONS, accuracy, seed=0).predict(unseen)
    assert correlation(mean, truth) > least


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("count", [40, 150, 600])
def test_the_deviation_covers_what_an_evaluation_finds(count, noise):
    genes, accuracy = problem(count, 3, noise)
    unseen, found = problem(2000, 4, noise)
    mean, std = fit(genes, OPTIONS, accuracy, seed=0).predict(unseen)
    assert (std > 0).all()
    assert 0.8 < np.mean(np.abs(found - mean) < 1.645 * std) <= 1.0


def test_what_was_evaluated_is_known_better_than_what_was_not():
    genes, accuracy = problem(80, seed=5)
    predictor = fit(genes, OPTIONS, accuracy, seed=0)
    _, known = predictor.predict(genes)
    _, unknown = predictor.predict(problem(80, seed=6)[0])
    assert np.median(known) < 0.5 * np.median(unknown)
    assert np.abs(predictor.predict(genes)[0] - accuracy).max() < np.abs(accuracy - accuracy.mean()).max() / 5


@given(st.floats(0.01, 1000.0), st.floats(-100.0, 100.0))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_the_accuracy_does_not_matter(scale, shift):
    genes, accuracy = problem(30, seed=7)
    unseen = problem(50, seed=8)[0]
    mean, std = fit(genes, OPTIONS, accuracy, seed=0).predict(unseen)
    other_mean, other_std = fit(genes, OPTIONS, scale * accuracy + shift, seed=0).predict(unseen)
    np.testing.assert_allclose(other_mean, scale * mean + shift, rtol=1e-3, atol=2e-3 * scale)
    np.testing.assert_allclose(other_std, scale * std, rtol=1e-2, atol=1e-4 * scale)


@given(st.lists(st.tuples(*(st.integers(0, count - 1) for count in (2, 1, 3))), min_size=1, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_any_evaluations_give_finite_predictions(rows, data):
    """One row, equal rows, equal accuracies, a gene with one option."""
    accuracy = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.5000001, 1.0]), min_size=len(rows), max_size=len(rows)))
    mean, std = fit(np.array(rows), (2, 1, 3), np.array(accuracy), seed=0).predict(np.array([[0, 0, 0], [1, 0, 2]]))
    assert np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()


def test_the_same_evaluations_and_seed_predict_the_same():
    genes, accuracy = problem(INDUCING + 50, seed=9)
    unseen = problem(100, seed=10)[0]
    first, again = (fit(genes, OPTIONS, accuracy, seed=4).predict(unseen) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_one_thread_computes_and_the_others_are_given_back(monkeypatch):
    """On processors that evaluate meanwhile, several would wait for each other."""

    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas" and "numpy" in pool["filepath"]}

    seen, decompose = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: seen.append(threads()) or decompose(matrix))
    genes = np.arange(24, dtype=np.int32).reshape(-1, 1) % 6
    with threadpool_limits(limits=2, user_api="blas"):
        fit(genes, (6,), genes[:, 0] / 10.0, 0)
        assert threads() == {2}
    assert seen and all(one == {1} for one in seen)


def test_rows_are_predicted_one_by_one_as_together():
    genes, accuracy = problem(60, seed=11)
    predictor = fit(genes, OPTIONS, accuracy, seed=0)
    unseen = problem(9000, seed=12)[0]
    together = predictor.predict(unseen)
    for row in (0, 8191, 8192, 8999):
        np.testing.assert_allclose(np.ravel(predictor.predict(unseen[row : row + 1])), [column[row] for column in together], rtol=1e-4)
    assert [len(column) for column in predictor.predict(unseen[:0])] == [0, 0]


@pytest.mark.parametrize(
    ("genes", "accuracy", "message"),
    [
        ([[0, 0, 0]], [0.5], r"2 genes was asked about an array of shape \(1, 3\)"),
        ([[0, 3]], [0.5], "gene 1 of row 0 goes from 0 to 2, got 3"),
        ([[0, -1]], [0.5], "gene 1 of row 0 goes from 0 to 2, got -1"),
        ([[0, 0], [1, 1]], [0.5], r"one finite accuracy for each of 2 architectures, got 1"),
        ([[0, 0], [1, 1]], [0.5, float("nan")], r"row 1 is nan"),
        ([[0, 0], [1, 1]], [float("-inf"), 0.5], r"row 0 is -inf"),
        (np.zeros((0, 2), int), [], r"one finite accuracy for each of 0 architectures"),
        ([[0.5, 0.0]], [0.5], "whole numbers"),
    ],
)
def test_what_it_cannot_use_is_refused(genes, accuracy, message):
    with pytest.raises(SpaceError, match=message):
        fit(np.array(genes), (2, 3), np.array(accuracy), seed=0)


def test_measured_networks_of_a_published_benchmark():
    """NAS-Bench-Macro: 6,561 networks; an additive model reaches a Kendall correlation of 0.77 after 50, 0.86 after 200."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(shared_data.path("accuracy/nas_bench_macro_cifar10.csv"), dtype={"arch": str})
    genes = np.array([[int(option) for option in arch] for arch in table["arch"]])
    accuracy = table["mean_acc"].to_numpy()
    order = np.random.default_rng(0).permutation(len(genes))
    train, held_out = order[:100], order[100:1100]
    mean, std = fit(genes[train], (3,) * 8, accuracy[train], seed=0).predict(genes[held_out])
    assert correlation(mean, accuracy[held_out]) > 0.96
    assert 0.8 < np.mean(np.abs(accuracy[held_out] - mean) < 1.645 * std) < 0.97
