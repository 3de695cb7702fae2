"""Accuracy predicted from the accuracies of other architectures of the same space, with a standard deviation.

A Gaussian process over genes. The correlation of two architectures is the product over genes of exp(-weight × distance),
where the distance of two options is half whether they differ and half how far apart they stand in the list: an option's
place tells something where options rise (depth, width, resolution), and does little harm where they do not. The weight, the
same for all genes, and the noise maximise the marginal likelihood. (A weight for each gene was tried: no better at 200
evaluations, worse under noise.)

Accuracies crowd below their best: what is modelled is -log(best + margin - accuracy), or the accuracy itself, whichever
the data make likelier (the margin with it). Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning,
chapters 2 and 5; Snelson and Ghahramani 2006 (inducing points); Snelson et al. 2004, Warped Gaussian Processes. Against
other models: `experiments/benchmarks/accuracy_prediction.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from nas.core.errors import SpaceError

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

INDUCING = 160
"""Evaluated architectures, at most, by resemblance to which all others are predicted; all evaluations weigh in."""
_FITTED = 128
"""Evaluations, at most, that weight, noise and margin are fitted to."""
_REACHES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Weights tried, of all genes together."""
_NOISES = (1e-3, 1e-2, 5e-2, 0.2, 0.6)
"""Variances tried of what genes do not explain, as a share of what they do."""
_MARGINS = (0.1, 0.5, 2.0)
"""Margins tried, as a multiple of the median distance to the best accuracy."""
_CHUNK = 8192
_THREADS = ThreadpoolController().select(user_api="blas")
"""Of numpy's linear algebra: one, since on processors that evaluate meanwhile several wait for each other, 36 times as long."""


@dataclass(frozen=True, slots=True)
class _Warp:
    """t = -log(best + margin - accuracy), or the accuracy itself where `margin` is 0; then shifted and scaled to (0, 1)."""

    best: float
    margin: float
    shift: float = 0.0
    scale: float = 1.0

    def __call__(self, accuracy: Floats) -> Floats:
        raw = -np.log(self.best + self.margin - accuracy) if self.margin else accuracy
        return (raw - self.shift) / self.scale

    def log_slope(self, accuracy: Floats) -> float:
        """Sum of the logarithms of the derivative: what a likelihood of t lacks to be one of the accuracies."""
        slopes = -np.log(self.best + self.margin - accuracy) if self.margin else np.zeros(len(accuracy))
        return float(slopes.sum() - len(accuracy) * np.log(self.scale))

    def back(self, mean: Floats, std: Floats) -> tuple[Floats, Floats]:
        """Median of the accuracy, and half the distance between the two points one deviation off."""
        centre, width = mean * self.scale + self.shift, std * self.scale
        if not self.margin:
            return centre, width
        distance = np.exp(-centre)
        return self.best + self.margin - distance, distance * np.sinh(np.minimum(width, 5.0))


@dataclass(frozen=True, slots=True)
class _Genes:
    """How genes are compared: place of each gene's first option in a row of all options, and distances of options."""

    options: tuple[int, ...]
    starts: Ints
    distances: Floats
    """(p, p) over all options of all genes; 0 between options of different genes."""

    @classmethod
    def of(cls, options: Sequence[int]) -> "_Genes":
        starts = np.concatenate([[0], np.cumsum(options)[:-1]]).astype(np.int64)
        total = int(sum(options))
        distances = np.zeros((total, total))
        for start, count in zip(starts, options, strict=True):
            place = np.arange(count)
            apart = np.abs(place[:, None] - place[None, :])
            distances[start : start + count, start : start + count] = 0.5 * (apart > 0) + 0.5 * apart / max(1, count - 1)
        return cls(tuple(int(count) for count in options), starts, distances)

    def rows(self, genes: Ints, dtype: type = np.float64) -> Floats:
        """(n, p) ones where an architecture has the option."""
        rows: Floats = np.zeros((len(genes), len(self.distances)), dtype)
        np.put_along_axis(rows, genes + self.starts, 1.0, axis=1)
        return rows

    def checked(self, genes: Ints) -> Ints:
        """`genes` as an integer array (n, g).

        Raises:
            SpaceError: its shape is another, or a gene is no whole number or out of its range.
        """
        genes = np.asarray(genes)
        if genes.ndim != 2 or genes.shape[1] != len(self.options):
            raise SpaceError(f"a predictor of {len(self.options)} genes was asked about an array of shape {genes.shape}: give (n, genes)")
        if not np.issubdtype(genes.dtype, np.integer):
            raise SpaceError(f"genes are whole numbers, got an array of {genes.dtype}")
        wrong = np.argwhere((genes < 0) | (genes >= np.array(self.options)))
        if len(wrong):
            row, gene = wrong[0]
            raise SpaceError(f"gene {gene} of row {row} goes from 0 to {self.options[gene] - 1}, got {genes[row, gene]}")
        return genes


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """What `fit` returns: predicts accuracies of architectures, in the unit of those that it was fitted to."""

    _genes: _Genes
    _warp: _Warp
    _exponents: Floats
    """(p, m) minus the weighted distance of each option from the options of each inducing architecture."""
    _weights: Floats
    """(m,) of the inducing architectures, for the mean."""
    _root: Floats
    """(m, m) by which resemblance to them reduces the variance."""
    _mean: float
    _scale: float
    _noise: float

    def predict(self, genes: Ints) -> tuple[Floats, Floats]:
        """Accuracy (n,) that an evaluation of each row of `genes` (n, g) would find, and its standard deviation (n,).

        The accuracy is a median: half of the time it will be more. The deviation has in it what genes do not explain.

        Raises:
            SpaceError: the array has another number of genes, or a gene is out of its range.
        """
        genes = self._genes.checked(genes)
        mean, variance = np.empty(len(genes)), np.empty(len(genes))
        with _THREADS.limit(limits=1):
            for start in range(0, len(genes), _CHUNK):
                part = slice(start, start + _CHUNK)
                alike = np.exp(self._genes.rows(genes[part], np.float32) @ self._exponents)
                mean[part] = alike @ self._weights
                known = alike @ self._root
                variance[part] = 1.0 - np.einsum("nm,nm->n", known, known)
        deviation = self._scale * np.sqrt(np.maximum(variance, 0.0) + self._noise)
        return self._warp.back(self._mean + mean, deviation)


def fit(genes: Ints, options: Sequence[int], accuracy: Floats, seed: int) -> Predictor:
    """A predictor of the accuracy of any architecture, from those of `genes`.

    Args:
        genes: (n, g) of evaluated architectures, canonical; one is enough, and repeats may differ in accuracy.
        options: (g,) number of options of each gene.
        accuracy: (n,) finite, in any unit; more is better.
        seed: chooses, where there are more than 128 evaluations, those that weight and noise are fitted to, and the inducing ones.

    Raises:
        SpaceError: shapes do not match, a gene is out of its range, there is no row, or an accuracy is not finite.
    """
    language = _Genes.of(options)
    genes = language.checked(genes)
    accuracy = np.asarray(accuracy, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(accuracy))
    if accuracy.shape != (len(genes),) or not len(genes) or len(wrong):
        found = f"that of row {wrong[0]} is {accuracy.flat[wrong[0]]}" if len(wrong) else f"got {accuracy.size}"
        raise SpaceError(f"a predictor needs one finite accuracy for each of {len(genes)} architectures, {found}")
    chosen = _inducing(accuracy, seed)
    few = np.random.default_rng(seed).permutation(len(genes))[:_FITTED]
    rows = language.rows(genes)
    with _THREADS.limit(limits=1):
        weight, noise, warp = _likeliest(language, rows[few], accuracy[few], _warps(accuracy))
        exponents = -weight * language.distances @ rows[chosen].T
        return _condition(language, warp, exponents, np.exp(rows @ exponents), chosen, warp(accuracy), noise)


def _inducing(accuracy: Floats, seed: int) -> Ints:
    """Indices of the inducing architectures: all, or the best half of `INDUCING` and others at random."""
    if len(accuracy) <= INDUCING:
        return np.arange(len(accuracy))
    order = np.argsort(-accuracy, kind="stable")
    others = np.random.default_rng(seed).permutation(order[INDUCING // 2 :])
    return np.sort(np.concatenate([order[: INDUCING // 2], others[: INDUCING - INDUCING // 2]]))


def _warps(accuracy: Floats) -> list[_Warp]:
    """Those to try, each of which makes `accuracy` a sample of mean 0 and deviation 1."""
    best = float(accuracy.max())
    usual = float(np.median(best - accuracy))
    found = []
    for margin in (0.0, *(share * usual for share in _MARGINS if usual > 0)):
        raw = _Warp(best, margin)(accuracy)
        deviation = float(raw.std())
        found.append(_Warp(best, margin, float(raw.mean()), deviation if deviation > 1e-12 else 1e-6 * max(1.0, abs(best))))
    return found


def _likeliest(language: _Genes, rows: Floats, accuracy: Floats, warps: list[_Warp]) -> tuple[float, float, _Warp]:
    """The likeliest weight of a gene, noise and warp."""
    n, count = len(accuracy), len(language.options)
    targets = np.stack([warp(accuracy) for warp in warps], axis=1)
    slopes = np.array([warp.log_slope(accuracy) for warp in warps])
    distance = rows @ language.distances @ rows.T
    found = (np.inf, 0.0, 0.0, warps[0])
    for reach in _REACHES:
        values, vectors = np.linalg.eigh(np.exp(distance * (-reach / count)))
        turned, ones = vectors.T @ targets, vectors.sum(axis=0)
        for noise in _NOISES:
            precision = 1.0 / (np.maximum(values, 0.0) + noise)
            mean = (precision * ones) @ turned / (precision @ ones**2)
            spread = np.maximum((precision @ (turned - ones[:, None] * mean) ** 2) / n, 1e-12)
            loss = 0.5 * n * np.log(spread) - 0.5 * np.log(precision).sum() - slopes
            at = int(loss.argmin())
            if loss[at] < found[0]:
                found = (float(loss[at]), reach / count, noise, warps[at])
    return found[1:]


def _condition(language: _Genes, warp: _Warp, exponents: Floats, alike: Floats, chosen: Ints, target: Floats, noise: float) -> Predictor:
    """The posterior, given resemblances `alike` (n, m) of all evaluations to the inducing ones."""
    m = len(chosen)
    root = np.linalg.cholesky(alike[chosen] + 1e-6 * np.eye(m))
    projected = np.linalg.solve(root, alike.T)  # (m, n)
    unexplained = noise + np.maximum(1.0 - (projected**2).sum(axis=0), 0.0)  # of each evaluation, by genes and by the inducing ones
    information = np.eye(m) + (projected / unexplained) @ projected.T
    whitened = np.linalg.solve(information, projected / unexplained)
    ones = 1.0 / unexplained - (projected / unexplained).T @ whitened.sum(axis=1)  # the inverse covariance times a column of ones
    mean = float(ones @ target / ones.sum())
    residual = target - mean
    solved = whitened @ residual
    spread = float((residual / unexplained) @ (residual - projected.T @ solved)) / len(target)
    inverse_root = np.linalg.inv(root)
    values, vectors = np.linalg.eigh(information)
    reduce = inverse_root.T @ (vectors * np.sqrt(np.maximum(1.0 - 1.0 / values, 0.0)))
    single = np.float32
    return Predictor(
        language,
        warp,
        exponents.astype(single),
        (inverse_root.T @ solved).astype(single),
        reduce.astype(single),
        mean,
        float(np.sqrt(max(spread, 1e-12))),
        noise,
    )
