"""The catalogue: all items that a source describes, and those that only its events name."""

from __future__ import annotations

import polars as pl

from model_store.data.cleaning import distinct_rows
from model_store.data.features import unread_columns
from model_store.data.summary import Note
from model_store.data.tables import Table


def catalogue(table: Table | None, event_item_ids: pl.Series) -> tuple[pl.DataFrame, list[Note]]:
    """Bring all items into rows ordered by id (as text, by code point).

    Args:
        table: ``items.*``, if there is one.
        event_item_ids: distinct usable ids of the items with events.

    Returns:
        Columns ``item_id``, ``title`` ("" where there is none), and the table's own, null for items that
        the table does not have; and notes.

    Raises:
        DataError: the table has no ``item_id``, or it holds neither strings nor integers.
    """
    if table is None:
        items = pl.DataFrame({"item_id": event_item_ids.sort()}).with_columns(title=pl.lit(""))
        return items, [Note(len(items), "items have no title and no features: there is no items file")]
    described, notes = _described(table)
    everything = pl.concat([described["item_id"], event_item_ids]).unique()
    items = everything.to_frame().join(described, on="item_id", how="left").sort("item_id")
    if len(described) < len(items):
        absent = f"items of the events are absent from {table.name}: no title, no features"
        notes.append(Note(len(items) - len(described), absent))
    return items.with_columns(pl.col("title").fill_null("")), notes


def _described(table: Table) -> tuple[pl.DataFrame, list[Note]]:
    """Rows of ``items.*`` with usable, distinct ids, and titles as strings."""
    distinct, notes = distinct_rows(table, "item_id", "items")
    title = pl.col("title").cast(pl.String) if "title" in distinct.columns else pl.lit(None, dtype=pl.String)
    unread = unread_columns(distinct)
    if unread:
        notes.append(Note(len(unread), f"columns of {table.name} are of a type that is not read: {', '.join(unread)}"))
    return distinct.with_columns(title.alias("title")), notes
