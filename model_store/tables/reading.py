"""A column of ``items.*`` or ``users.*`` after type detection: typed cells, and remarks for the data summary."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from model_store.tables.notes import shorten

MAX_EXAMPLE = 24
MAX_EXAMPLES = 2


@dataclass(frozen=True)
class Reading:
    """A column in a type that features can be made from.

    Attributes:
        name: name of the column; a struct's field is named "column.field".
        column: booleans, text, lists of text, numbers, dates or lists of floats; None if the column is unreadable.
        missing: number of missing cells.
        by: separator between the tags of a cell, "" if a cell is a single tag.
        remarks: remarks about the cells for the data summary, e.g. "2 not a number ('unknown')".
        problem: reason why the column is unreadable, or a problem that the user should check; "" without problems.
    """

    name: str
    column: pl.Series | None
    missing: int = 0
    by: str = ""
    remarks: tuple[str, ...] = ()
    problem: str = ""

    def remarked(self, *remarks: str) -> Reading:
        """Return a copy with more remarks; empty remarks are skipped."""
        return replace(self, remarks=(*self.remarks, *filter(None, remarks)))


def unreadable(column: pl.Series, problem: str) -> Reading:
    """Make the reading of a column that cannot be read."""
    return Reading(column.name, None, column.null_count(), problem=problem)


def examples(texts: pl.Series) -> str:
    """Quote the first two distinct texts, each on one line: ``'a', 'b'``; an ellipsis follows if there are more."""
    distinct = texts.unique(maintain_order=True)
    shown = ", ".join(repr(shorten(text, MAX_EXAMPLE)) for text in distinct.head(MAX_EXAMPLES))
    return shown + (", …" if len(distinct) > MAX_EXAMPLES else "")
