"""Prose: strings of several words, of which the words are the features.

Words are weighted by presence, not by TF-IDF, so that their names alone suffice to encode an item. The words that IDF
would silence are left out.
"""

from __future__ import annotations

import polars as pl

from model_store.bundle.features import words_of
from model_store.content import tags

# Words per cell on average: above ``MANY_WORDS`` it is prose, from ``SEVERAL_WORDS`` only where cells hardly recur.
MANY_WORDS = 6
SEVERAL_WORDS = 2
MIN_TEXTS = 20
# Share of cells that recur; below it the words say more than the whole cells.
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
    """Whether texts that are not "|"-separated differ from row to row, as names of products do."""
    texts = column.drop_nulls()
    if column.dtype != pl.String or len(texts) < MIN_TEXTS or texts.str.contains("|", literal=True).any():
        return False
    counts = texts.value_counts()["count"]
    return int(counts.filter(counts > 1).sum()) < RECURRING * len(texts)
