"""Content features of a catalogue, out of any column of ``items.*``.

``described`` brings columns to a type, ``entries`` has the table of what becomes what.

All that encoding an item takes stands in the features' names, so an item that comes later is encoded like
those that the names were learned from. Words are therefore weighted by presence, not by TF-IDF, and the
words that IDF would silence are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from model_store.data.entries import NO_ENTRIES, Kind, bin_names, column_kind, entries_of
from model_store.data.schema import ItemFeatures
from model_store.data.tables import ITEM_COLUMNS

MIN_ITEMS = 2
MAX_WORDS = 2000
MAX_WORD_SHARE = 0.2


def content_features(items: pl.DataFrame) -> ItemFeatures:
    """Learn the features of a catalogue and encode it, one row per item."""
    return encode_features(items, names_in(features_by_column(items)))


@dataclass(frozen=True)
class ColumnFeatures:
    """Features worth having of one column.

    Attributes:
        kind: what the column holds; None for a type that no feature is made of.
        names: names of the features.
        rows: number of rows that have any of them.
    """

    kind: Kind | None
    names: tuple[str, ...] = ()
    rows: int = 0


def names_in(by_column: dict[str, ColumnFeatures]) -> list[str]:
    """Names of the features of all columns, sorted."""
    return sorted({name for features in by_column.values() for name in features.names})


def features_by_column(items: pl.DataFrame) -> dict[str, ColumnFeatures]:
    """Features worth having in a catalogue by column: bins, and what at least two items share.

    Of prose that is the 2,000 most common words of a column, without those in more than a fifth of its texts.
    """
    return {column.name: _features_of(column) for column in _content(items)}


def encode_features(items: pl.DataFrame, names: list[str]) -> ItemFeatures:
    """Encode items in the features called ``names``; whatever else they have is left out.

    The features that an item has from one column get unit L2 norm, then all its features together.

    Args:
        items: one row per item.
        names: as ``features_by_column`` learned them.
    """
    indexed = pl.DataFrame({"feature": names}, schema={"feature": pl.String}).with_row_index("index")
    columns = [NO_ENTRIES, *(_entries_in(column, names) for column in _content(items))]
    by_column = [_unit_norm(entries.join(indexed, on="feature").sort("row", "index")) for entries in columns]
    placed = _unit_norm(pl.concat(by_column)).sort("row", "index")
    counts = np.bincount(placed["row"].to_numpy(), minlength=len(items))
    return ItemFeatures(
        names=names,
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        indices=placed["index"].to_numpy().astype(np.int64),
        weights=placed["weight"].to_numpy().astype(np.float32),
    )


def _content(items: pl.DataFrame) -> list[pl.Series]:
    return [column for column in items if column.name not in ITEM_COLUMNS]


def _features_of(column: pl.Series) -> ColumnFeatures:
    kind = column_kind(column)
    if kind is None:
        return ColumnFeatures(None)
    if kind == "number":
        return ColumnFeatures(kind, tuple(bin_names(column)), column.count())
    entries = entries_of(column, kind, [])
    names = _shared(entries, kind)
    return ColumnFeatures(kind, tuple(names), entries.filter(pl.col("feature").is_in(names))["row"].n_unique())


def _shared(entries: pl.DataFrame, kind: Kind) -> list[str]:
    counted = entries.group_by("feature").len().filter(pl.col("len") >= MIN_ITEMS)
    if kind == "prose":
        most = MAX_WORD_SHARE * entries["row"].n_unique()
        by_count = counted.filter(pl.col("len") <= most).sort("len", "feature", descending=[True, False])
        counted = by_count.head(MAX_WORDS)
    return counted["feature"].to_list()


def _entries_in(column: pl.Series, names: list[str]) -> pl.DataFrame:
    """Entries of one column; the names say what is prose, for one short text does not show it."""
    kind = column_kind(column)
    if kind is None:
        return NO_ENTRIES
    if kind in ("tags", "prose"):
        kind = "prose" if any(name.startswith(f"{column.name}~") for name in names) else "tags"
    return entries_of(column, kind, names)


def _unit_norm(entries: pl.DataFrame) -> pl.DataFrame:
    norm = pl.col("weight").pow(2).sum().sqrt().over("row")
    return entries.filter(pl.col("weight") != 0).with_columns(pl.col("weight") / norm)
