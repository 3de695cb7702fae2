"""Fits the coefficients of `nas/accuracy/imagenet.py` to measured sub-networks, and says how good they are on others.

    python experiments/fit_imagenet_accuracy.py --data ofa_mbv3_imagenet_top1.csv

The table has a row a network: `ks` and `e` (20 kernels and expansions, four a stage), `d` (5 depths), `resolution`,
`top1_mean` in per cent, `n_evals`, `macs`. Source: 1,723 sub-networks of Once-for-All's MobileNetV3 (width 1.0, 224 px) with
ImageNet top-1, DyNAS-T @251cb5e by Intel Labs, Apache-2.0; the table itself is not part of this project. Networks that occur
more than once are averaged first, so that none is in both parts of a split.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from nas.accuracy.imagenet import LAYERS, STAGES, WEIGHTS, Floats, Model, features  # noqa: E402
from nas.files import atomic_write  # noqa: E402

RESULT = ROOT / "experiments" / "results" / "imagenet_accuracy.json"
CEILINGS = (78.0, 78.5, 79.0, 80.0, 82.0)
PENALTIES = tuple(float(penalty) for penalty in np.geomspace(1e-2, 300, 14))
FITS = 20
HELD_OUT = 0.2
SPLITS = 20
SOURCE = "1,723 sub-networks of OFA-MobileNetV3 (width 1.0, 224 px) with measured ImageNet top-1: IntelLabs/DyNAS-T @251cb5e, Apache-2.0"


def read(path: Path) -> tuple[Floats, Floats, Floats]:
    """Features (n, p), top-1 in per cent (n,) and MACs (n,) of the distinct networks in the table at `path`."""
    table = pd.read_csv(path)
    if set(table["resolution"]) != {224}:
        raise SystemExit(f"{path} has other resolutions than 224 px: the model has no term for them")
    depth, kernel, expand = (np.array([[int(one) for one in row.split("-")] for row in table[name]]) for name in ("d", "ks", "e"))
    used = (np.arange(LAYERS) < depth[:, :, None]).reshape(len(depth), STAGES * LAYERS)
    table["key"] = [tuple(row) for row in np.hstack([depth, kernel * used, expand * used])]
    table["row"] = range(len(table))
    table["sum"] = table["top1_mean"] * table["n_evals"]
    distinct = table.groupby("key", sort=False).agg(row=("row", "first"), sum=("sum", "sum"), n=("n_evals", "sum"), macs=("macs", "first"))
    rows = distinct["row"].to_numpy()
    return features(depth[rows], kernel[rows], expand[rows]), (distinct["sum"] / distinct["n"]).to_numpy(), distinct["macs"].to_numpy()


def ridge(x: Floats, t: Floats, weights: Floats, penalty: float) -> Floats:
    """Coefficients, the constant first, of t on x with the penalty on the coefficients of standardised columns."""
    centre, scale = np.average(x, axis=0, weights=weights), x.std(axis=0) + 1e-9
    z, middle = (x - centre) / scale, np.average(t, weights=weights)
    slopes = np.linalg.solve((z * weights[:, None]).T @ z + penalty * np.eye(x.shape[1]), (z * weights[:, None]).T @ (t - middle)) / scale
    return np.concatenate([[middle - centre @ slopes], slopes])


def fit(x: Floats, y: Floats, seed: int) -> tuple[Model, float]:
    """The model of `y` (n,) in per cent, and the penalty; both it and the ceiling are those that predict five folds best."""
    random = np.random.default_rng(seed)
    folds = random.permutation(len(y)) % 5
    ones = np.ones(len(y))

    def out_of_fold(t: Floats, penalty: float) -> Floats:
        found = np.empty(len(t))
        for fold in range(5):
            at = folds == fold
            coefficients = ridge(x[~at], t[~at], ones[~at], penalty)
            found[at] = x[at] @ coefficients[1:] + coefficients[0]
        return found

    def error(ceiling: float, penalty: float) -> float:
        predicted = ceiling - np.exp(-out_of_fold(-np.log(ceiling - y), penalty))
        return float(np.abs(predicted - y).mean())

    ceiling, penalty = min(((c, p) for c in CEILINGS for p in PENALTIES), key=lambda both: error(*both))
    t = -np.log(ceiling - y)
    residual = t - out_of_fold(t, penalty)
    resampled = [random.multinomial(len(y), ones / len(y)).astype(float) for _ in range(FITS)]
    coefficients = np.stack([ridge(x, t, weights, penalty) for weights in resampled])
    noise = float(residual.std())
    deviation = np.sqrt((x @ coefficients[:, 1:].T + coefficients[:, 0]).var(axis=1) + noise**2)
    return Model(ceiling, coefficients, noise, float(np.quantile(np.abs(residual) / deviation, 0.9))), penalty


def check(x: Floats, y: Floats, macs: Floats, seed: int) -> dict[str, float]:
    """How well a model of four fifths predicts the rest, and how well MACs alone rank it."""
    order = np.random.default_rng(seed).permutation(len(y))
    held, rest = order[: round(HELD_OUT * len(y))], order[round(HELD_OUT * len(y)) :]
    predicted, low, high = fit(x[rest], y[rest], seed)[0].predict(x[held])
    top = y[held] >= np.quantile(y[held], 0.7)
    return {
        "mae_points": float(np.abs(predicted - y[held]).mean()),
        "p90_error_points": float(np.quantile(np.abs(predicted - y[held]), 0.9)),
        "kendall_tau": float(kendalltau(predicted, y[held])[0]),
        "kendall_tau_of_the_best_30_percent": float(kendalltau(predicted[top], y[held][top])[0]),
        "within_the_interval": float(((low <= y[held]) & (y[held] <= high)).mean()),
        "interval_points": float(np.mean(high - low)),
        "kendall_tau_of_macs": float(kendalltau(macs[held], y[held])[0]),
        "kendall_tau_of_macs_of_the_best_30_percent": float(kendalltau(macs[held][top], y[held][top])[0]),
    }


def main() -> None:
    """Fits, checks, prints, and writes both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="table of measured sub-networks (CSV)")
    parser.add_argument("--splits", type=int, default=SPLITS, help="random splits to check on")
    given = parser.parse_args()
    x, y, macs = read(given.data)
    checks = pd.DataFrame([check(x, y, macs, seed) for seed in range(given.splits)])
    worst = np.where(checks.columns.str.contains("tau|within"), checks.min(), checks.max())
    summary = pd.DataFrame({"median": checks.median(), "worst": worst})
    print(f"{len(y)} distinct networks, {y.min():.2f} to {y.max():.2f} % top-1; {given.splits} splits, {HELD_OUT:.0%} held out")
    print(summary.round(4).to_string())
    model, penalty = fit(x, y, seed=0)
    told = {
        "source": SOURCE,
        "made_by": "experiments/fit_imagenet_accuracy.py",
        "ceiling": model.ceiling,
        "noise": round(model.noise, 6),
        "factor": round(model.factor, 4),
        "coefficients": [[float(f"{value:.5g}") for value in row] for row in model.coefficients],
    }
    atomic_write(WEIGHTS, json.dumps(told).replace("], [", "],\n[") + "\n")
    shown = {name: {k: round(v, 4) for k, v in row.items()} for name, row in summary.T.to_dict().items()}
    figures = {
        "command": "python experiments/fit_imagenet_accuracy.py --data CSV",
        "source": SOURCE,
        "networks": len(y),
        "splits": given.splits,
        "held_out": HELD_OUT,
        "ceiling": model.ceiling,
        "penalty": round(penalty, 4),
        "checks": shown,
    }
    atomic_write(RESULT, json.dumps(figures, indent=2) + "\n")
    print(f"ceiling {model.ceiling} %, penalty {penalty:.3g}; {WEIGHTS.stat().st_size / 1000:.0f} kB in {WEIGHTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
