"""How well the scores that need no training rank measured networks, beside multiply-accumulates alone.

Random ones of 1,723 OFA-MobileNetV3 sub-networks with ImageNet top-1 (IntelLabs/DyNAS-T, Apache-2.0; not part of this project),
which were trained together and measured at 224 px. The scores are taken at 128 px, which costs a third:

    python experiments/benchmarks/zero_cost_scores.py --data ofa_mbv3_imagenet_top1.csv [--networks 100]
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from nas import accuracy  # noqa: E402
from nas.core.network import NetworkSpec  # noqa: E402
from nas.files import atomic_write  # noqa: E402
from search_spaces import blocks  # noqa: E402
from search_spaces.mobilenet_v3 import PLUGIN as SPACE  # noqa: E402

RESULT = ROOT / "experiments" / "results" / "zero_cost_scores.json"
RESOLUTION = 128


def networks(table: pd.DataFrame) -> list[NetworkSpec]:
    """The networks of the rows, at `RESOLUTION`."""
    known = [(choice.kernel, choice.expand) for choice in SPACE.stages[1].choices]
    found = []
    for row in table.itertuples():
        kernel, expand, depth = ([int(one) for one in str(getattr(row, name)).split("-")] for name in ("ks", "e", "d"))
        genes = [SPACE.resolutions.index(RESOLUTION), 0, 0, 0]
        for stage, layers in enumerate(depth):
            genes += [layers - 2, 0, *(known.index((kernel[4 * stage + i], expand[4 * stage + i])) for i in range(4))]
        found.append(SPACE.network(SPACE.architecture(genes), 3, 1000))
    return found


def main() -> None:
    """Scores, prints and writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=100)
    given = parser.parse_args()
    table = pd.read_csv(given.data).sample(given.networks, random_state=0)
    chosen, top1 = networks(table), table["top1_mean"].to_numpy()
    best = top1 >= np.quantile(top1, 0.7)
    told: dict[str, Any] = {
        "command": "python experiments/benchmarks/zero_cost_scores.py --data CSV",
        "networks": given.networks,
        "pixels": RESOLUTION,
        "kendall_tau": {},
    }
    ways = {"MACs": lambda network: float(blocks.macs(network))}
    for name in accuracy.names():
        score = accuracy.load(name)
        if not score.is_accuracy:
            ways[name] = lambda network, of=score.of: of(network, 0)
    for name, way in ways.items():
        begun = time.perf_counter()
        values = np.array([way(network) for network in chosen])
        seconds = (time.perf_counter() - begun) / len(chosen)
        over_all, of_best = float(kendalltau(values, top1)[0]), float(kendalltau(values[best], top1[best])[0])
        told["kendall_tau"][name] = {"all": round(over_all, 3), "best_30_percent": round(of_best, 3), "seconds_each": round(seconds, 3)}
        print(f"{name:8s} {over_all:.3f} over all, {of_best:.3f} of the best 30 %, {seconds:.2f} s each", flush=True)
    atomic_write(RESULT, json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
