"""Rows of a published table, each with its place in the file, and the checks that every table gets: a latency is a latency, once."""

import csv
from collections.abc import Hashable, Iterator
from pathlib import Path

from nas.core.errors import DataError


def text_of(path: Path) -> str:
    """What the file says, in UTF-8, without the mark that some programs put before it.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def of_csv(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(file and line, cells by column) of each row.

    Raises:
        DataError: the file cannot be read, or a row has other columns than the head.
    """
    reader = csv.DictReader(text_of(path).splitlines())
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            raise DataError(f"{where}: the row has more or fewer cells than the columns named at the top: {', '.join(filter(None, row))}")
        yield where, row


def milliseconds(where: str, what: str, text: str | float) -> float:
    """`text` as a latency above zero.

    Raises:
        DataError: it is none; names `what` was timed.
    """
    try:
        latency_ms = float(text)
    except (ValueError, TypeError):
        raise DataError(f"{where}: {what} took {text!r}, not a number of milliseconds") from None
    if not 0 < latency_ms < float("inf"):
        raise DataError(f"{where}: {what} took {text} ms; a latency is above zero")
    return latency_ms


class Once:
    """Things of which a table has one row each."""

    def __init__(self) -> None:
        self._places: dict[Hashable, str] = {}

    def add(self, where: str, what: str, key: Hashable) -> None:
        """Notes that `key`, in words `what`, stands there.

        Raises:
            DataError: it stood somewhere before; names both places.
        """
        if before := self._places.get(key):
            raise DataError(f"{where}: {what} is there already ({before}); leave one of them out")
        self._places[key] = where
