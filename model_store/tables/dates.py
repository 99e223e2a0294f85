"""Dates and times of day, parsed from text into seconds since 1970."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.tables.columns import bad_cell
from model_store.tables.notes import Note
from model_store.tables.table import Table

EXPECTED = "expected seconds since 1970, or ISO 8601 such as 2024-01-31 17:00:00"
CLOCK = r"(?:,?[T ]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
HALF = r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
ZONE = r"\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
YEAR_FIRST = rf"^(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}}){CLOCK}{HALF}{ZONE}$"
YEAR_LAST = rf"^(?P<one>\d{{1,2}})(?P<mark>[-/.])(?P<two>\d{{1,2}})[-/.](?P<year>\d{{4}}){CLOCK}{HALF}{ZONE}$"
MAX_ZONE_H = 15
SLICE_ROWS = 500_000


class Parsed(NamedTuple):
    """Seconds since 1970, float64 (n_rows,), null if missing; and notes about how dates were read."""

    times: pl.Series
    notes: tuple[Note, ...]


def parse_dates(table: Table, text: pl.Series) -> Parsed:
    """Parse ISO 8601, or day, month and year in an order that the whole column decides. Times without zone are UTC.

    Args:
        table: the table, for messages.
        text: cells without surrounding blanks, null if missing.

    Raises:
        DataError: a cell is not a date, the order of day and month is ambiguous, or only some cells have a time zone.
    """
    pattern = YEAR_FIRST
    notes: tuple[Note, ...] = ()
    if 2 * int(text.str.contains(YEAR_LAST).sum()) > len(text) - text.null_count():
        pattern, notes = _day_and_month(table, text)
    # Parts of a date take twenty times the memory of the date.
    slices = (text.slice(start, SLICE_ROWS) for start in range(0, len(text), SLICE_ROWS))
    read = pl.concat([_seconds(piece.str.extract_groups(pattern).struct.unnest()) for piece in slices])
    bad = (text.is_not_null() & read["time"].is_null()).arg_true()
    if len(bad):
        raise bad_cell(table, text, bad[0], EXPECTED)
    without_zone = (text.is_not_null() & ~read["zoned"]).arg_true()
    if 0 < len(without_zone) < len(text) - text.null_count():
        raise bad_cell(table, text, without_zone[0], "expected a time zone as in other rows; write it in all or none")
    return Parsed(read["time"].alias(text.name), notes)


def _day_and_month(table: Table, text: pl.Series) -> tuple[str, tuple[Note, ...]]:
    """Decide for all rows which of the first two numbers is the day: one that is above 12 in some row."""
    one, two = (text.str.extract(YEAR_LAST, group).cast(pl.Int64) for group in (1, 3))
    day_first, month_first = (one > 12).arg_true(), (two > 12).arg_true()  # noqa: PLR2004 - months
    if len(day_first) and len(month_first):
        other = month_first[0]
        contrast = f"with the day first, but {table.locate(other)} has it second: {text[other]!r}; write ISO 8601"
        raise bad_cell(table, text, day_first[0], contrast)
    dotted = text.str.extract(YEAR_LAST, 2).drop_nulls() == "."
    if not (len(day_first) or len(month_first) or dotted.all()):
        readings = "which may mean day/month or month/day: no row has a day above 12; write ISO 8601, e.g. 2024-01-31"
        raise bad_cell(table, text, one.is_not_null().arg_true()[0], readings)
    names = ("month", "day") if len(month_first) else ("day", "month")
    pattern = YEAR_LAST.replace("?P<one>", f"?P<{names[0]}>").replace("?P<two>", f"?P<{names[1]}>")
    return pattern, (Note(len(dotted), f"dates of {text.name} read as {'/'.join(names)}/year"),)


def _seconds(parts: pl.DataFrame) -> pl.DataFrame:
    """Convert ``parts`` of dates to columns ``time``, seconds since 1970 or null if invalid, and ``zoned``."""
    year, month, day, hour, minute, second = (
        parts[name].cast(pl.Int64).fill_null(0).to_numpy()
        for name in ("year", "month", "day", "hour", "minute", "second")
    )
    hour, on_clock = _hour(hour, parts["half"])
    valid = parts["year"].is_not_null().to_numpy() & (month >= 1) & (month <= 12) & (day >= 1)  # noqa: PLR2004 - months
    valid &= on_clock & (minute < 60) & (second < 60)  # noqa: PLR2004 - minutes and seconds
    months = np.where(valid, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + np.where(valid, day - 1, 0)
    valid &= days.astype("datetime64[M]") == months
    fraction = ("0." + parts["fraction"]).cast(pl.Float64).fill_null(0).to_numpy()
    zone_s, valid_zone = _zone(parts["zone"])
    clock = hour * 3600 + minute * 60 + second - zone_s
    times = days.astype(np.int64) * 86_400.0 + clock + fraction
    time = pl.Series("time", np.where(valid & valid_zone, times, np.nan)).fill_nan(None)
    return pl.DataFrame([time, parts["zone"].is_not_null().alias("zoned")])


def _hour(hour: NDArray[np.int64], half: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Hours of the day, 0 … 23, from a 12- or 24-hour clock; and whether they are valid."""
    halved = half.is_not_null().to_numpy()
    after_noon = (half.str.to_lowercase() == "p").fill_null(value=False).to_numpy()
    valid = np.where(halved, (hour >= 1) & (hour <= 12), hour < 24)  # noqa: PLR2004 - hours
    return np.where(halved, hour % 12 + 12 * after_noon, hour), valid


def _zone(zone: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Offsets from UTC in seconds, and whether they are valid."""
    hours, minutes = (
        zone.str.extract(rf"^[+-]{shape}$", 1).cast(pl.Int64).fill_null(0).to_numpy()
        for shape in (r"(\d{2}):?(?:\d{2})?", r"\d{2}:?(\d{2})")
    )
    sign = np.where(zone.str.starts_with("-").fill_null(value=False).to_numpy(), -1, 1)
    return sign * (hours * 3600 + minutes * 60), (hours <= MAX_ZONE_H) & (minutes < 60)  # noqa: PLR2004 - minutes
