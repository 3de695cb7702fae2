"""How well `nas/accuracy/predictor.py` ranks architectures it has not seen, and how far its deviations can be trusted.

Tables of measured networks: NAS-Bench-Macro (6,561 networks, CIFAR-10; xiusu/NAS-Bench-Macro, Apache-2.0) and 1,723 sub-networks
of OFA-MobileNetV3 (ImageNet; IntelLabs/DyNAS-T, Apache-2.0), neither part of this project; and both with the noise of a small
validation set added to what is learned from. Beside it an additive model (ridge regression on one-hot genes, penalty by
leave-one-out) and, where scikit-learn is installed, ten bagged gradient-boosted ensembles:

    python experiments/benchmarks/accuracy_prediction.py --macro nas_bench_macro_cifar10.csv --ofa ofa_mbv3_imagenet_top1.csv
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import kendalltau

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from nas.accuracy import predictor  # noqa: E402
from nas.files import atomic_write  # noqa: E402

RESULT = ROOT / "experiments" / "results" / "accuracy_prediction.json"
SIZES = (20, 50, 100, 200, 400)
HELD_OUT = 1200
NOISES = (0.0, 0.7)
"""Standard deviations, in points, of what is added to the accuracies that are learned from."""

Array = npt.NDArray[Any]
Table = tuple[Array, tuple[int, ...], Array]


def macro(path: Path) -> Table:
    """Genes, options and accuracies in per cent of NAS-Bench-Macro."""
    table = pd.read_csv(path, dtype={"arch": str})
    return np.array([[int(one) for one in arch] for arch in table["arch"]]), (3,) * 8, table["mean_acc"].to_numpy()


def ofa(path: Path) -> Table:
    """Genes (depth, then four layers, of each stage), options and accuracies in per cent of the distinct sub-networks."""
    table = pd.read_csv(path)
    kernel, expand, depth = (np.array([[int(one) for one in row.split("-")] for row in table[name]]) for name in ("ks", "e", "d"))
    layers = np.searchsorted((3, 5, 7), kernel) + 3 * np.searchsorted((3, 4, 6), expand)
    layers = layers.reshape(-1, 5, 4) * (np.arange(4) < depth[:, :, None])
    genes = np.concatenate([depth[:, :, None] - 2, layers], axis=2).reshape(len(table), 25)
    distinct, first = np.unique(genes, axis=0, return_index=True)
    return distinct, (3, 9, 9, 9, 9) * 5, table["top1_mean"].to_numpy()[first]


def ours(genes: Array, options: Sequence[int], accuracy: Array, seed: int, asked: Array) -> tuple[Array, Array]:
    """Mean and deviation of `asked`."""
    return predictor.fit(genes, options, accuracy, seed).predict(asked)


def additive(genes: Array, options: Sequence[int], accuracy: Array, seed: int, asked: Array) -> tuple[Array, Array]:
    """The same of a ridge regression on one-hot genes; its deviation is the leave-one-out error, the same for all."""
    known, wanted = (np.hstack([np.eye(count)[rows[:, i]] for i, count in enumerate(options)]) for rows in (genes, asked))
    centre, middle = known.mean(axis=0), accuracy.mean()
    values, vectors = np.linalg.eigh((known - centre) @ (known - centre).T)
    found = []
    for penalty in np.geomspace(1e-2, 100, 13):
        inverse = (vectors / (np.maximum(values, 0) + penalty)) @ vectors.T
        dual = inverse @ (accuracy - middle)
        found.append((float(np.mean((dual / np.diag(inverse)) ** 2)), dual))
    error, dual = min(found, key=lambda one: one[0])
    return middle + (wanted - centre) @ ((known - centre).T @ dual), np.full(len(asked), error**0.5)


def boosted(genes: Array, options: Sequence[int], accuracy: Array, seed: int, asked: Array) -> tuple[Array, Array]:
    """The same of ten gradient-boosted ensembles, each on a resampled table; their spread is the deviation."""
    from sklearn.ensemble import GradientBoostingRegressor

    def rows(part: Array) -> Array:
        return np.hstack([*(np.eye(count)[part[:, i]] for i, count in enumerate(options)), part])

    random, found = np.random.default_rng(seed), []
    settings = {"n_estimators": 150, "max_depth": 3, "learning_rate": 0.08, "subsample": 0.7, "max_features": 0.3}
    for bag in range(10):
        at = random.integers(0, len(genes), len(genes))
        found.append(GradientBoostingRegressor(**settings, random_state=bag).fit(rows(genes)[at], accuracy[at]).predict(rows(asked)))
    return np.mean(found, axis=0), np.maximum(np.std(found, axis=0), 1e-9)


def check(model: Callable[..., tuple[Array, Array]], table: Table, count: int, noise: float, seed: int) -> dict[str, float]:
    """Figures of one model that learned from `count` random networks."""
    genes, options, accuracy = table
    random = np.random.default_rng(seed)
    order = random.permutation(len(genes))
    known, held = order[:count], order[count : count + HELD_OUT]
    begun = time.perf_counter()
    mean, deviation = model(genes[known], options, accuracy[known] + noise * random.standard_normal(count), seed, genes[held])
    seconds = time.perf_counter() - begun
    found, top = accuracy[held] + noise * random.standard_normal(len(held)), accuracy[held] >= np.quantile(accuracy[held], 0.7)
    return {
        "kendall_tau": float(kendalltau(mean, accuracy[held])[0]),
        "kendall_tau_of_the_best_30_percent": float(kendalltau(mean[top], accuracy[held][top])[0]),
        "within_90_percent_interval": float(np.mean(np.abs(found - mean) < 1.645 * deviation)),
        "fit_and_predict_seconds": seconds,
    }


def main() -> None:
    """Checks, prints and writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--macro", type=Path, required=True)
    parser.add_argument("--ofa", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    models: dict[str, Callable[..., tuple[Array, Array]]] = {"ours": ours, "additive": additive}
    try:
        import sklearn

        models[f"boosted (scikit-learn {sklearn.__version__})"] = boosted
    except ImportError:
        print("scikit-learn is not installed: its model is left out")
    rows = []
    for name, table in {"nas_bench_macro": macro(given.macro), "ofa_mobilenet_v3": ofa(given.ofa)}.items():
        for noise in NOISES:
            for model, function in models.items():
                if function is boosted and noise:
                    continue
                for count in SIZES:
                    seeds = range(2 if function is boosted else given.seeds)
                    figures = pd.DataFrame([check(function, table, count, noise, seed) for seed in seeds]).median().round(4).to_dict()
                    rows.append(
                        {"table": name, "noise_points": noise, "model": model, "evaluations": count, "seeds": len(seeds), **figures}
                    )
                    print("  ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in rows[-1].values()), flush=True)
    told = {"command": "python experiments/benchmarks/accuracy_prediction.py --macro CSV --ofa CSV", "rows": rows}
    atomic_write(RESULT, json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
