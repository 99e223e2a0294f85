"""A column of text, read as what nearly all its cells are: booleans, lists, embeddings, numbers, dates, tags or prose.

Evidence is taken over the whole column, so that one "N/A" among prices costs one cell and not the column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import polars as pl

from model_store.bundle.cells import (
    BOOLEANS,
    MISSING,
    MISSING_AMONG_NUMBERS,
    boolean_of,
    has_decimal_comma,
    list_of,
    number_of,
    parts_of,
)
from model_store.data.days import Dates, iso_dates, other_dates
from model_store.data.reading import Reading, examples, nothing
from model_store.data.separators import separator_of

# Share of the cells that must be numbers, dates or lists for the column to be one of them.
NEARLY_ALL = 0.8
HALF = 0.5
# Distinct texts that are few, so that they can be levels.
MAX_LEVELS = 32
SAMPLE = 500
MARKS = {",": "comma", ";": "semicolon", " ": "blank"}

_RECORD = re.compile(r"\[?\s*\{\s*['\"][^'\"]*['\"]\s*:")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.(?:\d{1,2}|\d{4,})")
_VECTOR_MARKS = (",", ";", "|", " ")
_WITH_UNIT = r"^[+-]?\d[\d.,]* ?(\p{L}{1,10})\.?$"
# Numbers with a unit are good tags while there are so few of them, as in "5 stars".
FEW, MAX_UNITS = 10, 3


def read_text(column: pl.Series, *, typed: bool) -> Reading:
    """Read a column of text.

    Args:
        column: strings.
        typed: whether the source says types, so that whole numbers among text are names on purpose.
    """
    text = column.str.strip_chars()
    text = text.set(text.is_in(list(MISSING)).fill_null(value=False), None)
    if text.null_count() == len(text):
        return nothing(text, f"all {len(text):,} cells are missing")
    sample = text.drop_nulls().unique(maintain_order=True).head(SAMPLE).to_list()
    return (
        _booleans(text)
        or _lists(text, sample)
        or _vectors(text, sample)
        or (_typed_numbers if typed else _numbers)(text, sample)
        or _iso(text, sample)
        or _other_dates(text, sample)
        or _tags(text)
    )


# Beside spelled booleans, as where two programs wrote one column.
BITS = {"0": False, "1": True}


def is_code(text: pl.Series) -> bool:
    """Whether some whole number of a column has leading zeros, as codes have and quantities have not."""
    return bool(text.str.contains(r"^0\d+$").any())


def _booleans(text: pl.Series) -> Reading | None:
    present = _without_missing(text)
    words = set(present.str.to_lowercase().unique().drop_nulls())
    spelled = words - set(BITS)
    if not spelled or not spelled <= set(BOOLEANS) or words in ({"t"}, {"f"}, {"y"}, {"n"}):
        return None
    return _reading(_mapped(present, lambda cell: BITS.get(cell, boolean_of(cell)), pl.Boolean))


def _lists(text: pl.Series, sample: list[str]) -> Reading | None:
    if _share(sample, lambda cell: cell[-1:] in "]})" and list_of(cell) is not None) < NEARLY_ALL:
        return _records(text, sample)
    lists = _mapped(text, list_of, pl.List(pl.String))
    if lists.list.contains("...").sum() >= NEARLY_ALL * lists.count():
        return nothing(text, "its vectors were cut when they were written ('...'); write all their numbers")
    rest = text.filter(lists.is_null() & text.is_not_null())
    vectors = _as_vectors(lists)
    remark = _remark(rest, "a list")
    if vectors is not None:
        return _reading(vectors, rest).remarked(remark)
    kept = lists.list.eval(pl.element().filter(~pl.element().is_in(list(MISSING))))
    return Reading(text.name, kept, text.null_count(), "brackets").remarked(remark)


def _records(text: pl.Series, sample: list[str]) -> Reading | None:
    """Nothing, with the reason, where the cells are records of which no field is a name."""
    if _share(sample, lambda cell: _RECORD.match(cell) is not None) < NEARLY_ALL:
        return None
    shown = examples(text.drop_nulls())
    return nothing(text, f"its cells are records without a name ({shown}); write what matters in columns of their own")


def _vectors(text: pl.Series, sample: list[str]) -> Reading | None:
    """Embeddings without brackets: fractions between commas, semicolons, bars or blanks, as many in each cell."""
    for mark in _VECTOR_MARKS:
        read = partial(_coordinates, mark=mark)
        lengths = [len(vector) for vector in map(read, sample) if vector]
        if len(lengths) >= NEARLY_ALL * len(sample) and len(set(lengths)) == 1:
            vectors = _mapped(text, read, pl.List(pl.Float64))
            rest = text.filter(vectors.is_null() & text.is_not_null())
            return _reading(vectors, rest).remarked(_remark(rest, "a vector"))
    return None


def _coordinates(cell: str, mark: str) -> list[float] | None:
    """At least two numbers between ``mark``, one of them with a point; None for other text and for "1,000.50"."""
    if "." not in cell or number_of(cell) is not None:
        return None
    numbers = [number_of(part, ".") for part in parts_of(cell, mark)]
    floats = [number for number in numbers if number is not None]
    return floats if len(floats) == len(numbers) > 1 else None


def _typed_numbers(text: pl.Series, sample: list[str]) -> Reading | None:
    """Numbers among the text of a typed table: whole numbers are names, fractions and amounts are quantities."""
    quantities = any(not cell.isdigit() and number_of(cell) is not None for cell in sample)
    return _numbers(text, sample) if quantities else None


def _numbers(text: pl.Series, sample: list[str]) -> Reading | None:
    if is_code(text):
        return None
    present = _without_missing(text)
    if _share(_among(sample, present), lambda cell: number_of(cell) is not None) < HALF:
        return None
    numbers, remark = _parsed(present)
    count, n_present = numbers.count(), present.count()
    rest = present.filter(numbers.is_null() & present.is_not_null())
    if _are_levels(present, rest) or rest.str.contains(r"^\d+(?:,\d+){2,}$").any():
        return None
    if count >= NEARLY_ALL * n_present or (count >= HALF * n_present and rest.n_unique() == 1):
        return _reading(numbers, rest).remarked(_remark(rest, "a number"), remark)
    if count >= HALF * n_present:
        reading = _tags(text)
        says = f"{count:,} of {n_present:,} cells are numbers, the others are not ({examples(rest)}): read as text"
        return Reading(text.name, reading.column, reading.missing, reading.by, problem=says)
    return None


def _are_levels(present: pl.Series, rest: pl.Series) -> bool:
    """Whether few texts recur, and among those that are not numbers is one like "3+" or "10-19"."""
    n_levels = present.n_unique()
    return n_levels <= MAX_LEVELS and n_levels <= HALF * len(present) and bool(rest.str.contains(r"\d").any())


def _parsed(text: pl.Series) -> tuple[pl.Series, str]:
    """Numbers, null for other text; and a remark about decimal commas, or ""."""
    plain = text.cast(pl.Float64, strict=False)
    unparsed = text.filter(plain.is_null() & text.is_not_null()).unique().to_list()
    if not unparsed:
        return plain, ""
    commas = any(map(has_decimal_comma, unparsed))
    if not commas:
        return _mapped(text, number_of, pl.Float64), ""
    points = text.drop_nulls().filter(plain.is_not_null().filter(text.is_not_null()))
    if any(map(_DECIMAL_POINT.fullmatch, points)):
        return _mapped(text, number_of, pl.Float64), "some with a decimal comma and some with a point"
    return _mapped(text, lambda cell: number_of(cell, ","), pl.Float64), "with a decimal comma"


def _iso(text: pl.Series, sample: list[str]) -> Reading | None:
    return _dates(text, sample, iso_dates)


def _other_dates(text: pl.Series, sample: list[str]) -> Reading | None:
    """Dates in other notations, but for days that most items share: those are good tags as they stand."""
    counts = text.drop_nulls().value_counts()
    shared = counts.filter(pl.col("count") > 1)["count"].sum()
    return _dates(text, sample, other_dates) if shared < HALF * text.count() else None


def _dates(text: pl.Series, sample: list[str], read: Callable[[Sequence[str]], Dates]) -> Reading | None:
    present = _without_missing(text)
    if not any(read(_among(sample, present)).days):
        return None
    distinct = present.drop_nulls().unique(maintain_order=True).to_list()
    dates = read(distinct)
    days = _joined(present, distinct, dates.days, pl.Date)
    if days.count() < NEARLY_ALL * present.count():
        return None
    rest = present.filter(days.is_null() & present.is_not_null())
    return _reading(days, rest).remarked(_remark(rest, "a date"), dates.remark)


def _tags(text: pl.Series) -> Reading:
    """Tags or prose; tags between other marks than "|" become lists."""
    distinct = text.drop_nulls().unique(maintain_order=True)
    mark = separator_of(distinct.to_list())
    if mark is None or mark == "|":
        return Reading(text.name, text, text.null_count(), mark or "", problem=_of_units(distinct))
    lists = _mapped(
        text, lambda cell: [part for part in parts_of(cell, mark) if part not in MISSING], pl.List(pl.String)
    )
    return Reading(text.name, lists, text.null_count(), MARKS.get(mark, mark))


def _have_units(distinct: pl.Series) -> bool:
    """Whether more texts than a few are numbers with one of few units, such as "12.5 kg" and "90 min"."""
    units = distinct.str.extract(_WITH_UNIT)
    most = len(distinct) > FEW and units.count() >= NEARLY_ALL * len(distinct)
    return most and units.drop_nulls().n_unique() <= MAX_UNITS


def _of_units(distinct: pl.Series) -> str:
    """A problem where texts are numbers with units, of which bins would say more; "" elsewhere."""
    if not _have_units(distinct):
        return ""
    return f"its cells are numbers with units ({examples(distinct)}); write numbers of one unit alone"


def _as_vectors(lists: pl.Series) -> pl.Series | None:
    """Lists of numbers that are coordinates; None for tags, also where these are numbers.

    Numbers are coordinates where one is a fraction, negative or repeated in its list, and lists are not empty.
    """
    parts = lists.drop_nulls().explode().drop_nulls()
    missing = parts.is_in(list(MISSING))
    numbers = parts.filter(~missing).cast(pl.Float64, strict=False)
    if not len(numbers) or numbers.null_count():
        return None
    fractions = parts.filter(~missing).str.contains(r"[.eE]").any()
    repeated = lists.list.len().sum() > lists.list.unique().list.len().sum()
    if not (fractions or repeated or (numbers < 0).any()):
        return None
    return lists.list.eval(pl.element().cast(pl.Float64, strict=False).fill_null(float("nan")))


def _without_missing(text: pl.Series) -> pl.Series:
    missing = text.str.to_lowercase().is_in(list(MISSING_AMONG_NUMBERS)).fill_null(value=False)
    return text.set(missing, None)


def _among(sample: list[str], present: pl.Series) -> list[str]:
    kept = [cell for cell in sample if cell.casefold() not in MISSING_AMONG_NUMBERS]
    return kept or present.drop_nulls().head(SAMPLE).to_list()


def _share(sample: list[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, sample)) / len(sample) if sample else 0.0


def _mapped(text: pl.Series, read: Callable[[str], Any], dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
    """``read`` of each cell, called once per distinct text; null where it returns None."""
    distinct = text.drop_nulls().unique(maintain_order=True).to_list()
    return _joined(text, distinct, [read(cell) for cell in distinct], dtype)


def _joined(
    text: pl.Series, distinct: list[str], values: list[Any], dtype: pl.DataType | type[pl.DataType]
) -> pl.Series:
    lookup = pl.DataFrame({"text": pl.Series(distinct, dtype=pl.String), "value": pl.Series(values, dtype=dtype)})
    return text.to_frame("text").join(lookup, on="text", how="left", maintain_order="left")["value"].alias(text.name)


def _remark(rest: pl.Series, noun: str) -> str:
    """A remark about the cells that are not ``noun``; "" where all are."""
    return f"{len(rest):,} not {noun} ({examples(rest)})" if len(rest) else ""


def _reading(column: pl.Series, rest: pl.Series | None = None) -> Reading:
    """A reading of which the cells in ``rest`` are not missing, though nothing was read of them."""
    return Reading(column.name, column, column.null_count() - (0 if rest is None else len(rest)))
