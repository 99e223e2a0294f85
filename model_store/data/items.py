"""The catalogue: all items of the items table and of the events."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from model_store.bundle.cells import MISSING
from model_store.content.features import encode_catalogue, features_by_column, names_in
from model_store.content.numbers import MAX_BINS
from model_store.data.cleaning import distinct_rows
from model_store.data.facts import column_facts
from model_store.data.matching import check_ids
from model_store.data.schema import ItemFeatures
from model_store.data.summary import ColumnFact
from model_store.tables.described import has_types, read_columns
from model_store.tables.notes import Note
from model_store.tables.reading import Reading
from model_store.tables.table import ITEM_COLUMNS, Table

# Control characters, and those that change the direction of text.
_BREAKS = r"[\p{Cc}\x{202A}-\x{202E}\x{2066}-\x{2069}]+"
TITLE_NAMES = ("name", "product_name", "item_name", "movie_title", "product_title", "headline", "label")


class Catalogue(NamedTuple):
    """All items, in rows sorted by id (as text, by code point).

    Attributes:
        ids: ids, strings.
        titles: titles, "" for items without one.
        features: content features.
        notes: numbers of dropped or incomplete rows.
        columns: how the columns of the table were read.
        warnings: sentences about likely mistakes in the data.
    """

    ids: pl.Series
    titles: pl.Series
    features: ItemFeatures
    notes: list[Note]
    columns: list[ColumnFact]
    warnings: list[str]


class Titles(NamedTuple):
    """Titles by row, null if missing; notes and warnings about them."""

    titles: pl.Series
    notes: list[Note]
    warnings: list[str]


def catalogue(table: Table | None, event_item_ids: pl.Series) -> Catalogue:
    """Number all items and encode their content.

    Args:
        table: ``items.*``; None if the source has none.
        event_item_ids: distinct usable ids of the items with events.

    Raises:
        DataError: the table has no ``item_id``, its type cannot be an id, or its ids do not match those of the events.
    """
    if table is None:
        return _undescribed(event_item_ids, "there is no items file", [])
    distinct, notes = distinct_rows(table, "item_id", "items")
    if not len(distinct):
        warning = f"{table.name}: it has no usable rows; no item has a title or features"
        return _undescribed(event_item_ids, f"{table.name} has no usable rows", [*notes], warning)
    warnings = check_ids(table.name, distinct["item_id"], event_item_ids, "item")
    titles = _titles(table.name, distinct)
    readings = read_columns(distinct, ITEM_COLUMNS, MAX_BINS, typed=has_types(table.frame))
    described = _frame(distinct["item_id"], titles.titles, readings)
    everything = pl.concat([described["item_id"], event_item_ids]).unique()
    items = everything.to_frame().join(described, on="item_id", how="left").sort("item_id")
    if len(described) < len(items):
        absent = f"items of the events absent from {table.name}: no title, no features"
        notes.append(Note(len(items) - len(described), absent))
    content = items.drop(ITEM_COLUMNS, strict=False)
    by_column = features_by_column(content)
    facts = column_facts("items", table.name, readings, by_column, "two items")
    return Catalogue(
        ids=items["item_id"],
        titles=items["title"].fill_null(""),
        features=_encoded(content, names_in(by_column), len(items)),
        notes=[*notes, *titles.notes],
        columns=facts.columns,
        warnings=[*warnings, *titles.warnings, *facts.warnings],
    )


def _encoded(content: pl.DataFrame, names: list[str], n_items: int) -> ItemFeatures:
    encoded = encode_catalogue(content, names, n_items)
    return ItemFeatures(names, encoded.indptr, encoded.ids, encoded.weights)


def _frame(ids: pl.Series, titles: pl.Series, readings: list[Reading]) -> pl.DataFrame:
    read = {reading.name: reading.column for reading in readings if reading.column is not None}
    return pl.DataFrame({"item_id": ids, "title": titles, **read})  # a list would rename a column called ""


def _undescribed(event_item_ids: pl.Series, reason: str, notes: list[Note], *warnings: str) -> Catalogue:
    ids = event_item_ids.sort().alias("item_id")
    notes = [*notes, Note(len(ids), f"items without title and features: {reason}")]
    return Catalogue(ids, _no_titles(len(ids)), _encoded(pl.DataFrame(), [], len(ids)), notes, [], [*warnings])


def _no_titles(length: int) -> pl.Series:
    return pl.Series("title", [""], dtype=pl.String).new_from_index(0, length)


def _titles(path: str, items: pl.DataFrame) -> Titles:
    """Titles as text on one line; words such as "NaN" count as missing."""
    missing_titles = pl.Series("title", [None], dtype=pl.String).new_from_index(0, len(items))
    if "title" not in items.columns:
        return Titles(missing_titles, _title_proposal(path, items.columns), [])
    column = items["title"]
    if not _can_be_title(column.dtype):
        message = f"{path}: column 'title' is {column.dtype}, expected text; no item has a title"
        return Titles(missing_titles, [], [message])
    written = _written(column)
    line = written.str.replace_all(_BREAKS, " ").str.strip_chars()
    words = line.is_in(list(MISSING)).fill_null(value=False)
    titles = line.set(words, None)
    n_words = int((words & (line != "")).sum())
    notes = [Note(n_words, "titles read as missing, such as NaN")] if n_words else []
    if not isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum | pl.Null):
        notes.append(Note(titles.count(), f"titles of type {column.dtype}, converted to text"))
    if not titles.count():
        return Titles(titles, notes, [f"{path}: all {len(titles):,} titles are missing"] if len(titles) else [])
    missing = titles.null_count() - n_words
    return Titles(titles, [*notes, Note(missing, "items without title")] if missing else notes, [])


def _title_proposal(path: str, columns: list[str]) -> list[Note]:
    named = next((column for column in columns if column.lower() in TITLE_NAMES), None)
    message = f"column of {path} may contain titles: if {named!r} does, set --columns title={named}"
    return [Note(1, message)] if named else []


def _can_be_title(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List):
        return isinstance(dtype.inner, pl.String | pl.Categorical | pl.Enum)
    texts = isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Boolean | pl.Date | pl.Datetime | pl.Null)
    return texts or dtype.is_numeric()


def _written(titles: pl.Series) -> pl.Series:
    """Titles as text: whole numbers without a fraction, dates as days, lists joined by commas."""
    if isinstance(titles.dtype, pl.List):
        return titles.cast(pl.List(pl.String)).list.join(", ")
    if titles.dtype.is_float():
        return titles.cast(pl.String).str.strip_suffix(".0")
    if isinstance(titles.dtype, pl.Datetime):
        return titles.dt.to_string("%Y-%m-%d %H:%M:%S").str.strip_suffix(" 00:00:00")
    return titles.cast(pl.String)
