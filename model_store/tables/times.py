"""Conversion of timestamps in various notations to seconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from model_store.errors import DataError
from model_store.tables.columns import Column, bad_cell, is_text, present_text
from model_store.tables.dates import EXPECTED, Parsed, parse_dates
from model_store.tables.notes import Note
from model_store.tables.table import Table

# Limit and factor per unit: seconds are read as such up to the year 5138, larger numbers as milliseconds, and so on.
UNITS = {"seconds": (1e11, 1.0), "milliseconds": (1e14, 1e3), "microseconds": (1e17, 1e6), "nanoseconds": (1e20, 1e9)}
# 1973-03-03: smaller numbers are counters or markers of a missing time.
EARLIEST_S = 1e8
# 2100-01-01: later times are markers such as 9999-12-31.
LATEST_S = 4_102_444_800.0
CALENDAR_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
ROUNDED = r"^[+-]?\d(?:[.,]\d{1,4})?[eE]\+?\d+$"


def seconds(table: Table, name: str) -> Column:
    """Convert a column to seconds since 1970, float64, null if missing.

    Numbers are seconds, milliseconds, microseconds or nanoseconds, depending on their size, or dates such as 20240131.
    Text is such numbers, ISO 8601, or day, month and year in an order that the whole column decides. Times without zone
    are UTC.

    Raises:
        DataError: the column is missing, or a cell is not a time; the message names the row.
    """
    series = table.column(name)
    dtype = series.dtype
    if is_text(dtype):
        return _from_text(table, present_text(series))
    if isinstance(dtype, pl.Datetime | pl.Date):
        return _plausible(table, series, series.dt.epoch("us").cast(pl.Float64) / 1e6)
    if dtype.is_numeric() or dtype == pl.Null:
        return _from_numbers(table, series, series.cast(pl.Float64))
    raise DataError(f"{table.name}: column {name!r} is {dtype}, {EXPECTED}")


def _from_text(table: Table, text: pl.Series) -> Column:
    numbers = text.cast(pl.Float64, strict=False)
    present = len(text) - text.null_count()
    if 2 * (len(text) - numbers.null_count()) < present:
        times, notes = parse_dates(table, text)
        return _plausible(table, text, times, notes)
    bad = (numbers.is_null() & text.is_not_null()).arg_true()
    if len(bad):
        raise bad_cell(table, text, bad[0], "expected a number, as in other rows")
    rounded = text.str.contains(ROUNDED).arg_true()
    if len(rounded):
        raise bad_cell(table, text, rounded[0], "a rounded number; export it in full, or remove the column")
    return _from_numbers(table, text, numbers)


def _from_numbers(table: Table, shown: pl.Series, numbers: pl.Series) -> Column:
    """Convert ``numbers`` by their size; errors quote the cells in ``shown``."""
    present = numbers.set(~numbers.is_finite(), None)
    times, notes = _calendar(table, shown, present) or _in_seconds(table, shown, present)
    return _plausible(table, shown, times, notes)


def _calendar(table: Table, shown: pl.Series, numbers: pl.Series) -> Parsed | None:
    """Convert numbers such as 20240131; None unless most are dates of the years 1900 to 2100.

    Numbers up to 0, which mark a missing date, become times before 1970.
    """
    digits = numbers.set(numbers <= 0, None)
    count = len(digits) - digits.null_count()
    for length, form in CALENDAR_FORMATS.items():
        first, last = 1900 * 10 ** (length - 4), 2101 * 10 ** (length - 4)
        if not count or not digits.is_between(first, last).all() or (digits != digits.floor()).any():
            continue
        days = digits.cast(pl.Int64).cast(pl.String).str.to_datetime(form, time_unit="us", strict=False)
        bad = (days.is_null() & digits.is_not_null()).arg_true()
        if 2 * len(bad) < count:
            if len(bad):
                raise bad_cell(table, shown, bad[0], "expected a date of the form YYYYMMDD, as in other rows")
            times = days.dt.epoch("us").cast(pl.Float64) / 1e6
            note = Note(count, f"numbers of {shown.name} read as dates, YYYYMMDD")
            return Parsed(times.set(numbers <= 0, -1.0), (note,))
    return None


def _in_seconds(table: Table, shown: pl.Series, numbers: pl.Series) -> Parsed:
    """Convert numbers in one unit to seconds; add a note if the unit is not seconds."""
    size = numbers.abs().fill_null(0).to_numpy()
    unit = np.searchsorted([limit for limit, _ in UNITS.values()], size, side="right")
    # Small numbers, such as 0 and -1, are counters or mark a missing time in any unit.
    with_unit = np.flatnonzero(size >= EARLIEST_S)
    if not len(with_unit):
        return Parsed(numbers, ())
    units = np.unique(unit[with_unit])
    if units[-1] == len(UNITS):
        raise bad_cell(table, shown, int(np.argmax(unit == len(UNITS))), EXPECTED)
    if len(units) > 1:
        first, other = (int(with_unit[np.argmax(unit[with_unit] == number)]) for number in units[:2])
        name, other_name = (list(UNITS)[number] for number in units[:2])
        contrast = f"{name} by its size, but {table.locate(other)} has {other_name}: {shown[other]!r}"
        raise bad_cell(table, shown, first, f"{contrast}; use one unit")
    name = list(UNITS)[units[0]]
    note = Note(len(with_unit), f"numbers of {shown.name} read as {name} since 1970")
    return Parsed(numbers / UNITS[name][1], () if name == "seconds" else (note,))


def _plausible(table: Table, shown: pl.Series, times: pl.Series, notes: tuple[Note, ...] = ()) -> Column:
    """Drop markers such as 0, -1 or 9999-12-31; if most numbers are small, keep them as a mere order."""
    present = len(times) - times.null_count()
    early, late, negative = times < EARLIEST_S, times >= LATEST_S, times < 0
    for wrong, limit in ((negative, "before 1970"), (late, "after 2099")):
        if 2 * int(wrong.sum()) > present:
            row = wrong.arg_true()[0]
            raise bad_cell(table, shown, row, f"which is {limit} ({_year(times[row])}), like most; {EXPECTED}")
    small = int(early.sum()) == present - int(late.sum()) or 2 * int(early.sum()) > present
    dropped = {"before 1970": negative, "after 2099": late} | ({} if small else {"before 1973": early & ~negative})
    for limit, wrong in dropped.items():
        if wrong.any():
            notes = (*notes, Note(int(wrong.sum()), f"times of {shown.name} {limit}, read as missing"))
            times = times.set(wrong, None)
    if small and present:
        notes = (*notes, Note(present, f"times of {shown.name} before 1973: only their order is used"))
    return Column(times, notes)


def _year(time_s: float) -> str:
    try:
        return f"the year {datetime.fromtimestamp(time_s, UTC).year}"
    except (ValueError, OverflowError, OSError):
        return f"{time_s:g} seconds"
