"""Whole networks from a plain CSV: a name made of columns, a latency, and whatever gives the operators of a name.

    mobilenets = read(Path("phone.csv"), "mobilenet_v2-{width}@{resolution}", "phone_ms", public_networks.operators)

Operators come from `public_networks`, from ONNX files beside the CSV, or from any other function of the name.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nas.core.errors import DataError, UnknownNameError
from nas.core.operators import Operator


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """One row: the network's name, what it executes, and its latency."""

    name: str
    operators: tuple[Operator, ...]
    latency_ms: float


def read(
    path: Path,
    name: str,
    latency: str,
    operators: Callable[[str], tuple[Operator, ...]],
    rename: Callable[[str], str] | None = None,
) -> tuple[MeasuredNetwork, ...]:
    """Networks of the rows, in their order.

    Args:
        path: a CSV with a header.
        name: a format string over its columns, such as "{model}".
        latency: the column of milliseconds.
        operators: what the network of a name executes.
        rename: the name that `operators` knows, from the name that the file has; "" passes a row over. None: the same.

    Raises:
        DataError: the file cannot be read, a column is missing, a latency is not above zero, or no network has the name; the
            message names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    found = []
    for line, row in enumerate(csv.DictReader(lines), start=2):
        where = f"{path}, line {line}"
        try:
            asked = name.format(**row)
            latency_ms = float(row[latency])
        except KeyError as error:
            raise DataError(f"{where}: there is no column {error} (there is: {', '.join(map(str, row))})") from error
        except (ValueError, TypeError) as error:
            raise DataError(f"{where}: {latency} is {row[latency]!r}, not a number of milliseconds") from error
        if not 0 < latency_ms < float("inf"):
            raise DataError(f"{where}: {asked} took {latency_ms} ms; a latency is above zero")
        known = rename(asked) if rename else asked
        if not known:
            continue
        try:
            found.append(MeasuredNetwork(known, operators(known), latency_ms))
        except UnknownNameError as error:
            raise DataError(f"{where}: {error}") from error
    if not found:
        raise DataError(f"{path} has no networks")
    return tuple(found)
