"""Networks that are of no space here: what `nas.price` says of their ONNX files, beside what the agent measures on this machine.

    python -m experiments.benchmarks.foreign_networks [--passes 5] [--folder DIR]

Published networks at 224 px: those of `search_spaces/known.py`, exported as every pick is, and others from pytorchcv
(`pip install --no-deps pytorchcv`), by torch's own exporter. They are timed one after the other, pass after pass; the least 10th
percentile counts. Each pass is kept as soon as it is done: the same command goes on, and more `--passes` add to those that are
there (with 0 the files are written and nothing is timed).
Prices are those of the table in hand, so that after another `nas.measure` the same command, with no further pass, says the new ones.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import hardware_profiles
import latency_models
from hardware_profiles import THIS_MACHINE, table_file
from latency_models.hosts import Request
from latency_models.hosts.local import LocalHost
from nas import price
from nas.core.latency import OperatorModel
from nas.files import atomic_write

RESULT = Path(__file__).parents[1] / "results" / "foreign_networks.json"
OPSET = 17
SIZE = 224

KNOWN = ("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "shufflenet_v2", "single_path_one_shot")
"""Networks of `search_spaces/known.py`."""

PYTORCHCV = {
    "mobilenet": "mobilenet_w1",
    "mobilenetv2": "mobilenetv2_w1",
    "mobilenetv3": "mobilenetv3_large_w1",
    "mnasnet": "mnasnet_b1",
    "proxylessnas": "proxylessnas_mobile",
    "shufflenetv2": "shufflenetv2_w1",
    "squeezenet": "squeezenet_v1_1",
    "efficientnet": "efficientnet_b0",
    "resnet": "resnet18",
}
"""Functions of pytorchcv by module."""


def names() -> list[str]:
    """Every network: "known:NAME", or "pytorchcv:MODULE.FUNCTION" where that package is installed."""
    found = [f"known:{name}" for name in KNOWN]
    try:
        importlib.metadata.version("pytorchcv")
    except importlib.metadata.PackageNotFoundError:
        return found
    return found + [f"pytorchcv:{module}.{function}" for module, function in PYTORCHCV.items()]


def write(name: str, path: Path) -> None:
    """Writes the network of that name, with random weights, for one image."""
    import torch

    from nas.network import Network
    from nas.runtimes import onnxruntime
    from search_spaces import known

    kind, _, rest = name.partition(":")
    shape = (1, 3, SIZE, SIZE)
    if kind == "known":
        network: torch.nn.Module = Network(known.load(rest, resolution=SIZE))
    else:
        module, _, function = rest.partition(".")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package, not ours
            network = getattr(importlib.import_module(f"pytorchcv.models.{module}"), function)()
    path.write_bytes(onnxruntime.trace(network.eval(), shape, OPSET, name).SerializeToString())


def priced(path: Path, model: OperatorModel) -> dict[str, Any]:
    """What `nas.price` says of the file."""
    found = price.price(price.read(path, None), model)
    figures = {"low_ms": found.total.low_ms, "price_ms": found.total.ms, "high_ms": found.total.high_ms}
    return {name: round(value, 4) for name, value in figures.items()} | {"mmacs": round(found.network.macs / 1e6, 1)}


def measure(paths: dict[str, Path]) -> dict[str, float]:
    """Milliseconds of each file, one after the other, in one process of the agent."""
    reports = LocalHost().stream(list(paths.values()), Request(max_seconds=2.0))
    return {name: report.p10_ms for name, report in zip(paths, reports, strict=True)}


def rows(passes: list[dict[str, float]], prices: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a network: its price, what was measured, their ratio, and whether the interval holds the truth."""
    found = []
    for name, one in prices.items():
        measured_ms = min(done[name] for done in passes if name in done)
        spread = max(done[name] for done in passes if name in done) / measured_ms
        inside = one["low_ms"] <= measured_ms <= one["high_ms"]
        ratio = round(one["price_ms"] / measured_ms, 3)
        row = {"network": name, **one, "measured_ms": round(measured_ms, 4), "price_over_measured": ratio, "inside": inside}
        found.append({**row, "slowest_pass": round(spread, 3)})
    return found


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean absolute error in percent, the worst ratios, and the share of networks inside their interval."""
    ratios = [row["price_over_measured"] for row in found]
    return {
        "networks": len(found),
        "mape_percent": round(100 * sum(abs(ratio - 1) for ratio in ratios) / len(ratios), 1),
        "ratios": [min(ratios), max(ratios)],
        "inside_percent": round(100 * sum(row["inside"] for row in found) / len(found), 1),
    }


def show(found: list[dict[str, Any]]) -> None:
    """The table on standard output."""
    from rich.console import Console
    from rich.table import Table

    headings = ("network", "mmacs", "measured_ms", "price_ms", "low_ms", "high_ms", "price_over_measured", "inside")
    table = Table(*headings)
    for row in found:
        table.add_row(*(str(row[heading]) for heading in headings))
    Console(width=150).print(table)


def main() -> None:
    """Reads the command line, measures what is lacking, prints, and writes the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--passes", type=int, default=5, help="passes over all networks (default 5)")
    parser.add_argument("--folder", type=Path, help="where the networks' files are kept, and found again (default: nowhere)")
    parser.add_argument("--result", type=Path, default=RESULT, help="JSON to write, and to go on with")
    given = parser.parse_args()
    profile = hardware_profiles.load(THIS_MACHINE)
    model = latency_models.load(profile).by_operator()
    machine, versions = table_file.machine(), {name: importlib.metadata.version(name) for name in ("onnxruntime", "torch")}
    before = json.loads(given.result.read_text()) if given.result.exists() else {}
    same = (before.get("machine"), before.get("versions")) == (machine, versions)
    passes: list[dict[str, float]] = before["passes"] if same else []
    with tempfile.TemporaryDirectory(prefix="foreign-") as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / f"{name.replace(':', '-')}.onnx" for name in names()}
        for name, path in paths.items():
            if not path.exists():
                write(name, path)
        prices = {name: priced(path, model) for name, path in paths.items()}
        while True:
            found = rows(passes, {name: one for name, one in prices.items() if any(name in done for done in passes)})
            table = table_file.read(table_file.path_of(Path(profile.path), model.target)).head.provenance
            document = {
                "command": "python -m experiments.benchmarks.foreign_networks",
                "when": datetime.date.today().isoformat(),
                "target": str(model.target),
                "machine": machine,
                "versions": versions,
                "table": {"source": table.source, "when": table.when, "command": table.command},
                "summary": summary(found) if found else {},
                "rows": found,
                "passes": passes,
            }
            atomic_write(given.result, json.dumps(document, indent=1) + "\n")
            if len(passes) >= given.passes:
                break
            passes.append(measure(paths))
    if found:
        show(found)
        print(json.dumps(summary(found)))


if __name__ == "__main__":
    main()
