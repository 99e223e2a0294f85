"""Numbers and dates: quantile bins. Dates within three years are binned by fractions of years."""

from __future__ import annotations

import re

import numpy as np
import polars as pl

from model_store.bundle.cells import text_of
from model_store.content.bins import Bins, quantile_bins

MAX_BINS = 10
# Dates over fewer years than this are binned by fractions of years.
MIN_YEARS = 3


def recognises(column: pl.Series) -> bool:
    """Whether the column holds numbers or dates."""
    return column.dtype.is_numeric() or isinstance(column.dtype, pl.Date | pl.Datetime)


def bin_names(column: pl.Series, most_levels: int = MAX_BINS) -> list[str]:
    """Names of quantile bins of a column; one bin per number if there are few distinct numbers.

    Args:
        column: numbers or dates.
        most_levels: up to this many distinct numbers, each gets a bin.
    """
    finite = numbers(column).drop_nulls().to_numpy()
    if not len(finite):
        return []
    if column.dtype.is_temporal() and finite.max() - finite.min() >= MIN_YEARS:
        finite = np.floor(finite)
    bins = quantile_bins(finite, most_levels if len(np.unique(finite)) <= most_levels else MAX_BINS)
    return [f"{column.name}={text_of(low)}..{text_of(high)}" for low, high in zip(*bins, strict=True)]


def entries(column: pl.Series, names: list[str]) -> pl.DataFrame:
    """Columns ``row`` and ``feature``: the bin of each number; ``names`` are the names of the bins."""
    shape = re.compile(re.escape(column.name) + r"=(-?[0-9.e+-]+)\.\.(-?[0-9.e+-]+)")
    bins = sorted((float(match[1]), float(match[2]), match[0]) for match in map(shape.fullmatch, names) if match)
    if not bins:
        return pl.DataFrame(schema={"row": pl.Int64, "feature": pl.String})
    lows, highs, labels = zip(*bins, strict=True)
    rows = pl.DataFrame({"row": np.arange(len(column)), "number": numbers(column)}).drop_nulls()
    indices = Bins(np.array(lows), np.array(highs)).assign(rows["number"].to_numpy())
    return rows.select("row", feature=pl.Series(labels)[indices])


def numbers(column: pl.Series) -> pl.Series:
    """Finite numbers as float64, dates as years with fractions; null for all other cells."""
    floats = _years(column) if column.dtype.is_temporal() else column.cast(pl.Float64)
    return floats.to_frame().select(pl.when(pl.nth(0).is_finite()).then(pl.nth(0))).to_series()


def _years(days: pl.Series) -> pl.Series:
    """The rule of ``cells.year_fraction``."""
    length = days.dt.is_leap_year().cast(pl.Int32) + 365
    return (days.dt.year() + (days.dt.ordinal_day() - 1) / length).round(4)
