"""Cleaning: from rows of a file to ordered events, one per user-item pair."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.bundle.scale import Kind, adds
from model_store.data.schema import Events
from model_store.tables import columns
from model_store.tables.notes import Note
from model_store.tables.table import Table
from model_store.tables.times import seconds

Order = Literal["time", "sequence", "random"]

MAX_ID_CHARACTERS = 256
# Dropped events are a warning if they exceed both this number and this share of all events.
FEW, SMALL_SHARE = 10, 0.1
BAD_ID = "missing, empty, over 256 characters or with control characters"
ORDER_COLUMNS: dict[Order, list[str]] = {"time": ["time", "seq"], "sequence": ["seq"], "random": []}


def usable_ids(name: str) -> pl.Expr:
    """Whether the id in column ``name`` is valid."""
    text = pl.col(name)
    usable = text.str.len_chars().is_between(1, MAX_ID_CHARACTERS) & ~text.str.contains(r"\p{Cc}")
    return usable.fill_null(value=False)


def distinct_rows(table: Table, id_column: str, noun: str) -> tuple[pl.DataFrame, list[Note]]:
    """Keep the rows with usable ids, as strings; of several rows with one id, keep the last.

    Returns:
        The rows, and notes about the dropped ones. The notes call the rows ``noun``.

    Raises:
        DataError: the table has no such column, or the column cannot be read as ids.
    """
    cells, notes = columns.ids(table, id_column)
    typed = table.frame.with_columns(cells)
    usable = typed.filter(usable_ids(id_column))
    distinct = usable.unique(id_column, keep="last", maintain_order=True)
    counts = {
        f"{noun} dropped: {id_column} is {BAD_ID}": len(typed) - len(usable),
        f"{noun} dropped: {id_column} occurs again in a later row": len(usable) - len(distinct),
    }
    return distinct, [*notes, *(Note(count, reason) for reason, count in counts.items() if count)]


def usable_events(table: Table) -> tuple[pl.DataFrame, list[Note]]:
    """Convert the columns of events to their types, and drop events that cannot be used.

    Events without a time are dropped if they are a minority and no other column orders all events.

    Returns:
        Columns ``user_id``, ``item_id`` (strings), ``value`` (float64, finite), ``time`` (seconds) and ``seq``
        (float64, null if missing), ``event`` (string or null); and notes about the dropped events.

    Raises:
        DataError: a required column is missing, or a column cannot be converted to its type.
    """
    read = {
        "user_id": columns.ids(table, "user_id"),
        "item_id": columns.ids(table, "item_id"),
        "value": columns.numbers(table, "value"),
        "time": _optional(table, "timestamp", seconds),
        "seq": _optional(table, "seq", columns.numbers),
        "event": _optional(table, "event", columns.ids),
    }
    events = pl.DataFrame([column.cells.alias(name) for name, column in read.items()]).with_columns(
        pl.col("seq").fill_nan(None), pl.col("event").cast(pl.String)
    )
    notes = [note for column in read.values() for note in column.notes]
    checks = {
        f"events dropped: user_id is {BAD_ID}": usable_ids("user_id"),
        f"events dropped: item_id is {BAD_ID}": usable_ids("item_id"),
        "events dropped: value is missing or not finite": pl.col("value").is_finite(),
    }
    for reason, usable in checks.items():
        events = _keep(events, usable, reason, notes)
    return _orderable(events, notes), notes


def _orderable(events: pl.DataFrame, notes: list[Note]) -> pl.DataFrame:
    """Drop events without a time, or else without seq, if most events have one; keep all if some column is complete."""
    lacking = {name: events[name].null_count() for name in ("time", "seq")}
    if 0 in lacking.values():
        return events
    for name, column in (("time", "timestamp"), ("seq", "seq")):
        if 2 * lacking[name] <= len(events):
            return _keep(events, pl.col(name).is_not_null(), f"events dropped: {column} is missing", notes)
    return events


def _keep(events: pl.DataFrame, usable: pl.Expr, reason: str, notes: list[Note]) -> pl.DataFrame:
    """Keep the usable events; add a note with ``reason`` about the dropped ones, a warning if they are many."""
    kept = events.filter(usable)
    dropped = len(events) - len(kept)
    if dropped:
        notes.append(Note(dropped, reason, warns=dropped > max(FEW, SMALL_SHARE * len(events))))
    return kept


def order_of(events: pl.DataFrame) -> tuple[Order, list[Note]]:
    """Choose the order: by time if all events have one and times differ, else by ``seq`` if complete, else random.

    Returns:
        The order, and notes about timestamps or ``seq`` that are present but not used.
    """
    without_time, without_seq = events["time"].null_count(), events["seq"].null_count()
    is_one_time = without_time == 0 and len(events) > 1 and events["time"].n_unique() == 1
    order: Order = "time" if without_time == 0 and not is_one_time else "sequence" if without_seq == 0 else "random"
    notes = []
    if is_one_time:
        notes.append(Note(len(events), f"events share one timestamp, so timestamps are not used; order: {order}"))
    if 0 < without_time < len(events):
        notes.append(Note(without_time, f"events without a timestamp, so timestamps are not used; order: {order}"))
    if order == "random" and without_seq < len(events):
        notes.append(Note(without_seq, "events without seq, so seq is not used; order: random"))
    return order, notes


def merge_pairs(events: pl.DataFrame, kind: Kind, order: Order) -> tuple[pl.DataFrame, list[Note]]:
    """Merge the events of each user-item pair into one, at the time of the latest, by the rule in ``bundle.scale``.

    In random order, the last row counts as the latest event.

    Args:
        events: columns ``user`` and ``item`` (codes), ``value``, ``time``, ``seq``.
        kind: kind of the values.
        order: the result of ``order_of``.

    Returns:
        The same columns, sorted by user and item; and a note if pairs were merged.
    """
    pair = ["user", "item"]
    ordered = events.select(*pair, "value", "time", "seq").sort(*pair, *ORDER_COLUMNS[order], maintain_order=True)
    if not adds(kind):
        # Keep the last row of each pair. Grouping would need several times the memory for twenty million pairs.
        followed = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in pair)
        merged = ordered.filter(~followed.fill_null(value=False))
    else:
        merged = ordered.group_by(pair, maintain_order=True).agg(pl.col("value").sum(), pl.col("time", "seq").last())
    repeated = len(events) - len(merged)
    rule = "values are added" if adds(kind) else "the latest event counts"
    reason = f"events merged with others of the same user and item: {rule}"
    return merged, [Note(repeated, reason)] if repeated else []


def arrange(merged: pl.DataFrame, order: Order, user_ids: list[str], item_ids: list[str]) -> Events:
    """Sort each user's events; events that the order does not separate are shuffled reproducibly.

    Args:
        merged: one row per pair, columns ``user``, ``item`` (codes), ``value``, ``time``, ``seq``.
        order: the result of ``order_of``.
        user_ids: id by user code.
        item_ids: id by item code.
    """
    shuffle = _shuffle_keys(merged, user_ids, item_ids)
    ordered = merged.with_columns(shuffle=shuffle).sort("user", *ORDER_COLUMNS[order], "shuffle", "item")
    counts = np.bincount(ordered["user"].to_numpy(), minlength=len(user_ids))
    times = ordered["time"].to_numpy() if order == "time" else np.zeros(len(ordered))
    return Events(
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items=ordered["item"].to_numpy().astype(np.int32),
        values=ordered["value"].to_numpy().astype(np.float32),
        times=times.astype(np.float64),
    )


def _shuffle_keys(merged: pl.DataFrame, user_ids: list[str], item_ids: list[str]) -> NDArray[np.uint64]:
    """Hash each pair of ids, so that a user's shuffle does not depend on other users, items or rows.

    The mixing function is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    """
    users, items = _checksums(user_ids), _checksums(item_ids)
    mixed: NDArray[np.uint64] = users[merged["user"].to_numpy()] << np.uint64(32)
    mixed |= items[merged["item"].to_numpy()]
    mixed += np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _checksums(ids: list[str]) -> NDArray[np.uint64]:
    return np.fromiter((zlib.crc32(text.encode()) for text in ids), dtype=np.uint64, count=len(ids))


def _optional(table: Table, name: str, read: Callable[[Table, str], columns.Column]) -> columns.Column:
    if name in table.frame.columns and table.frame[name].dtype != pl.Null:
        return read(table, name)
    return columns.Column(pl.Series(name, [None], dtype=pl.Float64).new_from_index(0, len(table.frame)))
