"""Vectors: lists of floats, which are embeddings of any modality."""

from __future__ import annotations

import numpy as np
import polars as pl


def recognises(column: pl.Series) -> bool:
    """Whether the column holds lists of floats."""
    return isinstance(column.dtype, pl.List | pl.Array) and column.dtype.inner in (pl.Float32, pl.Float64)


def entries(column: pl.Series) -> pl.DataFrame:
    """Columns ``row`` and ``feature``: each finite coordinate of each cell."""
    vectors = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
    return (
        pl.DataFrame({"row": np.arange(len(column)), "coordinate": vectors.cast(pl.List(pl.Float64))})
        .filter(pl.col("coordinate").list.len() > 0)
        .with_columns(index=pl.int_ranges(0, pl.col("coordinate").list.len()))
        .explode("coordinate", "index")
        .filter(pl.col("coordinate").is_finite())
        .select("row", feature=pl.format("{}[{}]", pl.lit(column.name), "index"))
    )
