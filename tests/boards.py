"""Devices in a folder of their own: a profile, and tables in which a block takes time in proportion to its work."""

from pathlib import Path

import search_spaces
from hardware_profiles import table_file
from hardware_profiles.table_file import Calibration, Head, NetworkTiming, Table, Timing
from nas.core.device import HeldOutError, Provenance, RuntimeTarget
from search_spaces.blocks import operators

SPACE = search_spaces.load("mobile_shuffle_32")
MS_A_MMAC = {"fp32": 1.0, "int8": 0.5}
"""Milliseconds that a million multiply-accumulates take in each precision."""


def target(precision: str, threads: int = 1) -> RuntimeTarget:
    """A target of the board."""
    return RuntimeTarget("board", "onnxruntime", "1.17.0", precision, threads)


def board(
    folder: Path, targets: list[RuntimeTarget], measured: list[RuntimeTarget], compressors: tuple[str, ...] = ("int8_static",)
) -> str:
    """Path of the profile of a board with `targets`, of which those in `measured` have tables."""
    text = 'title = "A board"\nprecisions = ["fp32", "int8"]\nmax_onnx_opset = 17\nnotes = ""\nimprove = "measure it"\n'
    text += f"compressors = {list(compressors)}\n"
    for each in targets:
        text += f'[[targets]]\nruntime = "{each.runtime}"\nruntime_version = "1.17.0"\nprecision = "{each.precision}"\n'
        text += f'threads = {each.threads}\norigin = "measured"\nmodel = "lookup_table"\nimprove = "measure {each.precision}"\n'
    profile = folder / "board.toml"
    profile.write_text(text)
    for each in measured:
        path = table_file.path_of(profile, each)
        path.parent.mkdir(exist_ok=True)
        path.write_text(table_file.text(_table(each)))
    return str(profile)


def _table(of: RuntimeTarget) -> Table:
    provenance, error = Provenance("made up", "2026-01-02", "pytest"), HeldOutError(2.5, 8, 20.0)
    network = NetworkTiming(SPACE.key, 7, 1_000_000, 0.4, 1.5, 1.5, True)
    head = Head("A board, aarch64, 4 cores", of, provenance, error, Calibration(1.0, 0.0, 0.0, 0.0, 0.95, 1.05, 0.9), (network,))
    rows = {}
    for block in SPACE.unique_blocks(1, 10):
        ms = 0.01 + MS_A_MMAC[of.precision] / of.threads * sum(operator.macs for operator in operators(block)) / 1e6
        rows[block] = Timing(ms, 1.1 * ms, 100)
    return Table(head, rows)
