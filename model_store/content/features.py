"""Features of a catalogue: learned per column, and the catalogue encoded by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import polars as pl

from model_store.bundle.features import EncodedItems, Features
from model_store.content import numbers, prose, tags, vectors

Kind = Literal["tags", "prose", "number", "vector"]

MIN_ITEMS = 2
MAX_WORDS = 2000
MAX_WORD_SHARE = 0.2


@dataclass(frozen=True)
class ColumnFeatures:
    """Features learned from one column.

    Attributes:
        kind: content of the column; None for a type that gives no feature.
        names: names of the features.
        rows: number of rows with at least one of them.
    """

    kind: Kind | None
    names: tuple[str, ...] = ()
    rows: int = 0


class Modality(NamedTuple):
    """Recognises the columns of one kind and learns their features.

    Attributes:
        kind: name of the kind.
        recognises: whether a column is of this kind.
        learn: learns the features of such a column.
    """

    kind: Kind
    recognises: Callable[[pl.Series], bool]
    learn: Callable[[pl.Series], ColumnFeatures]


def names_in(by_column: dict[str, ColumnFeatures]) -> list[str]:
    """Names of the features of all columns, sorted."""
    return sorted({name for features in by_column.values() for name in features.names})


def features_by_column(items: pl.DataFrame) -> dict[str, ColumnFeatures]:
    """Features of a catalogue by column: bins, and names that at least two items share.

    A column of prose gives its 2,000 most common words, without words in more than a fifth of its texts.
    """
    return {column.name: _features_of(column) for column in items}


def encode_catalogue(items: pl.DataFrame, names: list[str], n_items: int) -> EncodedItems:
    """Encode ``n_items`` items, one per row, as the service encodes posted items."""
    columns = {column.name: _cells(column) for column in items if kind_of(column) is not None}
    return Features(names).encode_columns(columns, n_items)


def kind_of(column: pl.Series) -> Kind | None:
    """Kind of the column; None for types that give no feature, such as structs."""
    modality = _modality(column)
    return modality.kind if modality else None


def _modality(column: pl.Series) -> Modality | None:
    return next((modality for modality in MODALITIES if modality.recognises(column)), None)


def _features_of(column: pl.Series) -> ColumnFeatures:
    modality = _modality(column)
    return modality.learn(column) if modality else ColumnFeatures(None)


def _learn_numbers(column: pl.Series) -> ColumnFeatures:
    return ColumnFeatures("number", tuple(numbers.bin_names(column)), column.count())


def _learn_vectors(column: pl.Series) -> ColumnFeatures:
    return _shared("vector", vectors.entries(column))


def _learn_tags(column: pl.Series) -> ColumnFeatures:
    return _shared("tags", tags.entries(column))


def _learn_prose(column: pl.Series) -> ColumnFeatures:
    entries = prose.entries(column)
    most = MAX_WORD_SHARE * entries["row"].n_unique()
    counted = _counts(entries).filter(pl.col("len") <= most).sort("len", "feature", descending=[True, False])
    return _features_in("prose", entries, counted.head(MAX_WORDS))


# In the order in which they are tried: prose consists of strings, as tags do.
MODALITIES = (
    Modality("vector", vectors.recognises, _learn_vectors),
    Modality("number", numbers.recognises, _learn_numbers),
    Modality("prose", prose.recognises, _learn_prose),
    Modality("tags", tags.recognises, _learn_tags),
)


def _shared(kind: Kind, entries: pl.DataFrame) -> ColumnFeatures:
    return _features_in(kind, entries, _counts(entries))


def _counts(entries: pl.DataFrame) -> pl.DataFrame:
    """Features that at least two items share, with the number of their items in ``len``."""
    return entries.group_by("feature").len().filter(pl.col("len") >= MIN_ITEMS)


def _features_in(kind: Kind, entries: pl.DataFrame, counted: pl.DataFrame) -> ColumnFeatures:
    names = counted["feature"]
    rows = entries.filter(pl.col("feature").is_in(names.implode()))["row"].n_unique()
    return ColumnFeatures(kind, tuple(names), rows)


def _cells(column: pl.Series) -> list[Any]:
    """Cells as in a client's request: text, booleans, numbers, lists of text or numbers; None if missing."""
    if numbers.recognises(column):
        return numbers.numbers(column).to_list()
    if isinstance(column.dtype, pl.List | pl.Array) and not vectors.recognises(column):
        return tags.cells(column).to_list()
    return column.to_list()
