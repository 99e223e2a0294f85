"""Conversion of a table's columns to ids or numbers."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from model_store.errors import DataError
from model_store.tables.notes import Note
from model_store.tables.table import Table

# Words that pandas, SQL, Python, Hive and JavaScript write for a missing value.
MISSING_WORDS = [
    *("nan", "NaN", "NAN", "-nan", "-NaN", "NaT", "nat", "NA", "<NA>", "#NA", "N/A", "n/a", "#N/A"),
    *("null", "Null", "NULL", "(null)", "<null>", "none", "None", "NONE", r"\N", "undefined"),
]
# Float64 represents every whole number up to this one; larger ids may have collided.
MAX_WHOLE_FLOAT = 2**53
SPREADSHEET_NUMBER = r"^[+-]?\d(?:[.,]\d{1,5})?E\+\d{2,}$"
DECIMAL_COMMA = r"^[+-]?\d*,\d+$"
THOUSANDS_COMMA = r"^[+-]?[1-9]\d{0,2},\d{3}$"


class Column(NamedTuple):
    """Converted cells of a column, and notes about the conversion."""

    cells: pl.Series
    notes: tuple[Note, ...] = ()


def ids(table: Table, name: str) -> Column:
    """Convert a column to ids: strings without surrounding blanks, null if missing.

    Raises:
        DataError: the column is missing, or cannot be read as ids; the message names the row if one is the cause.
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
    """Convert a column to float64, null if missing; NaN and infinities are kept.

    Raises:
        DataError: the column is missing, or a cell is not a number; the message names the row.
    """
    series = table.column(name)
    dtype = series.dtype
    if is_text(dtype):
        return _parsed(table, present_text(series))
    if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
        raise DataError(f"{table.name}: column {name!r} is {dtype}, expected numbers")
    return Column(series.cast(pl.Float64))


def is_text(dtype: pl.DataType) -> bool:
    """Whether ``dtype`` is a type of strings."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def present_text(series: pl.Series) -> pl.Series:
    """Strip surrounding blanks; empty cells and words for missing values become null."""
    text = series.cast(pl.String).str.strip_chars()
    return text.set((text == "") | text.is_in(MISSING_WORDS), None)


def bad_cell(table: Table, text: pl.Series, row: int, expectation: str) -> DataError:
    """Make the error about a cell of ``text``, in the row with index ``row``."""
    return DataError(f"{table.name}: column {text.name!r}, {table.locate(row)}: {text[row]!r}, {expectation}")


def _text_ids(table: Table, text: pl.Series) -> Column:
    rounded = text.str.contains(SPREADSHEET_NUMBER).arg_true()
    if len(rounded):
        raise bad_cell(table, text, rounded[0], "a number rounded by a spreadsheet; export the ids as text")
    stripped = text.str.strip_chars()
    trimmed = int(((stripped != text) & (stripped != "")).sum())
    missing = stripped.is_in(MISSING_WORDS).fill_null(value=False)
    notes = [Note(trimmed, f"ids of {text.name} with surrounding blanks, which are removed")] if trimmed else []
    if missing.any():
        words = ", ".join(map(repr, stripped.filter(missing).unique().sort()))
        notes.append(Note(int(missing.sum()), f"ids of {text.name} read as missing: {words}"))
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
    return Column(text, (Note(count, f"ids of {text.name} with decimals, read as whole numbers: 7 for 7.0"),))


def _binary_ids(table: Table, series: pl.Series) -> Column:
    text = _decoded(series)
    if text is not None and not text.str.contains(r"\p{Cc}").any():
        return _text_ids(table, text)
    if not (series.bin.size().drop_nulls() == 16).all():  # noqa: PLR2004 - bytes of a UUID
        raise DataError(f"{table.name}: column {series.name!r} has bytes, expected text or UUIDs; write strings")
    shape = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$"
    uuids = series.bin.encode("hex").str.replace(shape, "$1-$2-$3-$4-$5")
    return Column(uuids, (Note(len(uuids), f"ids of {series.name} with 16 bytes, read as UUIDs"),))


def _decoded(series: pl.Series) -> pl.Series | None:
    """Decode bytes as UTF-8; None if some are invalid."""
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
        return Column(truth, (Note(int(bad.sum()), f"cells of {text.name} with true or false, read as 1 and 0"),))
    return _with_decimal_commas(table, text, bad)


def _with_decimal_commas(table: Table, text: pl.Series, bad: pl.Series) -> Column:
    """Parse text with decimal commas; the cells ``bad`` do not parse with a decimal point."""
    commas = text.str.contains(DECIMAL_COMMA)
    strange = (bad & ~commas).arg_true()
    if len(strange):
        raise bad_cell(table, text, strange[0], "expected a number")
    first = bad.arg_true()[0]
    if text.str.contains(".", literal=True).any():
        raise bad_cell(table, text, first, "a decimal comma, but other rows have a decimal point; write points")
    if text.filter(bad).str.contains(THOUSANDS_COMMA).all():
        whole, fraction = text[first].split(",")
        reading = f"which may mean {whole}{fraction} or {whole}.{fraction}; write it without a comma"
        raise bad_cell(table, text, first, reading)
    parsed = text.str.replace(",", ".", literal=True).cast(pl.Float64)
    return Column(parsed, (Note(int(bad.sum()), f"cells of {text.name} with a decimal comma, read as a point"),))
