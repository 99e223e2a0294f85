"""One column of a table, brought to the type that it must have."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from model_store.data.summary import Note
from model_store.data.tables import Table
from model_store.errors import DataError

# Words for a missing value: those of pandas, and of SQL, Python, Hive and JavaScript.
MISSING_WORDS = [
    *("nan", "NaN", "NAN", "-nan", "-NaN", "NaT", "nat", "NA", "<NA>", "#NA", "N/A", "n/a", "#N/A"),
    *("null", "Null", "NULL", "(null)", "<null>", "none", "None", "NONE", r"\N", "undefined"),
]
# Float64 holds every whole number up to here; beyond, two ids may have become one.
MAX_WHOLE_FLOAT = 2**53
SPREADSHEET_NUMBER = r"^[+-]?\d(?:[.,]\d{1,5})?E\+\d{2,}$"
DECIMAL_COMMA = r"^[+-]?\d*,\d+$"
THOUSANDS_COMMA = r"^[+-]?[1-9]\d{0,2},\d{3}$"


class Column(NamedTuple):
    """Cells of a column, and notes about those that were changed."""

    cells: pl.Series
    notes: tuple[Note, ...] = ()


def ids(table: Table, name: str) -> Column:
    """Ids as strings without blanks around them, null where missing.

    Raises:
        DataError: there is no such column, or it holds no ids; the row is named where one is to blame.
    """
    series = table.column(name)
    dtype = series.dtype
    if is_text(dtype):
        return _text_ids(table, series.cast(pl.String))
    if dtype.is_integer() or dtype == pl.Null:
        return Column(series.cast(pl.String))
    if dtype.is_float():
        return _float_ids(table, series)
    if dtype.is_decimal():
        return _decimal_ids(table, series)
    if dtype == pl.Binary:
        return _binary_ids(table, series)
    raise DataError(f"{table.name}: column {name!r} is {dtype}, expected strings or integers")


def numbers(table: Table, name: str) -> Column:
    """Numbers as float64, null where missing; may hold NaN and infinities.

    Raises:
        DataError: there is no such column, or it holds something else, which is named with its row.
    """
    series = table.column(name)
    dtype = series.dtype
    if is_text(dtype):
        return _parsed(table, present_text(series))
    if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
        raise DataError(f"{table.name}: column {name!r} is {dtype}, expected numbers")
    return Column(series.cast(pl.Float64))


def is_text(dtype: pl.DataType) -> bool:
    """Whether cells of this type are strings."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def present_text(series: pl.Series) -> pl.Series:
    """Text without blanks around it, null where it is empty or a word for a missing value."""
    text = series.cast(pl.String).str.strip_chars()
    return text.set((text == "") | text.is_in(MISSING_WORDS), None)


def bad_cell(table: Table, text: pl.Series, row: int, expectation: str) -> DataError:
    """Error about the cell of ``text`` in ``row``, by index."""
    return DataError(f"{table.name}: column {text.name!r}, {table.locate(row)}: {text[row]!r}, {expectation}")


def _text_ids(table: Table, text: pl.Series) -> Column:
    rounded = text.str.contains(SPREADSHEET_NUMBER).arg_true()
    if len(rounded):
        raise bad_cell(table, text, rounded[0], "a number that a spreadsheet has rounded; export the ids as text")
    stripped = text.str.strip_chars()
    trimmed = int(((stripped != text) & (stripped != "")).sum())
    missing = stripped.is_in(MISSING_WORDS).fill_null(value=False)
    notes = [Note(trimmed, f"ids of {text.name} have blanks around them, which are cut off")] if trimmed else []
    if missing.any():
        words = ", ".join(map(repr, stripped.filter(missing).unique().sort()))
        notes.append(Note(int(missing.sum()), f"ids of {text.name} count as missing: {words}"))
    return Column(stripped.set(missing, None), tuple(notes))


def _float_ids(table: Table, series: pl.Series) -> Column:
    present = series.cast(pl.Float64).fill_nan(None)
    unusable = ((present != present.floor()) | (present.abs() > MAX_WHOLE_FLOAT)).arg_true()
    if len(unusable):
        raise bad_cell(table, series, unusable[0], "expected strings or whole numbers up to 2^53")
    return _whole(present.cast(pl.Int64).cast(pl.String))


def _decimal_ids(table: Table, series: pl.Series) -> Column:
    text = series.cast(pl.String).str.replace(r"\.0+$", "")
    fractions = text.str.contains(".", literal=True).arg_true()
    if len(fractions):
        raise bad_cell(table, text, fractions[0], "expected strings or whole numbers")
    return _whole(text)


def _whole(text: pl.Series) -> Column:
    count = len(text) - text.null_count()
    return Column(text, (Note(count, f"ids of {text.name} are decimal numbers, read as whole ones: 7 for 7.0"),))


def _binary_ids(table: Table, series: pl.Series) -> Column:
    text = _decoded(series)
    if text is not None and not text.str.contains(r"\p{Cc}").any():
        return _text_ids(table, text)
    if not (series.bin.size().drop_nulls() == 16).all():  # noqa: PLR2004 - bytes of a UUID
        raise DataError(f"{table.name}: column {series.name!r} is bytes that are neither text nor UUIDs; write strings")
    shape = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$"
    uuids = series.bin.encode("hex").str.replace(shape, "$1-$2-$3-$4-$5")
    return Column(uuids, (Note(len(uuids), f"ids of {series.name} are 16 bytes, read as UUIDs"),))


def _decoded(series: pl.Series) -> pl.Series | None:
    """Bytes as UTF-8, None where some are not."""
    try:
        return series.cast(pl.String)
    except pl.exceptions.PolarsError:
        return None


def _parsed(table: Table, text: pl.Series) -> Column:
    parsed = text.cast(pl.Float64, strict=False)
    bad = parsed.is_null() & text.is_not_null()
    if not bad.any():
        return Column(parsed)
    if text.str.to_lowercase().is_in(["true", "false"]).fill_null(value=True).all():
        truth = (text.str.to_lowercase() == "true").cast(pl.Float64)
        return Column(truth, (Note(int(bad.sum()), f"cells of {text.name} are true or false, read as 1 and 0"),))
    return _with_decimal_commas(table, text, bad)


def _with_decimal_commas(table: Table, text: pl.Series, bad: pl.Series) -> Column:
    """Numbers out of text in which the cells ``bad`` are none with a decimal point."""
    commas = text.str.contains(DECIMAL_COMMA)
    strange = (bad & ~commas).arg_true()
    if len(strange):
        raise bad_cell(table, text, strange[0], "expected a number")
    first = bad.arg_true()[0]
    if text.str.contains(".", literal=True).any():
        raise bad_cell(table, text, first, "a decimal comma, where other rows have a decimal point; write points")
    if text.filter(bad).str.contains(THOUSANDS_COMMA).all():
        whole, fraction = text[first].split(",")
        reading = f"which may be {whole}{fraction} or {whole}.{fraction}; write it without comma"
        raise bad_cell(table, text, first, reading)
    parsed = text.str.replace(",", ".", literal=True).cast(pl.Float64)
    return Column(parsed, (Note(int(bad.sum()), f"cells of {text.name} have a decimal comma, read as a point"),))
