"""Ids and numbers in various notations."""

from decimal import Decimal
from uuid import UUID

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.data.sources import load
from model_store.errors import DataError
from model_store.tables.columns import ids, numbers
from model_store.tables.notes import Note
from model_store.tables.table import Table

GOOD = {"user_id": ["u", "u", "v", "v"], "item_id": ["x", "y", "x", "z"], "value": ["1", "2", "1", "2"]}


def table(cells: object) -> Table:
    return Table("events", pl.DataFrame({"item_id": cells}))


@pytest.mark.parametrize(
    ("cells", "expected", "note"),
    [
        (["007", "7", "7.0"], ["007", "7", "7.0"], None),
        ([7, 10**18, -1], ["7", "1000000000000000000", "-1"], None),
        ([7.0, None, float("nan"), -0.0], ["7", None, None, "0"], "with decimals, read as whole numbers: 7 for 7.0"),
        ([Decimal("27.00"), Decimal("0.00")], ["27", "0"], "with decimals"),
        ([b"i27", "é".encode()], ["i27", "é"], None),
        ([UUID(int=27).bytes, UUID(int=12).bytes], [str(UUID(int=27)), str(UUID(int=12))], "16 bytes, read as UUIDs"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), ["a", "b"], None),
        (["u1 ", " u1", "\u00a0u1\t", ""], ["u1", "u1", "u1", ""], "with surrounding blanks, which are removed"),
        (["NULL", "nan", "u", "None"], [None, None, "u", None], "read as missing: 'NULL', 'None', 'nan'"),
    ],
)
def test_ids_are_strings_and_changes_are_noted(cells, expected, note):
    column = ids(table(cells), "item_id")
    assert column.cells.to_list() == expected
    assert [note] == [note for reason in column.notes if note in reason.reason] if note else column.notes == ()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1.0, 2.5], "column 'item_id', row 2: 2.5, expected strings or whole numbers"),
        ([1.0, 2.0**60], "row 2: 1.15.*, expected strings or whole numbers up to 2\\^53"),
        ([1.0, float("inf")], "row 2: inf, expected strings or whole numbers"),
        ([Decimal("1.00"), Decimal("2.50")], "row 2: '2.50', expected strings or whole numbers"),
        ([b"\xff\xfe", b"i2"], "column 'item_id' has bytes, expected text or UUIDs; write strings"),
        (["i1", "1.27E+18"], "row 2: '1.27E\\+18', a number rounded by a spreadsheet; export the ids as text"),
        ([[1], [2]], r"column 'item_id' is List\(Int64\), expected strings or integers"),
        ([True, False], "column 'item_id' is Boolean, expected strings or integers"),
    ],
)
def test_cells_that_are_not_ids_are_refused(cells, expected):
    with pytest.raises(DataError, match=expected):
        ids(table(cells), "item_id")


@pytest.mark.parametrize("column", ["user_id", "item_id"])
@pytest.mark.parametrize("word", ["nan", "NaN", "NULL", "null", "None", "N/A", "\\N", "<NA>"])
def test_words_for_a_missing_id_are_read_as_missing(write_source, column, word):
    loaded = load(write_source(GOOD | {column: [word, *GOOD[column][1:]]}, suffix=".csv"))
    assert word not in [*loaded.dataset.user_ids, *loaded.dataset.item_ids]
    assert Note(1, f"ids of {column} read as missing: {word!r}") in loaded.summary.notes
    assert loaded.summary.n_events == 3


def test_ids_of_events_and_items_match_despite_blanks(write_source):
    items = {"item_id": ["x", " y", "z "], "title": ["X", "Y", "Z"]}
    loaded = load(write_source(GOOD | {"item_id": ["x ", "y", "x", " z"]}, items, suffix=".csv"))
    assert loaded.dataset.item_ids == ["x", "y", "z"]
    assert loaded.dataset.titles == ["X", "Y", "Z"]


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(), st.integers(-(10**9), 10**9)), min_size=1))
def test_numbers_in_text_are_read_as_python_reads_them(drawn):
    column = numbers(table([f" {number!r} " for number in drawn]), "item_id")
    expected = [None if number != number else float(number) for number in drawn]  # noqa: PLR0124 - nan
    assert column.cells.to_list() == expected
    assert column.notes == ()


@pytest.mark.parametrize(
    ("cells", "expected", "note"),
    [
        (["1,5", "4", "-0,25"], [1.5, 4.0, -0.25], "2 cells of item_id with a decimal comma, read as a point"),
        (["0,500", "1,5"], [0.5, 1.5], "2 cells of item_id with a decimal comma, read as a point"),
        (
            ["True", "false", "TRUE", ""],
            [1.0, 0.0, 1.0, None],
            "3 cells of item_id with true or false, read as 1 and 0",
        ),
        (["NULL", "1", "N/A", "nan", " "], [None, 1.0, None, None, None], None),
        ([True, None], [1.0, None], None),
        ([Decimal("1.25")], [1.25], None),
    ],
)
def test_notations_of_numbers_are_read_and_choices_are_noted(cells, expected, note):
    column = numbers(table(cells), "item_id")
    assert column.cells.to_list() == expected
    assert list(map(str, column.notes)) == ([note] if note else [])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,234", "5"], "row 1: '1,234', which may mean 1234 or 1.234; write it without a comma"),
        (["1.5", "1,5"], "row 2: '1,5', a decimal comma, but other rows have a decimal point; write points"),
        (["1", "1.234,5"], r"row 2: '1.234,5', expected a number"),
        (["1", "1,5", "five"], "row 3: 'five', expected a number"),
        (["1", "$5"], "row 2: '.5', expected a number"),
        (["true", "5", "maybe"], "row 1: 'true', expected a number"),
    ],
)
def test_invalid_and_ambiguous_numbers_are_refused_with_their_row(cells, expected):
    with pytest.raises(DataError, match=rf"events: column 'item_id', {expected}"):
        numbers(table(cells), "item_id")
