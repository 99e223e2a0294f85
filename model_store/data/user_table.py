"""What a source knows about its users: ``users.*`` of a folder, encoded like the columns of ``items.*``."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from model_store.data import columns
from model_store.data.features import content_features
from model_store.data.schema import ItemFeatures
from model_store.data.tables import Table
from model_store.errors import DataError


def user_attributes(source: str, user_ids: list[str]) -> ItemFeatures:
    """Attributes of all users, one row a user in the order of ``user_ids``.

    Without ``users.parquet`` or ``users.csv`` nothing is known, and there are no features. Of several rows about one
    user the last counts.

    Raises:
        DataError: the file cannot be read, or has no usable ``user_id``.
    """
    everybody = pl.DataFrame({"user_id": user_ids}, schema={"user_id": pl.String})
    table = _read(Path(source))
    if table is not None:
        known = table.frame.with_columns(columns.ids(table, "user_id")).unique("user_id", keep="last")
        everybody = everybody.join(known, on="user_id", how="left", maintain_order="left")
    # What makes features of items passes over their ids, and so over these.
    return content_features(everybody.select(pl.col("user_id").alias("item_id"), pl.exclude("user_id", "item_id")))


def _read(folder: Path) -> Table | None:
    for name, read in (("users.parquet", pl.read_parquet), ("users.csv", pl.read_csv)):
        path = folder / name
        if path.is_file():
            try:
                return Table(str(path), read(path))
            except (pl.exceptions.PolarsError, OSError) as exc:
                reason = str(exc).splitlines()[0]
                raise DataError(f"{path}: cannot be read ({reason}); expected a table of users") from exc
    return None
