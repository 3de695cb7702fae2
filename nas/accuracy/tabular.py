"""Accuracies looked up in a table that somebody trained already: a search without device, data or training.

A CSV file: `accuracy` (any unit, more is better), `latency_ms`, optionally `size_mb`, `energy_mj` and `macs`, a row an architecture.
Every other column is a gene with as many options as it has distinct values; combinations without a row are no architectures.
"""

import csv
import hashlib
import math
import warnings
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.accuracy.row_codes import RowCodes
from nas.core import objectives as core_objectives
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.errors import DataError, InfeasibleBudgetError, SpaceError
from nas.core.evaluation import Evaluation
from nas.core.landscape import Floats, Genes, Landscape, Mask, Prices
from nas.core.latency import Interval
from nas.core.objectives import Objectives
from nas.core.space import Gene
from nas.core.units import format_energy, format_latency, format_macs, format_size

if TYPE_CHECKING:
    import pandas as pd

FIGURES = ("accuracy", "latency_ms", "size_mb", "energy_mj", "macs")
"""Columns that are no genes."""

EVERYTHING = 2_000_000
"""Rows up to which strategies are given the whole table to look at, not draws from it."""

_NAMED = 5
"""Rows that an error names, at most."""

_EMPTY = ("", "nan", "NaN", "NAN", "NA", "N/A", "null", "NULL", "#N/A")
"""What stands in an empty cell. "None" and "none" are options."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The architectures of a table and their figures; what a search needs of a space (`genes`, `size`, `architecture`) included.

    `cells` (rows, genes) are option numbers, `values[g]` the options of gene `g` as the file has them, in rising order.
    """

    path: Path
    digest: str
    genes: tuple[Gene, ...]
    values: tuple[tuple[Any, ...], ...]
    cells: Genes
    accuracy: Floats
    latency_ms: Floats
    size_mb: Floats | None
    energy_mj: Floats | None
    macs: Floats | None
    _codes: RowCodes

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def key(self) -> str:
        """What architectures are marked with: the content alone, since a copy of the file is the same table."""
        return f"tabular@{self.digest}"

    def line(self, row: int) -> int:
        """The line of the file on which row number `row` begins."""
        return _lines_of(self.path, self.digest)[row]

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.cells)

    def architecture(self, genes: Sequence[int]) -> Architecture:
        """The row of `genes`, or the first one that differs in the fewest of them.

        Raises:
            SpaceError: the number of genes is wrong or one is out of its range.
        """
        if len(genes) != len(self.genes):
            raise SpaceError(f"{self.name} has {len(self.genes)} genes, got {len(genes)}")
        for gene, value in zip(self.genes, genes, strict=True):
            if not 0 <= value < gene.options:
                raise SpaceError(f"gene {gene.name} of {self.name} goes from 0 to {gene.options - 1}, got {value}")
        row = self.nearest(np.array([genes], dtype=np.int64))[0]
        return Architecture(self.key, tuple(int(gene) for gene in row))

    def rows(self, genes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Row numbers (n,) of `genes` (n, genes), -1 where there is none."""
        return self._codes.rows(np.asarray(genes), self.cells)

    def nearest(self, genes: NDArray[np.integer[Any]]) -> Genes:
        """`genes` (n, genes), with those that have no row replaced by the first row that differs in the fewest genes."""
        found = self.rows(genes)
        for missing in np.flatnonzero(found < 0):
            found[missing] = int((self.cells != genes[missing]).sum(axis=1).argmin())
        return self.cells[found]

    def row(self, architecture: Architecture) -> int:
        """The row number of an architecture of this table.

        Raises:
            SpaceError: it belongs to another space or another version of the table.
        """
        if architecture.space != self.key:
            raise SpaceError(f"architecture {architecture.id} is of {architecture.space}, not of {self.key}")
        return int(self.rows(np.array([architecture.genes]))[0])

    def costs(self, architecture: Architecture) -> Costs:
        """What the table says that an architecture costs; its latency has no interval."""
        return self.costs_of_row(self.row(architecture))

    def costs_of_row(self, row: int) -> Costs:
        """What the table says that row number `row` costs."""
        ms = float(self.latency_ms[row])
        size_mb = None if self.size_mb is None else float(self.size_mb[row])
        power_w = None if self.energy_mj is None else float(self.energy_mj[row]) / ms
        return Costs(Interval(ms, ms, ms), size_mb, None, power_w, None if self.macs is None else float(self.macs[row]))

    def macs_of(self, architecture: Architecture) -> int:
        """Multiply-accumulates of an architecture, 0 where the table does not tell them."""
        return 0 if self.macs is None else int(self.macs[self.row(architecture)])

    def evaluation(self, architecture: Architecture) -> Evaluation:
        """The table's accuracy of an architecture, in the table's unit; operations and parameters are not known and 0."""
        return Evaluation(float(self.accuracy[self.row(architecture)]), 0, 0, (), 0.0)

    def describe(self, row: int) -> Mapping[str, Any]:
        """The genes of row number `row` by column, as the file has them."""
        return {gene.name: values[int(at)] for gene, values, at in zip(self.genes, self.values, self.cells[row], strict=True)}

    def overrun(self, budget: Budget) -> Floats:
        """Relative overrun (rows,) of the tightest limit.

        Raises:
            DataError: something is limited that the table has no column for.
        """
        overruns = []
        for metric, limit in budget.limits.items():
            values = self.metrics.get(metric)
            if values is None:
                raise DataError(f"{self.path} cannot be searched with a limit on {metric}: it has no column for it ({self._columns()})")
            overruns.append(values / limit - 1.0)
        return np.max(overruns, axis=0)

    @property
    def metrics(self) -> Mapping[str, Floats]:
        """What the rows cost, (rows,) of each metric that there is a column for."""
        columns = {"latency": self.latency_ms, "size": self.size_mb, "energy": self.energy_mj, "macs": self.macs}
        return {metric: values for metric, values in columns.items() if values is not None}

    def figures(self, objectives: Objectives) -> Floats:
        """What is to be small of `objectives`, (rows, k).

        Raises:
            DataError: one of them is nothing that the table has a column for.
        """
        found = [self.metrics.get(name) for name in objectives.costs]
        missing = [name for name, values in zip(objectives.costs, found, strict=True) if values is None]
        if missing:
            raise DataError(
                f"{self.path} cannot be searched for {objectives}: it has no column for {', '.join(missing)} ({self._columns()})"
            )
        return np.stack([values for values in found if values is not None], axis=1)

    def feasible(self, budget: Budget) -> int:
        """Number of rows within `budget`.

        Raises:
            InfeasibleBudgetError: there is none; the message has the row that comes nearest.
            DataError: something is limited that the table has no column for.
        """
        overrun = self.overrun(budget)
        fitting = int((overrun <= 0.0).sum())
        if not fitting:
            fastest = int(self.latency_ms.argmin())
            slow = self.latency_ms[fastest] > budget.latency_ms
            best = fastest if slow else int(overrun.argmin())
            what = "the fastest row" if slow else "the row that comes nearest to all limits"
            close = any(budget.reads_like(metric, float(self.metrics[metric][best])) for metric in budget.limits)
            raise InfeasibleBudgetError(
                f"no row of {self.path} is within {budget.words(close)}: {what} takes {self._figures(best, close)} "
                f"({self._named(best)}). Give a wider limit"
            )
        return fitting

    def landscape(self, budget: Budget, objectives: Objectives = core_objectives.DEFAULT) -> Landscape:
        """The table as strategies see it: genes and costs, without accuracies.

        Raises:
            DataError: something is limited, or is to be made small, that the table has no column for.
        """
        overrun, figures = self.overrun(budget), self.figures(objectives)
        fitting = np.flatnonzero(overrun <= 0.0)
        pool = fitting if len(fitting) else np.arange(self.size)

        def price(genes: Genes) -> Prices:
            rows = self.rows(genes)
            return Prices(figures[rows], overrun[rows])

        def legal(genes: NDArray[np.integer[Any]]) -> Mask:
            return self.rows(genes) >= 0

        def draw(count: int, rng: np.random.Generator) -> Genes:
            return self.cells[pool[rng.integers(len(pool), size=count)]]

        ends = [pool[int(self.latency_ms[pool].argmin())], pool[int(self.latency_ms[pool].argmax())]]
        return Landscape(
            tuple(gene.name for gene in self.genes),
            tuple(gene.options for gene in self.genes),
            self.size,
            self.cells[pool] if len(pool) <= EVERYTHING else None,
            legal,
            self.nearest,
            draw,
            price,
            self.cells[ends],
            objectives,
        )

    def _figures(self, row: int, exact: bool) -> str:
        costs = self.costs_of_row(row)
        parts = [format_latency(float(self.latency_ms[row]), exact)]
        parts += [format_size(costs.size_mb, exact) + " on disk"] if costs.size_mb is not None else []
        parts += [format_energy(costs.energy_mj, exact)] if costs.energy_mj is not None else []
        parts += [format_macs(costs.macs, exact)] if costs.macs is not None else []
        return ", ".join(parts)

    def _named(self, row: int) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.describe(row).items())

    def _columns(self) -> str:
        there = [name for name in FIGURES if name in ("accuracy", "latency_ms") or getattr(self, name) is not None]
        return f"there is: {', '.join(there)}"


def read(path: str | Path) -> Table:
    """The table in the CSV file at `path`.

    Raises:
        DataError: there is no such file, it is not CSV, a column is missing, a cell is empty or no number where one is
            needed, or several rows have the same genes; the message names rows by their line in the file.
    """
    path = Path(path)
    frame, digest = _frame(path)
    columns = [name for name in frame.columns if name not in FIGURES]
    figures = {name: _numbers(path, frame, name) for name in FIGURES if name in frame.columns}
    encoded = [_options(path, name, frame[name]) for name in columns]
    cells = np.stack([codes for codes, _ in encoded], axis=1)
    values = tuple(options for _, options in encoded)
    genes = tuple(Gene(name, len(options)) for name, options in zip(columns, values, strict=True))
    found = (figures["accuracy"], figures["latency_ms"], figures.get("size_mb"), figures.get("energy_mj"), figures.get("macs"))
    table = Table(path, digest, genes, values, cells, *found, RowCodes.of(cells, [gene.options for gene in genes]))
    _refuse_repeats(table)
    return table


def _frame(path: Path) -> "tuple[pd.DataFrame, str]":
    """The file, its genes as text, and eight digits of its content."""
    import pandas as pd

    if not path.is_file() or not path.name:
        raise DataError(f"there is no table at {path}: give tabular:TABLE.csv, a file with the columns accuracy, latency_ms and genes")
    try:
        form = {"skipinitialspace": True, "encoding": "utf-8-sig", "index_col": False}
        header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **form)
        names = [str(name).strip() for name in header.iloc[0]]
        _refuse_wrong_columns(path, names)
        kinds = {name: str for name in names if name not in FIGURES}  # not category, for which 007 and 7 are the same
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row that is too long would be cut
            frame = pd.read_csv(path, header=0, names=names, dtype=kinds, na_values=_EMPTY, keep_default_na=False, low_memory=False, **form)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV table: {str(error).strip()}") from None
    if not len(frame):
        raise DataError(f"{path} has no rows")
    return frame, hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def _refuse_wrong_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in ("accuracy", "latency_ms") if name not in names]
    if missing:
        raise DataError(f"{path} has no column {' and none '.join(missing)} (it has: {', '.join(names)}): a table needs both")
    if not set(names) - set(FIGURES):
        raise DataError(f"{path} has no genes: every column beside {', '.join(FIGURES)} is one, and there is none")
    if not all(names):
        raise DataError(f"{path} has a column without a name (an index?): leave it out of the table, or name it if it is a gene")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has several columns that are called {', '.join(twice)}: give each a name of its own")


def _numbers(path: Path, frame: "pd.DataFrame", name: str) -> Floats:
    """The column as finite numbers, above zero but for accuracy."""
    import pandas as pd

    _refuse_empty(path, name, frame[name].isna().to_numpy())
    cells = frame[name].astype(str) if frame[name].dtype == bool else frame[name]  # True is not 1
    found = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        raise DataError(
            f"{path} has {str(frame[name].iloc[wrong[0]])!r} in column {name}, which is no finite number: {_lines(path, wrong)}"
        )
    wrong = np.flatnonzero(found <= 0) if name != "accuracy" else wrong
    if len(wrong):
        raise DataError(f"{path} has {found[wrong[0]]:g} in column {name}, which must be above zero: {_lines(path, wrong)}")
    return found


def _options(path: Path, name: str, column: "pd.Series[Any]") -> tuple[Genes, tuple[Any, ...]]:
    """Option numbers of a column's cells, and the options in rising order: as numbers where all are, so that 1 and 1.0 are one."""
    _refuse_empty(path, name, column.isna().to_numpy())
    cells = column.astype("category").cat
    texts = [str(text).strip() for text in cells.categories]
    options: list[Any] = [_number(text) for text in texts]
    if None in options:
        options = texts
    rising = sorted(set(options))
    places = np.array([bisect_left(rising, option) for option in options], dtype=np.int32)
    return places[cells.codes.to_numpy()], tuple(rising)


def _number(text: str) -> int | float | None:
    """The number that `text` is; None where it is none, or a code such as 007, whose zeros would be lost."""
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return None
    try:
        return int(text)
    except ValueError:
        try:
            found = float(text)
        except ValueError:
            return None
        return found if math.isfinite(found) else None


def _refuse_empty(path: Path, name: str, empty: Mask) -> None:
    if empty.any():
        raise DataError(
            f"{path} has empty cells in column {name}: {_lines(path, np.flatnonzero(empty))}. Fill them in, or leave these rows out"
        )


def _refuse_repeats(table: Table) -> None:
    """Raises where several rows have the same genes."""
    codes = table._codes
    same = np.flatnonzero(codes.codes[1:] == codes.codes[:-1])
    if len(same):
        equal = np.sort(codes.order[codes.codes == codes.codes[same[0]]])
        raise DataError(
            f"{table.path} has {len(same)} rows with the genes of another row, such as {_lines(table.path, equal)} "
            f"({table._named(int(equal[0]))}): keep one row for each architecture"
        )


def _lines(path: Path, rows: NDArray[np.integer[Any]]) -> str:
    """Rows by their line in the file."""
    numbers = _line_numbers(path)
    named = ", ".join(str(numbers[row]) for row in rows[:_NAMED])
    return f"line {named}" if len(rows) == 1 else f"lines {named}" + (f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else "")


@lru_cache(maxsize=1)
def _lines_of(path: Path, digest: str) -> Sequence[int]:
    """`_line_numbers` of the file as it is with that digest, read once."""
    return _line_numbers(path)


def _line_numbers(path: Path) -> Sequence[int]:
    """The line of the file on which each row begins: blank lines are no rows, and a quoted cell may have several lines."""
    found, before = [], 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, skipinitialspace=True)
        for cells in lines:
            if any(cell.strip() for cell in cells) or len(cells) > 1:
                found.append(before + 1)
            before = lines.line_num
    return found[1:]
