"""Loading of a SOURCE: a cleaned data set and its data summary."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.bundle.manifest import DataFingerprint
from model_store.bundle.scale import Kind
from model_store.config import DEFAULT_READ_OPTIONS, ReadOptions
from model_store.data import demos
from model_store.data.cleaning import arrange, merge_pairs, order_of, usable_events
from model_store.data.event_types import differ, like_weights, type_values
from model_store.data.feedback import feedback_spec, read_feedback, unusual_share
from model_store.data.items import catalogue
from model_store.data.matching import check_spellings
from model_store.data.schema import Dataset, Events
from model_store.data.summary import Summary, summarise
from model_store.data.users import user_attributes
from model_store.errors import DataError
from model_store.tables.notes import Note, counted
from model_store.tables.table import Table, Tables, read_folder

DEMOS = {"demo:movies": demos.movies, "demo:grocery": demos.grocery}


class Loaded(NamedTuple):
    """A data set and its data summary."""

    dataset: Dataset
    summary: Summary


def load(source: str, options: ReadOptions = DEFAULT_READ_OPTIONS) -> Loaded:
    """Read and clean ``demo:movies``, ``demo:grocery`` or a folder.

    Users and items are coded in the order of their ids. The fingerprint covers ids, cleaned events and attributes.

    Raises:
        DataError: the source cannot be read, or lacks data to learn from.
    """
    return prepare(source, read_source(source, options), options)


def read_source(source: str, options: ReadOptions = DEFAULT_READ_OPTIONS) -> Tables:
    """Read the tables of a source without cleaning; ``options`` apply to folders only.

    Raises:
        DataError: the source does not exist, its package is not installed, or a file cannot be read.
    """
    if source in DEMOS:
        return DEMOS[source]()
    folder = Path(source)
    if not source.strip() or source.startswith("demo:") or not folder.is_dir():
        expected = f"{', '.join(DEMOS)}, or a folder with interactions.parquet or interactions.csv"
        problem = "is a file; name its folder" if folder.is_file() else "no such data source"
        raise DataError(f"{source!r}: {problem}; expected {expected}")
    return read_folder(folder, options)


def prepare(source: str, tables: Tables, options: ReadOptions = DEFAULT_READ_OPTIONS) -> Loaded:
    """Clean the tables of a source.

    Raises:
        DataError: a column is missing or has the wrong type, or no usable data remains.
    """
    table, name = tables.interactions, tables.interactions.name
    usable, notes = usable_events(table)
    _check_enough(table, usable, notes)
    read = read_feedback(name, usable, options)
    events, kind = read.events, read.kind
    notes += read.notes
    _check_enough(table, events, notes)
    items = catalogue(tables.items, events["item_id"].unique())
    user_ids, item_ids = events["user_id"].unique().sort(), items.ids
    spellings = [
        *check_spellings(name, events["item_id"].unique(), "item"),
        *check_spellings(name, user_ids, "user"),
    ]
    users = user_attributes(tables.users, user_ids)
    coded = _coded(events, user_ids, item_ids)
    order, order_notes = order_of(coded)
    merged, merge_notes = merge_pairs(coded, kind, order)
    _check_liked(name, kind, merged["value"])
    feedback = feedback_spec(kind, coded, merged["value"], options.liked_from)
    types = type_values(coded)
    arranged = replace(arrange(merged, order, user_ids.to_list(), item_ids.to_list()), attributes=users.attributes)
    if differ(kind, types):
        arranged = replace(arranged, weights=like_weights(types, arranged.values))
    dataset = Dataset(
        user_ids=user_ids.to_list(),
        item_ids=item_ids.to_list(),
        titles=items.titles.to_list(),
        events=arranged,
        has_order=order != "random",
        has_time=order == "time",
        feedback=feedback,
        features=items.features,
        fingerprint=_fingerprint(source, user_ids.to_list(), item_ids.to_list(), arranged),
    )
    summary = summarise(
        dataset,
        source=source,
        kind=kind,
        reason=read.reason,
        order=order,
        types=types,
        notes=[*tables.notes, *notes, *order_notes, *merge_notes, *items.notes, *users.notes],
        columns=[*items.columns, *users.columns],
        warnings=[
            *read.warnings,
            *unusual_share(feedback, merged["value"]),
            *spellings,
            *items.warnings,
            *users.warnings,
        ],
    )
    return Loaded(dataset, summary)


def _coded(events: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    """Replace ids by the codes ``user`` and ``item``: positions in the sorted ids."""
    return events.with_columns(
        user=pl.col("user_id").cast(pl.Enum(user_ids)).to_physical(),
        item=pl.col("item_id").cast(pl.Enum(item_ids)).to_physical(),
    ).drop("user_id", "item_id")


def _check_enough(table: Table, events: pl.DataFrame, notes: list[Note]) -> None:
    if not len(table.frame):
        raise DataError(f"{table.name}: has no rows below its header, expected events")
    if not len(events):
        raise DataError(
            f"{table.name}: none of its {counted(len(table.frame), 'event')} can be used ({'; '.join(map(str, notes))})"
        )
    for column, noun in (("user_id", "usable user"), ("item_id", "usable item")):
        distinct = events[column].n_unique()
        if distinct < 2:  # noqa: PLR2004 - a ranking needs something to compare
            raise DataError(f"{table.name}: column {column!r} has {counted(distinct, noun)}, expected at least 2")


def _check_liked(name: str, kind: Kind, values: pl.Series) -> None:
    """Refuse values without any likes: the highest ratings are likes, and all other values above 0."""
    levels = values.unique().sort().to_list()
    advice = "" if len(levels) == 1 else ", or --feedback ratings"
    if levels[-1] <= 0 and (kind != "ratings" or len(levels) == 1):
        raise DataError(f"{name}: column 'value' is at most {levels[-1]!r}, expected some values above 0{advice}")


def _fingerprint(source: str, user_ids: list[str], item_ids: list[str], events: Events) -> DataFingerprint:
    """Hash ids and names, separated by line ends, which no id contains, and little-endian arrays with SHA-256."""
    digest = hashlib.sha256()
    names = [user_ids, item_ids]
    arrays: list[NDArray[Any]] = [events.indptr, events.items, events.values, events.times]
    if events.weights is not None:
        arrays.append(events.weights)
    attributes = events.attributes
    if attributes is not None:
        names.append(attributes.names)
        arrays += [attributes.indptr, attributes.ids, attributes.weights]
    for texts in names:
        digest.update("\n".join([*texts, "\n"]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return DataFingerprint(
        source=source,
        sha256=digest.hexdigest(),
        users=len(user_ids),
        items=len(item_ids),
        events=len(events.items),
    )
