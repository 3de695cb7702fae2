"""NAS-Bench-Macro as a table for `nas.search --space tabular:TABLE.csv`: 6,561 networks, each trained three times on CIFAR-10.

Accuracy is the benchmark's own (mean of three, per cent); latency is what a shipped device model predicts from each network's
layers. The published multiply-accumulates, which `--data` holds too, check that the layers are understood.

    python experiments/nas_bench_macro.py --data nas_bench_macro_cifar10.csv --device jetson-nano --out macro.csv

Su et al. 2021, "Prioritized Architecture Sampling with Monto-Carlo Tree Search", github.com/xiusu/NAS-Bench-Macro (Apache-2.0).
"""

import argparse
import sys
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd

import hardware_profiles
import latency_models
from nas import footprint
from nas.core.latency import estimate
from nas.core.network import BlockSpec, NetworkSpec
from search_spaces import blocks

STAGES = (2, 3, 3)
CHOICES = ("identity", "mb3_k3", "mb6_k5")
GENES = tuple(f"layer{number}" for number in range(1, sum(STAGES) + 1))
SIZE, STEM, HEAD, CLASSES = 32, 32, 1280, 10


def network(choices: str) -> NetworkSpec:
    """The network of a string such as "01220012": a digit a layer, the first of each stage halves the image and doubles the width.

    An identity that changes the shape is a pointwise convolution with that stride, and nothing where it does not.
    """
    found = {"stem": BlockSpec("conv", 3, STEM, STEM, 3, 1, False, "relu", SIZE, SIZE)}
    width, size = STEM, SIZE
    starts = [sum(STAGES[:number]) for number in range(len(STAGES))]
    for place, (gene, choice) in enumerate(zip(GENES, choices, strict=True)):
        stride, out = (2, 2 * width) if place in starts else (1, width)
        if choice == "0" and stride == 2:
            found[gene] = BlockSpec("conv", width, out, out, 1, stride, False, "", size, size)
        elif choice != "0":
            expand, kernel = {"1": (3, 3), "2": (6, 5)}[choice]
            found[gene] = BlockSpec("mbconv", width, expand * width, out, kernel, stride, False, "relu", size, size)
        width, size = out, size // stride
    found["head"] = BlockSpec("head", width, HEAD, CLASSES, 1, 1, False, "relu", size, size)
    return NetworkSpec(SIZE, 3, CLASSES, tuple(found), tuple(found.values()))


def table(data: Path, device: str) -> "pd.DataFrame":
    """A row a network: its genes by name, accuracy in per cent, latency on `device` in milliseconds and file size in MB.

    Raises:
        SystemExit: the multiply-accumulates of a network are not the published ones.
    """
    published = pd.read_csv(data, dtype={"arch": str})
    model = latency_models.load(hardware_profiles.load(device))
    priced = cache(model.block)
    rows: list[dict[str, Any]] = []
    for arch, accuracy, macs in zip(published["arch"], published["mean_acc"], published["flops"], strict=True):
        spec = network(arch)
        if blocks.macs(spec) != macs:
            raise SystemExit(f"{arch} has {blocks.macs(spec):,} multiply-accumulates, {macs:,} are published")
        genes = {gene: CHOICES[int(choice)] for gene, choice in zip(GENES, arch, strict=True)}
        total = estimate(_Cached(model, priced), spec).total
        size_mb = footprint.costs(spec, total, "fp32", None).size_mb
        rows.append({**genes, "accuracy": accuracy, "latency_ms": round(total.ms, 6), "size_mb": size_mb})
    return pd.DataFrame(rows)


class _Cached:
    """A latency model that prices each distinct block once."""

    def __init__(self, model: Any, block: Any) -> None:
        self._model, self.block = model, block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="nas_bench_macro_cifar10.csv")
    parser.add_argument("--device", default="jetson-nano", help="a name that `python -m nas.devices` lists")
    parser.add_argument("--out", type=Path, required=True, help="where to write the table")
    given = parser.parse_args()
    table(given.data, given.device).to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
