"""Parquet files; keys of parts in subfolders named KEY=VALUE, as Spark, pandas and pyarrow write them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import polars as pl

from model_store.config import ReadOptions
from model_store.errors import DataError
from model_store.tables.layout import Layout, Rows, columns_to_read, unread_notes

# Value that Spark and Hive write for a missing key.
MISSING_KEY = "__HIVE_DEFAULT_PARTITION__"


def read_parquet(path: Path, keys: dict[str, str | None], layout: Layout, options: ReadOptions) -> Rows:
    """Read the columns of ``layout`` from a Parquet file.

    Args:
        path: the file.
        keys: constant columns from the names of the parent folders; columns of the file take precedence.
        layout: columns of the table.
        options: names of the columns in the file.

    Raises:
        DataError: the file is not Parquet or is damaged, or a column is missing or occurs twice.
    """
    try:
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        in_file = scan.collect_schema().names()
        further = {key: value for key, value in keys.items() if key not in in_file}
        names = columns_to_read(str(path), [*in_file, *further], layout, options)
        cells = [
            (pl.lit(further[source], dtype=pl.String) if source in further else pl.col(source)).alias(target)
            for source, target in names.items()
        ]
        frame = scan.with_row_index("\0row").select(cells).collect() if cells else pl.DataFrame()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as exc:
        reason = str(exc).splitlines()[0]
        expected = "expected a complete Parquet file with distinct column names"
        raise DataError(f"{path}: cannot be read ({reason}); {expected}") from exc
    return Rows(
        frame, lambda row: f"row {row + 1}", tuple(unread_notes(str(path), [*in_file, *further], names, layout))
    )


def keys_of(part: Path, folder: Path) -> dict[str, str | None]:
    """Parse the names of the folders between ``folder`` and ``part``, e.g. day=2024-01-31, to values by key."""
    pairs = (name.partition("=") for name in part.relative_to(folder).parts[:-1])
    return {unquote(key): None if value == MISSING_KEY else unquote(value) for key, equals, value in pairs if equals}
