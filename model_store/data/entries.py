"""One column of ``items.*`` as entries (row of the item, feature, weight), by what the column holds.

| kind     | column                                           | features                                    |
|----------|--------------------------------------------------|---------------------------------------------|
| tags     | strings, "|"-separated or in lists; booleans     | ``genre=Comedy``                            |
| prose    | strings of more than six words between the "|",  | ``plot~toy``, one a word, of weight 1       |
|          | or of several where hardly any recurs            |                                             |
| number   | numbers; dates, as their year                    | ``year=1990..1994``, up to ten quantile bins|
| vector   | lists of floats: an embedding of any modality    | ``image[3]``, weighted by the coordinate    |

The bins of dates within three years have fractions of years as bounds.
"""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import polars as pl

from model_store.data.bins import Bins, figure, quantile_bins

Kind = Literal["tags", "prose", "number", "vector"]

PROSE_WORDS = 6
MIN_WORDS = 2
MIN_TEXTS = 20
MAX_BINS = 10
# Of a column of which a smaller share of cells recurs, the words say more than the whole cells.
RECURRING = 0.1
# Dates over fewer years than this are told apart within a year.
MIN_YEARS = 3
NO_ENTRIES = pl.DataFrame(schema={"row": pl.Int64, "feature": pl.String, "weight": pl.Float64})


def column_kind(column: pl.Series) -> Kind | None:
    """Kind of the column; None for what no feature is made of, such as structs."""
    dtype = column.dtype
    if isinstance(dtype, pl.List | pl.Array):
        inner = dtype.inner
        if inner in (pl.Float32, pl.Float64):
            return "vector"
        return "tags" if isinstance(inner, pl.DataType) and (_is_name(inner) or inner.is_integer()) else None
    if dtype.is_numeric() or isinstance(dtype, pl.Date | pl.Datetime):
        return "number"
    if _is_name(dtype):
        return "prose" if _is_prose(column) else "tags"
    return None


def entries_of(column: pl.Series, kind: Kind, names: list[str]) -> pl.DataFrame:
    """Columns ``row``, ``feature``, ``weight`` of a column; each feature once an item.

    Args:
        column: one cell an item.
        kind: what it holds.
        names: feature names, of which a number needs its bins; the other kinds make their own.
    """
    if kind == "number":
        return _binned(column, names)
    if kind == "vector":
        return _coordinates(column)
    cells, mark = (_words(column), "~") if kind == "prose" else (_tags(column), "=")
    return (
        pl.DataFrame({"row": np.arange(len(cells)), "name": cells})
        .explode("name")
        .with_columns(pl.col("name").str.strip_chars())
        .filter(pl.col("name") != "")
        .unique()
        .select("row", feature=pl.lit(f"{column.name}{mark}") + pl.col("name"), weight=pl.lit(1.0))
    )


def bin_names(column: pl.Series, most_levels: int = MAX_BINS) -> list[str]:
    """Names of the bins over the numbers of a column, by quantiles; one per number where there are few of them.

    Args:
        column: numbers or dates.
        most_levels: distinct numbers that are few.
    """
    numbers = _numbers(column).drop_nulls().to_numpy()
    if not len(numbers):
        return []
    if column.dtype.is_temporal() and numbers.max() - numbers.min() >= MIN_YEARS:
        numbers = np.floor(numbers)
    bins = quantile_bins(numbers, most_levels if len(np.unique(numbers)) <= most_levels else MAX_BINS)
    return [f"{column.name}={figure(low)}..{figure(high)}" for low, high in zip(*bins, strict=True)]


def _is_name(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Boolean)


def _is_prose(column: pl.Series) -> bool:
    words = _tags(column).explode().str.count_matches(r"\S+").mean()
    return isinstance(words, float) and (words > PROSE_WORDS or (words >= MIN_WORDS and _hardly_recurs(column)))


def _hardly_recurs(column: pl.Series) -> bool:
    """Whether texts that are not "|"-separated differ from row to row, as names of products do."""
    texts = column.drop_nulls()
    if column.dtype != pl.String or len(texts) < MIN_TEXTS or texts.str.contains("|", literal=True).any():
        return False
    counts = texts.value_counts()["count"]
    return int(counts.filter(counts > 1).sum()) < RECURRING * len(texts)


def _tags(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Array):
        return column.arr.to_list().cast(pl.List(pl.String))
    if isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String))
    return column.cast(pl.String).str.split("|")


def _words(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).str.to_lowercase().str.extract_all(r"[\p{L}\p{N}]{2,}")


def _numbers(column: pl.Series) -> pl.Series:
    """Finite numbers as float64, dates as years with fractions; all else is null."""
    numbers = _years(column) if column.dtype.is_temporal() else column.cast(pl.Float64)
    return numbers.to_frame().select(pl.when(pl.nth(0).is_finite()).then(pl.nth(0))).to_series()


def _years(days: pl.Series) -> pl.Series:
    """The rule of ``cells.year_fraction``."""
    length = days.dt.is_leap_year().cast(pl.Int32) + 365
    return (days.dt.year() + (days.dt.ordinal_day() - 1) / length).round(4)


def _binned(column: pl.Series, names: list[str]) -> pl.DataFrame:
    shape = re.compile(re.escape(column.name) + r"=(-?[0-9.e+-]+)\.\.(-?[0-9.e+-]+)")
    bins = sorted((float(match[1]), float(match[2]), match[0]) for match in map(shape.fullmatch, names) if match)
    if not bins:
        return NO_ENTRIES
    lows, highs, labels = zip(*bins, strict=True)
    rows = pl.DataFrame({"row": np.arange(len(column)), "number": _numbers(column)}).drop_nulls()
    indices = Bins(np.array(lows), np.array(highs)).place(rows["number"].to_numpy())
    return rows.select("row", feature=pl.Series(labels)[indices], weight=pl.lit(1.0))


def _coordinates(column: pl.Series) -> pl.DataFrame:
    vectors = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
    return (
        pl.DataFrame({"row": np.arange(len(column)), "weight": vectors.cast(pl.List(pl.Float64))})
        .filter(pl.col("weight").list.len() > 0)
        .with_columns(index=pl.int_ranges(0, pl.col("weight").list.len()))
        .explode("weight", "index")
        .filter(pl.col("weight").is_finite())
        .select("row", pl.format("{}[{}]", pl.lit(column.name), "index").alias("feature"), "weight")
    )
