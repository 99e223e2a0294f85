"""Tags: strings separated by "|", lists of strings or integers, booleans."""

from __future__ import annotations

import numpy as np
import polars as pl


def recognises(column: pl.Series) -> bool:
    """Whether the column holds tags; ``prose`` has to be checked before, because it consists of strings, too."""
    dtype = column.dtype
    if isinstance(dtype, pl.List | pl.Array):
        inner = dtype.inner
        return isinstance(inner, pl.DataType) and (is_text(inner) or inner.is_integer())
    return is_text(dtype)


def entries(column: pl.Series) -> pl.DataFrame:
    """Columns ``row`` and ``feature``: each distinct tag of each cell."""
    return distinct_entries(cells(column), f"{column.name}=")


def cells(column: pl.Series) -> pl.Series:
    """The tags of each cell, as lists of strings."""
    if isinstance(column.dtype, pl.Array):
        return column.arr.to_list().cast(pl.List(pl.String))
    if isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String))
    return column.cast(pl.String).str.split("|")


def distinct_entries(lists: pl.Series, prefix: str) -> pl.DataFrame:
    """Columns ``row`` and ``feature`` from lists of strings: each non-empty string once per row, after ``prefix``."""
    return (
        pl.DataFrame({"row": np.arange(len(lists)), "name": lists})
        .explode("name")
        .with_columns(pl.col("name").str.strip_chars())
        .filter(pl.col("name") != "")
        .unique()
        .select("row", feature=pl.lit(prefix) + pl.col("name"))
    )


def is_text(dtype: pl.DataType) -> bool:
    """Whether cells are strings, categories or booleans."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Boolean)
