"""Whole networks from a plain CSV: a name made of columns, a latency, and whatever gives the operators of a name.

    mobilenets = read(Path("phone.csv"), "mobilenet_v2-{width}@{resolution}", "phone_ms", public_networks.operators)

Operators come from `public_networks`, from ONNX files beside the CSV, or from any other function of the name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from latency_models.importers import rows
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
        DataError: the file cannot be read, a column is missing, a latency is not above zero, a network is there twice, or none has
            the name; the message names file and line.
    """
    found, once = [], rows.Once()
    for where, row in rows.of_csv(path):
        try:
            asked, took = name.format(**row), row[latency]
        except KeyError as error:
            raise DataError(f"{where}: there is no column {error} (there is: {', '.join(row)})") from error
        latency_ms = rows.milliseconds(where, asked, took)
        known = rename(asked) if rename else asked
        if not known:
            continue
        once.add(where, asked, asked)
        try:
            found.append(MeasuredNetwork(known, operators(known), latency_ms))
        except UnknownNameError as error:
            raise DataError(f"{where}: {error}") from error
    if not found:
        raise DataError(f"{path} has no networks")
    return tuple(found)
