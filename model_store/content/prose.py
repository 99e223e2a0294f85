"""Prose: strings of several words, with one feature per word.

Words are weighted by presence, not by TF-IDF, so that their names are enough to encode an item. Very common words,
which IDF would give a low weight, are dropped.
"""

from __future__ import annotations

import polars as pl

from model_store.bundle.features import words_of
from model_store.content import tags

# Average words per cell: a column above ``MANY_WORDS`` is prose; from ``SEVERAL_WORDS`` only if cells hardly recur.
MANY_WORDS = 6
SEVERAL_WORDS = 2
MIN_TEXTS = 20
# Share of recurring cells; below it, words are better features than whole cells.
RECURRING = 0.1


def recognises(column: pl.Series) -> bool:
    """Whether the column holds prose."""
    if not tags.is_text(column.dtype):
        return False
    words = tags.cells(column).explode().str.count_matches(r"\S+").mean()
    if not isinstance(words, float):
        return False
    return words > MANY_WORDS or (words >= SEVERAL_WORDS and _hardly_recurs(column))


def entries(column: pl.Series) -> pl.DataFrame:
    """Columns ``row`` and ``feature``: each distinct word of each cell."""
    texts = column.cast(pl.String).to_list()
    words = [words_of(text) if text is not None else None for text in texts]
    return tags.distinct_entries(pl.Series(words, dtype=pl.List(pl.String)), f"{column.name}~")


def _hardly_recurs(column: pl.Series) -> bool:
    """Whether texts without "|" differ from row to row, as names of products do."""
    texts = column.drop_nulls()
    if column.dtype != pl.String or len(texts) < MIN_TEXTS or texts.str.contains("|", literal=True).any():
        return False
    counts = texts.value_counts()["count"]
    return int(counts.filter(counts > 1).sum()) < RECURRING * len(texts)
