"""Points in time, out of the notations that tables have for them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from model_store.data.columns import Column, bad_cell, is_text, present_text
from model_store.data.dates import EXPECTED, Parsed, parse_dates
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
        advice = "a number that was rounded; export it in full, or leave the column out"
        raise bad_cell(table, text, rounded[0], advice)
    return _from_numbers(table, text, numbers)


def _from_numbers(table: Table, shown: pl.Series, numbers: pl.Series) -> Column:
    """Points in time by the size of ``numbers``; ``shown`` are the cells as errors show them."""
    present = numbers.set(~numbers.is_finite(), None)
    times, notes = _calendar(table, shown, present) or _in_seconds(table, shown, present)
    return _plausible(table, shown, times, notes)


def _calendar(table: Table, shown: pl.Series, numbers: pl.Series) -> Parsed | None:
    """Seconds out of numbers such as 20240131; None unless most are dates of the years 1900 to 2100.

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
            note = Note(count, f"numbers of {shown.name} are read as dates, YYYYMMDD")
            return Parsed(times.set(numbers <= 0, -1.0), (note,))
    return None


def _in_seconds(table: Table, shown: pl.Series, numbers: pl.Series) -> Parsed:
    """Seconds out of numbers of one unit, and a note unless that is seconds."""
    size = numbers.abs().fill_null(0).to_numpy()
    unit = np.searchsorted([limit for limit, _ in UNITS.values()], size, side="right")
    # Small numbers mark a missing time in any unit, such as 0 and -1, or are counters.
    telling = np.flatnonzero(size >= EARLIEST_S)
    if not len(telling):
        return Parsed(numbers, ())
    units = np.unique(unit[telling])
    if units[-1] == len(UNITS):
        raise bad_cell(table, shown, int(np.argmax(unit == len(UNITS))), EXPECTED)
    if len(units) > 1:
        first, other = (int(telling[np.argmax(unit[telling] == number)]) for number in units[:2])
        name, other_name = (list(UNITS)[number] for number in units[:2])
        contrast = f"{name} by its size, but {table.locate(other)} has {other_name}: {shown[other]!r}"
        raise bad_cell(table, shown, first, f"{contrast}; write one unit")
    name = list(UNITS)[units[0]]
    note = Note(len(telling), f"numbers of {shown.name} are read as {name} since 1970")
    return Parsed(numbers / UNITS[name][1], () if name == "seconds" else (note,))


def _plausible(table: Table, shown: pl.Series, times: pl.Series, notes: tuple[Note, ...] = ()) -> Column:
    """Without marks such as 0, -1 or 9999-12-31 among points in time; small numbers alone are an order."""
    present = len(times) - times.null_count()
    early, late, negative = times < EARLIEST_S, times >= LATEST_S, times < 0
    for wrong, limit in ((negative, "before 1970"), (late, "after 2099")):
        if 2 * int(wrong.sum()) > present:
            row = wrong.arg_true()[0]
            raise bad_cell(table, shown, row, f"which lies {limit} ({_year(times[row])}), as most do; {EXPECTED}")
    small = int(early.sum()) == present - int(late.sum()) or 2 * int(early.sum()) > present
    dropped = {"before 1970": negative, "after 2099": late} | ({} if small else {"before 1973": early & ~negative})
    for limit, wrong in dropped.items():
        if wrong.any():
            notes = (*notes, Note(int(wrong.sum()), f"times of {shown.name} lie {limit} and count as missing"))
            times = times.set(wrong, None)
    if small and present:
        notes = (*notes, Note(present, f"times of {shown.name} lie before 1973: only their order can be trusted"))
    return Column(times, notes)


def _year(time_s: float) -> str:
    try:
        return f"the year {datetime.fromtimestamp(time_s, UTC).year}"
    except (ValueError, OverflowError, OSError):
        return f"{time_s:g} seconds"
