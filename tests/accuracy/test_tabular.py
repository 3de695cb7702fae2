"""A table is read as it is, found in by its genes, and refused, with the lines to look at, where it is not one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.accuracy import tabular
from nas.accuracy.row_codes import RowCodes
from nas.core.budget import Budget
from nas.core.errors import DataError, InfeasibleBudgetError, SpaceError
from nas.core.objectives import Objectives

GOOD = """op,width,accuracy,latency_ms,size_mb,energy_mj
conv,8,70.5,1.0,0.5,3
conv,16,72.25,2.0,1.0,6
skip,8,60,0.5,0.25,1
skip,32,61,0.75,0.5,2
"""


@pytest.fixture
def write(tmp_path):
    def written(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


@pytest.fixture
def table(write):
    return tabular.read(write(GOOD))


def test_every_other_column_is_a_gene_with_its_values_in_order(table):
    assert [(gene.name, gene.options) for gene in table.genes] == [("op", 2), ("width", 3)]
    assert table.values == (("conv", "skip"), (8, 16, 32)), "16 comes after 8: these are numbers"
    assert table.size == 4 and table.accuracy.tolist() == [70.5, 72.25, 60, 61]
    assert table.describe(3) == {"op": "skip", "width": 32}


def test_what_the_file_says_is_what_an_architecture_costs(table):
    one = table.architecture([0, 1])
    costs = table.costs(one)
    assert (costs.latency.ms, costs.latency.high_ms, costs.size_mb, costs.memory_mb, costs.energy_mj) == (2.0, 2.0, 1.0, None, 6.0)
    assert table.evaluation(one).accuracy == 72.25, "in the table's unit"


def test_operations_are_a_column_and_any_column_an_objective(write):
    table = tabular.read(write("op,accuracy,latency_ms,size_mb,macs\na,1,1,5,2e6\nb,2,2,4,3e6\n"))
    assert [gene.name for gene in table.genes] == ["op"] and table.macs_of(table.architecture([1])) == 3_000_000
    assert table.costs(table.architecture([0])).macs == 2e6 and table.feasible(Budget(5.0, macs=2.5e6)) == 1
    asked = Objectives(("macs", "accuracy", "size"))
    assert table.figures(asked).tolist() == [[2e6, 5.0], [3e6, 4.0]]
    prices = table.landscape(Budget(1.0, macs=2.5e6), asked).price(table.cells)
    assert prices.costs.tolist() == [[2e6, 5.0], [3e6, 4.0]] and prices.feasible.tolist() == [True, False]
    with pytest.raises(DataError, match=r"cannot be searched for accuracy,energy: it has no column for energy \(there is: .*macs\)"):
        table.landscape(Budget(5.0), Objectives(("accuracy", "energy")))


def test_codes_keep_their_zeros_and_columns_without_figures_may_be_missing(write):
    table = tabular.read(write("code,accuracy,latency_ms\n007,1,1\n010,2,2\n7,3,3\n"))
    assert table.values == (("007", "010", "7"),)
    assert table.size_mb is None and table.energy_mj is None
    with pytest.raises(DataError, match=r"cannot be searched with a limit on size: .*there is: accuracy, latency_ms\)"):
        table.landscape(Budget(5.0, 1.0))


def test_none_is_an_option_and_a_column_of_one_value_is_no_choice(write):
    table = tabular.read(write("op,task,accuracy,latency_ms\nnone,cifar,1,1\nconv,cifar,2,2\n"))
    assert table.values == (("conv", "none"), ("cifar",))


def test_a_combination_without_a_row_stands_for_the_nearest_row(table):
    assert table.rows(np.array([[1, 1], [1, 2]])).tolist() == [-1, 3]
    assert table.describe(table.row(table.architecture([1, 1])))["width"] in (8, 16, 32)
    assert (table.cells[table.row(table.architecture([1, 1]))] != [1, 1]).sum() == 1
    assert table.landscape(Budget(9.0)).legal(np.array([[0, 2], [0, 0]])).tolist() == [False, True]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.1, 1.0))
def test_every_row_is_found_and_nothing_else(seed, genes, keep):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, genes)
    every = np.array(list(itertools.product(*map(range, counts))))
    there = rng.random(len(every)) < keep
    there[0] = True
    cells = rng.permutation(every[there]).astype(np.int32)
    codes = RowCodes.of(cells, list(counts))
    assert codes.rows(cells, cells).tolist() == list(range(len(cells)))
    assert ((codes.rows(every, cells) >= 0) == there).all()


def test_architectures_of_another_version_of_the_table_are_refused(table, write):
    other = tabular.read(write(GOOD.replace("61", "62"), "other.csv"))
    with pytest.raises(SpaceError, match=r"is of tabular@[0-9a-f]{8}, not of tabular@"):
        other.costs(table.architecture([0, 0]))
    with pytest.raises(SpaceError, match="has 2 genes, got 1"):
        table.architecture([0])
    with pytest.raises(SpaceError, match="gene width of table goes from 0 to 2, got 3"):
        table.architecture([0, 3])


@given(st.lists(st.sampled_from(["", "  ", '"two\nlines",1,1', "x,2,2", '"a ""word""",3,3', " y ,4,4"]), max_size=12))
def test_rows_are_named_by_the_line_on_which_they_begin(tmp_path_factory, parts):
    path, at, expected = tmp_path_factory.mktemp("lines") / "table.csv", 2, []
    for part in parts:
        expected += [at] if part.strip() else []
        at += 1 + part.count("\n")
    rows = [f"{number},{part}" if part.strip() else part for number, part in enumerate(parts)]
    path.write_text("\n".join(["n,a,accuracy,latency_ms", *rows, "last,z,5,5"]) + "\n")
    table = tabular.read(path)
    assert [table.line(row) for row in range(table.size)] == [*expected, at]


def test_a_limit_that_is_missed_by_little_does_not_read_as_if_it_held(write):
    table = tabular.read(write("a,accuracy,latency_ms\nx,1,1.0302\ny,2,2\n"))
    with pytest.raises(InfeasibleBudgetError, match=r"is within 1\.03 ms: the fastest row takes 1\.0302 ms"):
        table.feasible(Budget(1.03))
    with pytest.raises(InfeasibleBudgetError, match=r"is within 1\.0299 ms: the fastest row takes 1\.0302 ms"):
        table.feasible(Budget(1.0299))


def test_draws_are_rows_within_the_budget(table):
    landscape = table.landscape(Budget(0.8))
    drawn = landscape.draw(50, np.random.default_rng(0))
    assert landscape.price(drawn).feasible.all() and len(np.unique(drawn, axis=0)) == 2
    assert landscape.price(table.cells).overrun.tolist() == pytest.approx([0.25, 1.5, -0.375, -0.0625])


def test_a_budget_below_all_rows_names_the_fastest(table):
    assert table.feasible(Budget(0.8)) == 2
    with pytest.raises(
        InfeasibleBudgetError, match=r"no row of .*table\.csv is within 0\.10 ms: the fastest row takes .*0\.50 ms.*op=skip, width=8"
    ):
        table.feasible(Budget(0.1))
    with pytest.raises(InfeasibleBudgetError, match=r"the row that comes nearest to all limits .*op=skip, width=8"):
        table.feasible(Budget(5.0, 0.1))


WRONG = {
    "": "is not a CSV table",
    "a,accuracy,latency_ms\n": "has no rows",
    "a,latency_ms\n1,1\n": r"has no column accuracy \(it has: a, latency_ms\)",
    "a,b\n1,1\n": "has no column accuracy and none latency_ms",
    "accuracy,latency_ms,size_mb\n1,1,1\n": "has no genes",
    ",a,accuracy,latency_ms\n0,1,1,1\n": "has a column without a name",
    "a,a,accuracy,latency_ms\n0,1,1,1\n": "has several columns that are called a",
    "a,accuracy,latency_ms\nx,1,1\ny,,1\n": "has empty cells in column accuracy: line 3",
    "a,accuracy,latency_ms\nx,1,1\ny,nan,1\n": "has empty cells in column accuracy: line 3",
    "a,accuracy,latency_ms\n,1,1\ny,1,1\n": "has empty cells in column a: line 2",
    "a,accuracy,latency_ms\nx,high,1\n": "has 'high' in column accuracy, which is no finite number: line 2",
    "a,accuracy,latency_ms\nx,True,1\ny,False,1\n": "has 'True' in column accuracy, which is no finite number: lines 2, 3",
    "a,accuracy,latency_ms\nx,inf,1\n": "has 'inf' in column accuracy, which is no finite number: line 2",
    "a,accuracy,latency_ms\nx,1,0\n": "has 0 in column latency_ms, which must be above zero: line 2",
    "a,accuracy,latency_ms,energy_mj\nx,1,1,-2\n": "has -2 in column energy_mj",
    "a,accuracy,latency_ms\nx,1,1\ny,1,1\nx,2,2\n": r"has 1 rows with the genes of another row, such as lines 2, 4 \(a=x\)",
    "a,accuracy,latency_ms\nx,1,1,7\n": "is not a CSV table",
    "a,accuracy,latency_ms\n1,1,1\n1.0,2,2\n": r"has 1 rows with the genes of another row, such as lines 2, 3 \(a=1\)",
    'a,accuracy,latency_ms\n\n"x\ny",1,1\n  \nz,1,-1\n': "has -1 in column latency_ms, which must be above zero: line 6",
}


@pytest.mark.parametrize("text", WRONG, ids=list(range(len(WRONG))))
def test_what_is_no_table_is_refused_with_the_line_to_look_at(text, write):
    with pytest.raises(DataError, match=WRONG[text]):
        tabular.read(write(text))


def test_no_file(tmp_path):
    with pytest.raises(DataError, match=r"there is no table at .*absent\.csv: give tabular:TABLE\.csv"):
        tabular.read(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="is not a CSV table"):
        tabular.read(tmp_path / "binary.csv")
