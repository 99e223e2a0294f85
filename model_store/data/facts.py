"""Sentences of the page about columns: what each became, and a warning where that is nothing or in part."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from model_store.content.features import ColumnFeatures
from model_store.data.reading import Reading, examples
from model_store.data.summary import ColumnFact, shorten

NOUNS = {"tags": "tag", "prose": "word", "number": "bin", "vector": "dimension", None: "feature"}
# Where fewer of the cells than this get a feature, the column says hardly anything.
HARDLY = 0.1
# Tags that the page shows of a column, and characters of each.
TAGS = 4
MAX_TAG = 20

_WEB = r"^(?:https?|ftp|s3|gs)://|^www\.|^data:"


class Facts(NamedTuple):
    """Columns of a table, and warnings about them."""

    columns: list[ColumnFact]
    warnings: list[str]


def column_facts(
    table: str, path: str, readings: list[Reading], features: dict[str, ColumnFeatures], sharing: str
) -> Facts:
    """Say what the columns of a table became.

    Args:
        table: "items" or "users".
        path: name of the table in warnings.
        readings: its columns as they were read.
        features: features by column.
        sharing: who must share a value for it to be worth having, e.g. "two items".
    """
    facts, warnings = [], []
    for reading in readings:
        learned = features.get(reading.name, ColumnFeatures(None))
        problem = reading.problem or _hardly(reading, learned, sharing)
        became = f"nothing: {problem}" if not learned.names else _became(reading, learned)
        facts.append(ColumnFact(table, reading.name, became))
        if problem:
            outcome = "" if learned.names else " became nothing"
            warnings.append(f"{path}: column {shorten(repr(reading.name), 40)}{outcome}: {problem}")
    return Facts(facts, warnings)


def counted(count: int, noun: str) -> str:
    """``count`` with its noun, in the plural but for one."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _became(reading: Reading, learned: ColumnFeatures) -> str:
    by = {"": "", "brackets": " in lists"}.get(reading.by, f" by {reading.by}")
    of_years = " of years" if reading.column is not None and reading.column.dtype.is_temporal() else ""
    parts = [f"{counted(len(learned.names), NOUNS[learned.kind])}{by if learned.kind == 'tags' else of_years}"]
    present = len(reading.column) - reading.column.null_count() if reading.column is not None else 0
    if learned.kind in ("tags", "prose") and learned.rows < present:
        parts.append(f"{present - learned.rows:,} rows without")
    if _is_constant(reading):
        parts.append("the same in every row")
    if reading.missing:
        parts.append(f"{reading.missing:,} missing")
    return ", ".join([*parts, *reading.remarks]) + _shown_tags(reading.name, learned)


def _shown_tags(name: str, learned: ColumnFeatures) -> str:
    """The first tags by name, for a person to see whether a cell was split where it should be."""
    if learned.kind != "tags":
        return ""
    tags = sorted(shorten(feature[len(name) + 1 :], MAX_TAG) for feature in learned.names)
    return f": {', '.join(tags[:TAGS])}" + (", …" if len(tags) > TAGS else "")


def _is_constant(reading: Reading) -> bool:
    column = reading.column
    return column is not None and len(column) > 1 and not column.null_count() and column.n_unique() == 1


def _hardly(reading: Reading, learned: ColumnFeatures, sharing: str) -> str:
    """Why a column that was read says nothing, or hardly anything; "" where it says something."""
    column = reading.column
    present = 0 if column is None else column.count()
    if column is None or (learned.names and learned.rows >= HARDLY * present):
        return ""
    values = _values(column)
    if learned.kind == "prose":
        return f"the words of its {counted(present, 'cell')} are in too few or too many of them ({values})"
    if learned.names:
        return f"only {learned.rows:,} of its {counted(present, 'cell')} hold a value that {sharing} share ({values})"
    return f"none of its {counted(present, 'cell')} holds a value that {sharing} share ({values})"


def _values(column: pl.Series) -> str:
    texts = column.drop_nulls()
    if texts.dtype == pl.String and texts.str.contains(_WEB).all():
        return f"web addresses: {examples(texts)}"
    if isinstance(texts.dtype, pl.List):
        texts = texts.explode().drop_nulls()
    return examples(texts.cast(pl.String))
