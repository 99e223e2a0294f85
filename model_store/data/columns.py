"""One column of a table, brought to the type that it must have."""

from __future__ import annotations

import polars as pl

from model_store.data.tables import Table
from model_store.errors import DataError

# The year 5138: seconds beyond it are milliseconds or finer.
LATEST_S = 1e11


def ids(table: Table, name: str) -> pl.Series:
    """Ids as strings, null where missing.

    Raises:
        DataError: there is no such column, or it holds neither strings nor integers.
    """
    series = table.column(name)
    dtype = series.dtype
    if not (_is_text(dtype) or dtype.is_integer()):
        raise DataError(f"{table.name}: column {name!r} is {dtype}, expected strings or integers")
    return series.cast(pl.String)


def numbers(table: Table, name: str) -> pl.Series:
    """Numbers as float64, null where missing; may hold NaN and infinities.

    Raises:
        DataError: there is no such column, or it holds something else, which is named with its row.
    """
    series = table.column(name)
    dtype = series.dtype
    if _is_text(dtype):
        return _parsed(table, series.cast(pl.String).str.strip_chars())
    if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
        raise DataError(f"{table.name}: column {name!r} is {dtype}, expected numbers")
    return series.cast(pl.Float64)


def seconds(table: Table, name: str) -> pl.Series:
    """Points in time as float64 seconds, from numbers of seconds, dates or date-times; null where missing.

    Raises:
        DataError: there is no such column, or it holds something else.
    """
    series = table.column(name)
    if series.dtype == pl.String and not _has_number(series):
        series = _date_times(table, series)
    if isinstance(series.dtype, pl.Datetime | pl.Date):
        return series.dt.epoch("us").cast(pl.Float64) / 1e6
    times = numbers(Table(table.name, series.to_frame()), name).to_frame()
    finite = times.select(pl.when(pl.col(name).is_finite()).then(pl.col(name))).to_series()
    latest = finite.max()
    if isinstance(latest, float) and latest > LATEST_S:
        raise DataError(f"{table.name}: column {name!r} has {latest:g}, expected seconds, not a finer unit")
    return finite


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _parsed(table: Table, text: pl.Series) -> pl.Series:
    parsed = text.cast(pl.Float64, strict=False)
    bad = (parsed.is_null() & text.is_not_null() & (text != "")).arg_true()
    if len(bad):
        row = bad[0]
        raise DataError(f"{table.name}: column {text.name!r}, row {row + 1}: {text[row]!r}, expected a number")
    return parsed


def _has_number(text: pl.Series) -> bool:
    return text.cast(pl.Float64, strict=False).is_not_null().any() or text.null_count() == len(text)


def _date_times(table: Table, text: pl.Series) -> pl.Series:
    try:
        return text.str.to_datetime(time_unit="us", time_zone="UTC")
    except pl.exceptions.PolarsError as exc:
        first = text.drop_nulls()[0]
        raise DataError(
            f"{table.name}: column {text.name!r} cannot be read as times (it starts with {first!r}); "
            "expected seconds or ISO 8601"
        ) from exc
