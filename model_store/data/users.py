"""What is known about users beside their events, out of any column of ``users.*``: text, booleans, numbers, lists."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from model_store.bundle.attributes import Attributes, Value
from model_store.data.cleaning import distinct_rows
from model_store.data.entries import bin_names, entries_of
from model_store.data.schema import UserAttributes
from model_store.data.summary import Note
from model_store.data.tables import USER_COLUMNS, Table

# A value of fewer users than this says who they are rather than what people like them want.
MIN_USERS = 10
MAX_TAGS = 500
# Whole numbers of so few levels are often codes, so each keeps a bin of its own.
MAX_LEVELS = 32


def user_attributes(table: Table | None, user_ids: pl.Series) -> tuple[UserAttributes | None, list[Note]]:
    """Learn the attributes of users and encode them.

    Args:
        table: ``users.*``, if there is one.
        user_ids: id by user code: the users with events, to whom the table is cut down.

    Returns:
        The attributes by user code, None where there is no table; and notes.

    Raises:
        DataError: the table has no ``user_id``, or it holds neither strings nor integers.
    """
    if table is None:
        return None, []
    described, notes = distinct_rows(table, "user_id", "users")
    users = user_ids.to_frame("user_id").join(described, on="user_id", how="left", maintain_order="left")
    content = users.drop(USER_COLUMNS)
    unread = [each.name for each in content if not (_is_number(each) or _has_tags(each)) and each.count()]
    absent = len(user_ids) - int(user_ids.is_in(described["user_id"].implode()).sum())
    counts = {
        f"columns of {table.name} are of a type that is not read: {', '.join(unread)}": len(unread),
        f"users of the events are absent from {table.name}: no attributes": absent,
    }
    notes += [Note(count, reason) for reason, count in counts.items() if count]
    read = content.drop(unread)
    return encode_users(read, Attributes(attribute_names(read))), notes


def attribute_names(users: pl.DataFrame) -> list[str]:
    """Names of the attributes worth having, sorted: bins, and the most common tags of at least ten users each."""
    names: set[str] = set()
    for column in users:
        if _is_number(column):
            names.update(bin_names(column, MAX_LEVELS))
        elif _has_tags(column):
            counted = entries_of(column, "tags", []).group_by("feature").len().filter(pl.col("len") >= MIN_USERS)
            by_count = counted.sort("len", "feature", descending=[True, False])
            names.update(by_count["feature"].head(MAX_TAGS))
    return sorted(names)


def encode_users(users: pl.DataFrame, attributes: Attributes) -> UserAttributes:
    """Encode users, one a row, as a service would encode what it is told about them."""
    encoded = [attributes.encode(_given(row)) for row in users.iter_rows(named=True)]
    ids = [each.ids[each.weights > 0] for each in encoded]
    weights = [each.weights[each.weights > 0] for each in encoded]
    return UserAttributes(
        names=attributes.names,
        indptr=np.cumsum([0, *map(len, ids)], dtype=np.int64),
        ids=np.concatenate(ids),
        weights=np.concatenate(weights),
    )


def _given(row: dict[str, Any]) -> dict[str, Value]:
    """What a row says: neither nulls nor numbers that are none."""
    return {
        name: [each for each in value if each is not None] if isinstance(value, list) else value
        for name, value in row.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def _is_number(column: pl.Series) -> bool:
    return column.dtype.is_numeric()


def _has_tags(column: pl.Series) -> bool:
    dtype = column.dtype
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return isinstance(inner, pl.String | pl.Categorical | pl.Enum | pl.Boolean) or (
        isinstance(dtype, pl.List) and isinstance(inner, pl.DataType) and inner.is_integer()
    )
