"""Type detection for text columns: booleans, lists, embeddings, numbers, dates, tags or prose.

A column gets the type of nearly all its cells, so a single "N/A" among prices costs one cell, not the column.
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
from model_store.tables.days import Dates, iso_dates, other_dates
from model_store.tables.reading import Reading, examples, unreadable
from model_store.tables.separators import separator_of

# Share of the cells that must be numbers, dates or lists to give the column this type.
NEARLY_ALL = 0.8
HALF = 0.5
# Most distinct texts of a column of levels.
MAX_LEVELS = 32
SAMPLE = 500
MARKS = {",": "comma", ";": "semicolon", " ": "blank"}

_RECORD = re.compile(r"\[?\s*\{\s*['\"][^'\"]*['\"]\s*:")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.(?:\d{1,2}|\d{4,})")
_VECTOR_MARKS = (",", ";", "|", " ")
_WITH_UNIT = r"^[+-]?\d[\d.,]* ?(\p{L}{1,10})\.?$"
# Up to so many distinct numbers with a unit, such as "5 stars", are good tags.
FEW, MAX_UNITS = 10, 3


def read_text(column: pl.Series, *, typed: bool) -> Reading:
    """Detect the type of a text column and convert it.

    Args:
        column: strings.
        typed: whether the table has column types; whole numbers in its text columns are then taken for names.
    """
    text = column.str.strip_chars()
    text = text.set(text.is_in(list(MISSING)).fill_null(value=False), None)
    if text.null_count() == len(text):
        return unreadable(text, f"all {len(text):,} cells are missing")
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


# Allowed beside spelled-out booleans, for columns that two programs wrote.
BITS = {"0": False, "1": True}


def is_code(text: pl.Series) -> bool:
    """Whether some whole number of a column has leading zeros, which only codes have."""
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
        return unreadable(text, "its vectors are abbreviated ('...'); write all their numbers")
    rest = text.filter(lists.is_null() & text.is_not_null())
    vectors = _as_vectors(lists)
    remark = _remark(rest, "a list")
    if vectors is not None:
        return _reading(vectors, rest).remarked(remark)
    kept = lists.list.eval(pl.element().filter(~pl.element().is_in(list(MISSING))))
    return Reading(text.name, kept, text.null_count(), "brackets").remarked(remark)


def _records(text: pl.Series, sample: list[str]) -> Reading | None:
    """An unreadable column if the cells are records without a name field; None otherwise."""
    if _share(sample, lambda cell: _RECORD.match(cell) is not None) < NEARLY_ALL:
        return None
    shown = examples(text.drop_nulls())
    return unreadable(text, f"its cells are records without a name ({shown}); write their fields as separate columns")


def _vectors(text: pl.Series, sample: list[str]) -> Reading | None:
    """Embeddings without brackets: numbers between commas, semicolons, bars or blanks, equally many per cell."""
    for mark in _VECTOR_MARKS:
        read = partial(_coordinates, mark=mark)
        lengths = [len(vector) for vector in map(read, sample) if vector]
        if len(lengths) >= NEARLY_ALL * len(sample) and len(set(lengths)) == 1:
            vectors = _mapped(text, read, pl.List(pl.Float64))
            rest = text.filter(vectors.is_null() & text.is_not_null())
            return _reading(vectors, rest).remarked(_remark(rest, "a vector"))
    return None


def _coordinates(cell: str, mark: str) -> list[float] | None:
    """Parse two or more numbers between ``mark``, at least one with a point; None for other text and "1,000.50"."""
    if "." not in cell or number_of(cell) is not None:
        return None
    numbers = [number_of(part, ".") for part in parts_of(cell, mark)]
    floats = [number for number in numbers if number is not None]
    return floats if len(floats) == len(numbers) > 1 else None


def _typed_numbers(text: pl.Series, sample: list[str]) -> Reading | None:
    """Numbers in a text column of a typed table: only if some are fractions or amounts; whole numbers are names."""
    quantities = any(not cell.isdigit() and number_of(cell) is not None for cell in sample)
    return _numbers(text, sample) if quantities else None


def _numbers(text: pl.Series, sample: list[str]) -> Reading | None:
    if is_code(text):
        return None
    present = _without_missing(text)
    if _share(_present_sample(sample, present), lambda cell: number_of(cell) is not None) < HALF:
        return None
    numbers, remark = _parsed(present)
    count, n_present = numbers.count(), present.count()
    rest = present.filter(numbers.is_null() & present.is_not_null())
    if _has_levels(present, rest) or rest.str.contains(r"^\d+(?:,\d+){2,}$").any():
        return None
    if count >= NEARLY_ALL * n_present or (count >= HALF * n_present and rest.n_unique() == 1):
        return _reading(numbers, rest).remarked(_remark(rest, "a number"), remark)
    if count >= HALF * n_present:
        reading = _tags(text)
        problem = f"only {count:,} of {n_present:,} cells are numbers (others: {examples(rest)}), so it is read as text"
        return Reading(text.name, reading.column, reading.missing, reading.by, problem=problem)
    return None


def _has_levels(present: pl.Series, rest: pl.Series) -> bool:
    """Whether the column repeats a few texts, and one that is not a number has digits, like "3+" or "10-19"."""
    n_levels = present.n_unique()
    return n_levels <= MAX_LEVELS and n_levels <= HALF * len(present) and bool(rest.str.contains(r"\d").any())


def _parsed(text: pl.Series) -> tuple[pl.Series, str]:
    """Parse numbers, null for other text; return them with a remark about decimal commas, or ""."""
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
    """Dates in other notations; None if most cells repeat a text, which is then a good tag."""
    counts = text.drop_nulls().value_counts()
    shared = counts.filter(pl.col("count") > 1)["count"].sum()
    return _dates(text, sample, other_dates) if shared < HALF * text.count() else None


def _dates(text: pl.Series, sample: list[str], read: Callable[[Sequence[str]], Dates]) -> Reading | None:
    present = _without_missing(text)
    if not any(read(_present_sample(sample, present)).days):
        return None
    distinct = present.drop_nulls().unique(maintain_order=True).to_list()
    dates = read(distinct)
    days = _joined(present, distinct, dates.days, pl.Date)
    if days.count() < NEARLY_ALL * present.count():
        return None
    rest = present.filter(days.is_null() & present.is_not_null())
    return _reading(days, rest).remarked(_remark(rest, "a date"), dates.remark)


def _tags(text: pl.Series) -> Reading:
    """Tags or prose; tags with another separator than "|" are split into lists."""
    distinct = text.drop_nulls().unique(maintain_order=True)
    mark = separator_of(distinct.to_list())
    if mark is None or mark == "|":
        return Reading(text.name, text, text.null_count(), mark or "", problem=_unit_problem(distinct))
    lists = _mapped(
        text, lambda cell: [part for part in parts_of(cell, mark) if part not in MISSING], pl.List(pl.String)
    )
    return Reading(text.name, lists, text.null_count(), MARKS.get(mark, mark))


def _have_units(distinct: pl.Series) -> bool:
    """Whether a column has many distinct numbers with few units, such as "12.5 kg" and "90 min"."""
    units = distinct.str.extract(_WITH_UNIT)
    most = len(distinct) > FEW and units.count() >= NEARLY_ALL * len(distinct)
    return most and units.drop_nulls().n_unique() <= MAX_UNITS


def _unit_problem(distinct: pl.Series) -> str:
    """Describe the problem of numbers with units, which should be binned instead; "" for other texts."""
    if not _have_units(distinct):
        return ""
    return f"its cells are numbers with units ({examples(distinct)}); write plain numbers in one unit"


def _as_vectors(lists: pl.Series) -> pl.Series | None:
    """Convert lists of coordinates to lists of floats; None for lists of tags, which may be numbers too.

    Numbers are coordinates if one is a fraction, negative, or repeated in its list.
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


def _present_sample(sample: list[str], present: pl.Series) -> list[str]:
    kept = [cell for cell in sample if cell.casefold() not in MISSING_AMONG_NUMBERS]
    return kept or present.drop_nulls().head(SAMPLE).to_list()


def _share(sample: list[str], condition: Callable[[str], bool]) -> float:
    return sum(map(condition, sample)) / len(sample) if sample else 0.0


def _mapped(text: pl.Series, read: Callable[[str], Any], dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
    """Apply ``read`` to each cell, with one call per distinct text; its None becomes null."""
    distinct = text.drop_nulls().unique(maintain_order=True).to_list()
    return _joined(text, distinct, [read(cell) for cell in distinct], dtype)


def _joined(
    text: pl.Series, distinct: list[str], values: list[Any], dtype: pl.DataType | type[pl.DataType]
) -> pl.Series:
    lookup = pl.DataFrame({"text": pl.Series(distinct, dtype=pl.String), "value": pl.Series(values, dtype=dtype)})
    return text.to_frame("text").join(lookup, on="text", how="left", maintain_order="left")["value"].alias(text.name)


def _remark(rest: pl.Series, noun: str) -> str:
    """Describe the cells that are not ``noun``; "" if there are none."""
    return f"{len(rest):,} not {noun} ({examples(rest)})" if len(rest) else ""


def _reading(column: pl.Series, rest: pl.Series | None = None) -> Reading:
    """Make a reading; the cells in ``rest`` could not be converted, but do not count as missing."""
    return Reading(column.name, column, column.null_count() - (0 if rest is None else len(rest)))
