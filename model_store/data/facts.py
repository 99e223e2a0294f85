"""Lines of the data summary about columns: the features made from each, and warnings about unused columns."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from model_store.content.features import ColumnFeatures
from model_store.data.summary import ColumnFact
from model_store.tables.notes import counted, shorten
from model_store.tables.reading import Reading, examples

NOUNS = {"tags": "tag", "prose": "word", "number": "bin", "vector": "dimension", None: "feature"}
# A column is nearly useless if a smaller share of its cells gets a feature.
MIN_COVERAGE = 0.1
# Number of tags shown per column, and of characters per tag.
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
    """Describe the features made from each column of a table.

    Args:
        table: "items" or "users".
        path: name of the table in warnings.
        readings: the columns as they were read.
        features: features by column.
        sharing: how many items or users must share a value to make it a feature, e.g. "two items".
    """
    facts, warnings = [], []
    for reading in readings:
        learned = features.get(reading.name, ColumnFeatures(None))
        problem = reading.problem or _low_coverage(reading, learned, sharing)
        became = f"not used: {problem}" if not learned.names else _describe(reading, learned)
        facts.append(ColumnFact(table, reading.name, became))
        if problem:
            outcome = "" if learned.names else " is not used"
            warnings.append(f"{path}: column {shorten(repr(reading.name), 40)}{outcome}: {problem}")
    return Facts(facts, warnings)


def _describe(reading: Reading, learned: ColumnFeatures) -> str:
    by = {"": "", "brackets": " in lists"}.get(reading.by, f" by {reading.by}")
    of_years = " of years" if reading.column is not None and reading.column.dtype.is_temporal() else ""
    parts = [f"{counted(len(learned.names), NOUNS[learned.kind])}{by if learned.kind == 'tags' else of_years}"]
    present = len(reading.column) - reading.column.null_count() if reading.column is not None else 0
    if learned.kind in ("tags", "prose") and learned.rows < present:
        parts.append(f"{counted(present - learned.rows, 'row')} without")
    if _is_constant(reading):
        parts.append("the same in every row")
    if reading.missing:
        parts.append(f"{reading.missing:,} missing")
    return ", ".join([*parts, *reading.remarks]) + _shown_tags(reading.name, learned)


def _shown_tags(name: str, learned: ColumnFeatures) -> str:
    """List the first tags by name, so that the user can check how cells were split."""
    if learned.kind != "tags":
        return ""
    tags = sorted(shorten(feature[len(name) + 1 :], MAX_TAG) for feature in learned.names)
    return f": {', '.join(tags[:TAGS])}" + (", …" if len(tags) > TAGS else "")


def _is_constant(reading: Reading) -> bool:
    column = reading.column
    return column is not None and len(column) > 1 and not column.null_count() and column.n_unique() == 1


def _low_coverage(reading: Reading, learned: ColumnFeatures, sharing: str) -> str:
    """Reason why few or none of a column's cells have features; "" if enough have."""
    column = reading.column
    present = 0 if column is None else column.count()
    if column is None or (learned.names and learned.rows >= MIN_COVERAGE * present):
        return ""
    cells, values = counted(present, "cell"), _values(column)
    if learned.kind == "prose":
        return f"the words of its {cells} occur in too few or too many cells ({values})"
    if learned.names:
        return f"only {learned.rows:,} of its {cells} contain a value that {sharing} share ({values})"
    return f"none of its {cells} contains a value that {sharing} share ({values})"


def _values(column: pl.Series) -> str:
    texts = column.drop_nulls()
    if texts.dtype == pl.String and texts.str.contains(_WEB).all():
        return f"web addresses: {examples(texts)}"
    if isinstance(texts.dtype, pl.List):
        texts = texts.explode().drop_nulls()
    return examples(texts.cast(pl.String))
