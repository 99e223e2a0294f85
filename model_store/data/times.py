"""Points in time, out of the notations that tables have for them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from model_store.data.columns import Column, bad_cell, is_text, known_text
from model_store.data.dates import EXPECTED, parse_dates
from model_store.data.summary import Note
from model_store.data.tables import Table
from model_store.errors import DataError

# From the year 5138 on, seconds are taken for milliseconds; those from 1973 on are taken for such, and so forth.
UNITS = {"seconds": (1e11, 1.0), "milliseconds": (1e14, 1e3), "microseconds": (1e17, 1e6), "nanoseconds": (1e20, 1e9)}
# Seconds of 1973-03-03: below it stand counters and marks for a missing time rather than points in time.
EARLIEST_S = 1e8
# Seconds of 2100-01-01: from there on stand marks such as 9999-12-31.
LATEST_S = 4_102_444_800.0
CALENDAR_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
ROUNDED = r"^[+-]?\d(?:[.,]\d{1,4})?[eE]\+?\d+$"


def seconds(table: Table, name: str) -> Column:
    """Points in time as float64 seconds since 1970, null where missing.

    Numbers are seconds, milliseconds, microseconds or nanoseconds, as their size says, or dates such as 20240131. Text
    holds such numbers, ISO 8601, or days, months and years in an order that the column decides. No zone means UTC.

    Raises:
        DataError: there is no such column, or it holds something else, which is named with its row.
    """
    series = table.column(name)
    dtype = series.dtype
    if is_text(dtype):
        return _from_text(table, known_text(series))
    if isinstance(dtype, pl.Datetime | pl.Date):
        return _plausible(table, series, series.dt.epoch("us").cast(pl.Float64) / 1e6)
    if dtype.is_numeric() or dtype == pl.Null:
        return _from_numbers(table, series, series.cast(pl.Float64))
    raise DataError(f"{table.name}: column {name!r} is {dtype}, {EXPECTED}")


def _from_text(table: Table, text: pl.Series) -> Column:
    numbers = text.cast(pl.Float64, strict=False)
    known = len(text) - text.null_count()
    if 2 * (len(text) - numbers.null_count()) < known:
        times, notes = parse_dates(table, text)
        return _plausible(table, text, times, notes)
    bad = (numbers.is_null() & text.is_not_null()).arg_true()
    if len(bad):
        raise bad_cell(table, text, bad[0], "expected a number, as in other rows")
    rounded = text.str.contains(ROUNDED).arg_true()
    if len(rounded):
        advice = "a number that was rounded; export it in full, or leave the column out"
        raise bad_cell(table, text, rounded[0], advice)
    return _from_numbers(table, text, numbers)


def _from_numbers(table: Table, shown: pl.Series, numbers: pl.Series) -> Column:
    """Points in time by the size of ``numbers``; ``shown`` are the cells as errors show them."""
    known = numbers.set(~numbers.is_finite(), None)
    calendar = _calendar(known)
    if calendar is not None:
        column = _plausible(table, shown, calendar)
        count = len(known) - known.null_count()
        return Column(
            column.cells, (Note(count, f"numbers of {shown.name} are read as dates, YYYYMMDD"), *column.notes)
        )
    return _plausible(table, shown, *_in_seconds(table, shown, known))


def _calendar(numbers: pl.Series) -> pl.Series | None:
    """Seconds out of numbers such as 20240131; None unless all are dates of the years 1900 to 2100."""
    digits = numbers.drop_nulls()
    if not len(digits) or (digits != digits.floor()).any():
        return None
    for length, form in CALENDAR_FORMATS.items():
        first, last = 1900 * 10 ** (length - 4), 2101 * 10 ** (length - 4)
        if digits.is_between(first, last).all():
            days = numbers.cast(pl.Int64).cast(pl.String).str.to_datetime(form, time_unit="us", strict=False)
            if days.null_count() == numbers.null_count():
                return days.dt.epoch("us").cast(pl.Float64) / 1e6
    return None


def _in_seconds(table: Table, shown: pl.Series, numbers: pl.Series) -> tuple[pl.Series, tuple[Note, ...]]:
    """Seconds out of numbers of one unit, and a note unless that is seconds."""
    size = numbers.abs().to_numpy()
    limits = [limit for limit, _ in UNITS.values()]
    unit = np.searchsorted(limits, np.where(np.isnan(size), 0, size), side="right")
    counted = np.flatnonzero(size > 0)
    if not len(counted):
        return numbers, ()
    units = np.unique(unit[counted])
    if units[-1] == len(UNITS):
        raise bad_cell(table, shown, int(np.argmax(unit == len(UNITS))), EXPECTED)
    if len(units) > 1:
        first, other = (int(counted[np.argmax(unit[counted] == each)]) for each in units[:2])
        names = list(UNITS)
        expectation = (
            f"{names[units[0]]} by its size, but {table.locate(other)} has {names[units[1]]}: {shown[other]!r}"
        )
        raise bad_cell(table, shown, first, f"{expectation}; write one unit")
    name = list(UNITS)[units[0]]
    notes = () if name == "seconds" else (Note(len(counted), f"numbers of {shown.name} are read as {name} since 1970"),)
    return numbers / UNITS[name][1], notes


def _plausible(table: Table, shown: pl.Series, times: pl.Series, notes: tuple[Note, ...] = ()) -> Column:
    """Without marks such as 0, -1 or 9999-12-31 among points in time; small numbers alone are an order."""
    known = len(times) - times.null_count()
    early, late, negative = times < EARLIEST_S, times >= LATEST_S, times < 0
    for wrong, limit in ((negative, "before 1970"), (late, "after 2099")):
        if 2 * int(wrong.sum()) > known:
            row = wrong.arg_true()[0]
            raise bad_cell(table, shown, row, f"which lies {limit} ({_year(times[row])}), as most do; {EXPECTED}")
    small = int(early.sum()) == known - int(late.sum()) or 2 * int(early.sum()) > known
    dropped = {"before 1970": negative, "after 2099": late} | ({} if small else {"before 1973": early & ~negative})
    for limit, wrong in dropped.items():
        if wrong.any():
            notes = (*notes, Note(int(wrong.sum()), f"times of {shown.name} lie {limit} and count as missing"))
            times = times.set(wrong, None)
    if small and known:
        notes = (*notes, Note(known, f"times of {shown.name} are before 1973: their order counts, dates do not"))
    return Column(times, notes)


def _year(time_s: float) -> str:
    try:
        return f"the year {datetime.fromtimestamp(time_s, UTC).year}"
    except (ValueError, OverflowError, OSError):
        return f"{time_s:g} seconds"
