"""The reading of a column of ``items.*`` or ``users.*``: its cells by type, and remarks for the page."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from model_store.data.summary import shorten

MAX_EXAMPLE = 24
MAX_EXAMPLES = 2


@dataclass(frozen=True)
class Reading:
    """A column in the type that features are made of.

    Attributes:
        name: name of the column; a field of a struct has its name after a dot.
        column: booleans, text, lists of text, numbers, dates or lists of floats; None where nothing can be read.
        missing: number of missing cells.
        by: mark between the tags of a cell, "" where a cell is one tag.
        remarks: what the page adds about the cells, e.g. "2 not numbers ('unknown')".
        problem: why nothing was read, or what somebody should look at; "" where all is well.
    """

    name: str
    column: pl.Series | None
    missing: int = 0
    by: str = ""
    remarks: tuple[str, ...] = ()
    problem: str = ""

    def remarked(self, *remarks: str) -> Reading:
        """The same reading with more remarks; empty ones are left out."""
        return replace(self, remarks=(*self.remarks, *filter(None, remarks)))


def nothing(column: pl.Series, problem: str) -> Reading:
    """A column of which nothing can be read."""
    return Reading(column.name, None, column.null_count(), problem=problem)


def examples(texts: pl.Series) -> str:
    """The first two distinct texts in quotes, each on one line: ``'a', 'b'``, and an ellipsis where there are more."""
    distinct = texts.unique(maintain_order=True)
    shown = ", ".join(repr(shorten(text, MAX_EXAMPLE)) for text in distinct.head(MAX_EXAMPLES))
    return shown + (", …" if len(distinct) > MAX_EXAMPLES else "")
