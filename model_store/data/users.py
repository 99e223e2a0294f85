"""User attributes from the columns of ``users.*``: text, booleans, numbers, dates and lists of text."""

from __future__ import annotations

import math
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from model_store.bundle.attributes import Attributes, Value
from model_store.bundle.cells import year_fraction
from model_store.content import numbers, tags
from model_store.content.features import ColumnFeatures, Kind, names_in
from model_store.data.cleaning import distinct_rows
from model_store.data.facts import column_facts
from model_store.data.matching import check_ids
from model_store.data.schema import UserAttributes
from model_store.data.summary import ColumnFact
from model_store.tables.described import has_types, read_columns
from model_store.tables.notes import Note
from model_store.tables.reading import Reading
from model_store.tables.table import USER_COLUMNS, Table

# Rarer values would identify users.
MIN_USERS = 10
MAX_NAMES = 500
# Whole numbers with at most so many levels are often codes, so each gets its bin.
MAX_LEVELS = 32


class DescribedUsers(NamedTuple):
    """Attributes of users.

    Attributes:
        attributes: the attributes by user code; None if no value is common enough.
        notes: counts of rows that were dropped or absent.
        columns: columns of the table, with the attributes made from them.
        warnings: problems to check, as sentences.
    """

    attributes: UserAttributes | None
    notes: list[Note]
    columns: list[ColumnFact]
    warnings: list[str]


def user_attributes(table: Table | None, user_ids: pl.Series) -> DescribedUsers:
    """Learn the attributes of users and encode them.

    Args:
        table: ``users.*``; None without such a table.
        user_ids: id by user code, of the users with events; other users of the table are ignored.

    Raises:
        DataError: the table lacks ``user_id``, the column cannot be read as ids, or its ids do not match the events.
    """
    if table is None:
        return DescribedUsers(None, [], [], [])
    described, notes = distinct_rows(table, "user_id", "users")
    if not len(described):
        return DescribedUsers(None, notes, [], [f"{table.name}: it has no usable rows; users have no attributes"])
    warnings = check_ids(table.name, described["user_id"], user_ids, "user")
    described = described.filter(pl.col("user_id").is_in(user_ids.implode()))
    if len(described) < len(user_ids):
        absent = f"users of the events absent from {table.name}: no attributes"
        notes.append(Note(len(user_ids) - len(described), absent))
    columns = read_columns(described, USER_COLUMNS, MAX_LEVELS, typed=has_types(table.frame))
    readings = [_without_vectors(reading) for reading in columns]
    attributes, by_column = _learned(described, readings, user_ids)
    facts = column_facts("users", table.name, readings, by_column, f"{MIN_USERS} users")
    return DescribedUsers(attributes, notes, facts.columns, [*warnings, *facts.warnings])


def _learned(
    described: pl.DataFrame, readings: list[Reading], user_ids: pl.Series
) -> tuple[UserAttributes | None, dict[str, ColumnFeatures]]:
    """Attributes by user code, None if no value is common enough; and the attributes' names by column."""
    columns = {reading.name: reading.column for reading in readings if reading.column is not None}
    by_column = attributes_by_column(_by_code(user_ids, described["user_id"], columns))
    names = names_in(by_column)
    if not names:
        return None, by_column
    as_sent = {name: _as_sent(column, described) for name, column in columns.items()}
    return encode_users(_by_code(user_ids, described["user_id"], as_sent), Attributes(names)), by_column


def _by_code(user_ids: pl.Series, ids: pl.Series, columns: dict[str, pl.Series]) -> pl.DataFrame:
    """Arrange ``columns`` as one row per user code, null for users without a row."""
    rows = pl.DataFrame({"user_id": ids, **columns})
    joined = user_ids.to_frame("user_id").join(rows, on="user_id", how="left", maintain_order="left")
    return joined.drop(USER_COLUMNS)


def _as_sent(column: pl.Series, described: pl.DataFrame) -> pl.Series:
    """The column as clients send it: cells with several tags stay text, which the bundle's encoder splits."""
    has_text = column.name in described.columns and isinstance(described[column.name].dtype, pl.String)
    return described[column.name] if has_text and column.dtype == pl.List(pl.String) else column


def attributes_by_column(users: pl.DataFrame) -> dict[str, ColumnFeatures]:
    """Choose attributes by column: the most common values, each shared by at least ten users.

    Numbers of a rarer bin belong to the next lower bin.
    """
    return {column.name: _attributes_of(column) for column in users}


def _attributes_of(column: pl.Series) -> ColumnFeatures:
    is_number = column.dtype.is_numeric() or column.dtype.is_temporal()
    kind: Kind = "number" if is_number else "tags"
    entries = numbers.entries(column, numbers.bin_names(column, MAX_LEVELS)) if is_number else tags.entries(column)
    counted = entries.group_by("feature").len().filter(pl.col("len") >= MIN_USERS)
    names = counted.sort("len", "feature", descending=[True, False])["feature"].head(MAX_NAMES)
    rows = (
        column.count()
        if is_number and len(names)
        else entries.filter(pl.col("feature").is_in(names.implode()))["row"].n_unique()
    )
    return ColumnFeatures(kind, tuple(names), rows)


def encode_users(users: pl.DataFrame, attributes: Attributes) -> UserAttributes:
    """Encode users, one per row, with the encoder that the service uses for clients' attributes."""
    encoded = [attributes.encode(_present(row)) for row in users.iter_rows(named=True)]
    ids = [user.ids[user.weights > 0] for user in encoded]
    weights = [user.weights[user.weights > 0] for user in encoded]
    return UserAttributes(
        names=attributes.names,
        indptr=np.cumsum([0, *map(len, ids)], dtype=np.int64),
        ids=np.concatenate(ids),
        weights=np.concatenate(weights),
    )


def _present(row: dict[str, Any]) -> dict[str, Value]:
    """A row's non-null, finite values; dates become years with fractions."""
    return {
        name: _plain(value)
        for name, value in row.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def _plain(value: Any) -> Value:
    if isinstance(value, list):
        return [element for element in value if element is not None]
    return year_fraction(value) if isinstance(value, date) else value


def _without_vectors(reading: Reading) -> Reading:
    if reading.column is None or reading.column.dtype != pl.List(pl.Float64):
        return reading
    problem = "vectors of users are not read; write columns of numbers or lists of text"
    return Reading(reading.name, None, reading.missing, problem=problem)
