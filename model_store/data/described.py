"""The columns of ``items.*`` and ``users.*``, each brought to a type that features are made of.

| column of the file                                        | is read as                                           |
|-----------------------------------------------------------|------------------------------------------------------|
| numbers; text that is numbers, amounts of money, per cent | numbers; tags where the column's name says code or id|
| booleans; text that is true/false, yes/no                 | booleans                                             |
| dates, date-times; text that is dates                     | dates                                                |
| times of day, durations                                   | numbers, in seconds                                  |
| lists of floats, booleans; text that is embeddings        | lists of floats, all of the commonest length         |
| lists of text, of whole numbers, of records with a name   | lists of text                                        |
| text such as ``a|b``, ``a, b``, ``a > b``, ``['a']``      | lists of text                                        |
| other text                                                | text                                                 |
| structs                                                   | one column per field                                 |
| anything else, and columns of row numbers                 | nothing, which the page says                         |

A table whose columns are all text, as those of CSV files are, says nothing about types. In other tables text that is
whole numbers is text on purpose.
"""

from __future__ import annotations

import re
from dataclasses import replace

import polars as pl

from model_store.bundle.cells import text_of
from model_store.data.reading import Reading, nothing
from model_store.data.text_columns import NEARLY_ALL, read_text

_CODE_WORDS = r"ids?|uuid|key|codes?|no|nr|sku|isbn|ean|upc|gtin|asin|zip|zip_?code|post_?code|postal_?code|plz"
# Things that are numbered rather than measured.
_NUMBERED_WORDS = (
    r"categor(?:y|ies)|genres?|brand|dept|department|aisle|section|store|shop|seller|vendor|supplier|manufacturer|maker|"
    r"author|artist|director|publisher|type|kind|class|group|segment|cluster|colou?r|region|country|state|city|language|"
    r"gender|sex|occupation"
)
_CODE_NAME = re.compile(rf"(?:.*[_\W])?(?:{_CODE_WORDS}|{_NUMBERED_WORDS})", re.IGNORECASE)
_CAMEL_CODE = re.compile(r".*[a-z](?:Id|ID|Ids|Code|Codes|No|Nr|Key)")
_INDEX_NAME = re.compile(
    r"|Unnamed: \d+|index|level_\d+|__index_level_\d+__|row|row_?(?:number|num|id|no)", re.IGNORECASE
)
_TEXT = (pl.String, pl.Categorical, pl.Enum)
_NAME_FIELDS = ("name", "title", "label", "value", "id")


def says_types(frame: pl.DataFrame) -> bool:
    """Whether a table as it stands in its file has types: not all its columns are text."""
    return any(dtype not in (pl.String, pl.Null) for dtype in frame.dtypes)


def read_columns(frame: pl.DataFrame, without: tuple[str, ...], most_levels: int, *, typed: bool) -> list[Reading]:
    """Read the columns of a table.

    Args:
        frame: rows of the table.
        without: columns that are ids or titles.
        most_levels: distinct numbers that are few, so that codes among them keep a bin of their own.
        typed: what :func:`says_types` says of the table as it stands in its file.
    """
    columns = [column for column in frame if column.name not in without]
    return [reading for column in columns for reading in _read(column, most_levels, typed=typed)]


def _read(column: pl.Series, most_levels: int, *, typed: bool) -> list[Reading]:
    if column.null_count() == len(column):
        return [nothing(column, f"all {len(column):,} cells are missing" if len(column) else "there are no rows")]
    if isinstance(column.dtype, pl.Struct):
        fields = column.struct.unnest()
        named = [fields[name].alias(f"{column.name}.{name}") for name in fields.columns]
        return [reading for field in named for reading in _read(field, most_levels, typed=typed)]
    reading = _by_type(column, typed=typed)
    dtype = None if reading.column is None else reading.column.dtype
    if dtype == pl.Float64:
        reading = _number(reading, most_levels)
    elif dtype == pl.List(pl.Float64):
        reading = _vector(reading)
    return [reading]


def _by_type(column: pl.Series, *, typed: bool) -> Reading:
    dtype = column.dtype
    if isinstance(dtype, _TEXT):
        return read_text(column.cast(pl.String), typed=typed)
    if isinstance(dtype, pl.List | pl.Array):
        return _list(column.arr.to_list() if isinstance(dtype, pl.Array) else column)
    if dtype.is_temporal():
        return _temporal(column)
    if dtype.is_numeric():
        return _as(column.cast(pl.Float64).fill_nan(None))
    if isinstance(dtype, pl.Boolean):
        return _as(column)
    return nothing(column, f"its type is {dtype}; write it as text, numbers or lists of them")


def _temporal(column: pl.Series) -> Reading:
    if isinstance(column.dtype, pl.Duration):
        return _as((column.dt.total_microseconds() / 1e6).round(6)).remarked("in seconds")
    if isinstance(column.dtype, pl.Time):
        return _as((column.cast(pl.Int64) / 1e9).round(6)).remarked("in seconds of the day")
    return _as(column.cast(pl.Date))


def _list(column: pl.Series) -> Reading:
    inner = column.dtype.inner  # type: ignore[attr-defined]  # a list has one
    if isinstance(inner, _TEXT):
        return _as(column.cast(pl.List(pl.String)))
    if isinstance(inner, pl.Struct):
        return _records(column, inner)
    if isinstance(inner, pl.List) and isinstance(inner.inner, _TEXT):
        return _as(column.list.eval(pl.element().explode()).cast(pl.List(pl.String)))
    if inner == pl.Boolean or (inner.is_numeric() and (not inner.is_integer() or _are_coordinates(column))):
        return _as(column.cast(pl.List(pl.Float64)))
    if inner.is_integer():
        return _as(column.cast(pl.List(pl.String)))
    return nothing(column, f"its type is {column.dtype}; write it as lists of text or numbers")


def _records(column: pl.Series, record: pl.Struct) -> Reading:
    fields = {field.name: field.dtype for field in record.fields}
    texts = [name for name, dtype in fields.items() if isinstance(dtype, _TEXT)]
    named = next((name for name in (*_NAME_FIELDS, *texts[:1]) if name in texts), None)
    if named is None:
        return nothing(column, f"its type is {column.dtype}; write it as lists of text")
    names = column.list.eval(pl.element().struct.field(named).cast(pl.String))
    return _as(names.alias(column.name)).remarked(f"from field {named}")


def _are_coordinates(column: pl.Series) -> bool:
    """Whether lists of whole numbers are vectors: of one length, and some number negative or repeated in its list."""
    lengths = column.drop_nulls().list.len().unique()
    repeated = column.list.len().sum() > column.list.unique().list.len().sum()
    negative = bool((column.explode() < 0).any())
    return len(lengths) == 1 and (repeated or negative)


def _number(reading: Reading, most_levels: int) -> Reading:
    """Numbers without infinite ones; tags where they are codes; nothing where they number the rows."""
    numbers = reading.column
    assert numbers is not None  # noqa: S101 - for the type checker; the caller looked
    finite = numbers.set(numbers.is_infinite().fill_null(value=False), None)
    infinite = finite.null_count() - numbers.null_count()
    if infinite:
        problem = f"{infinite:,} cells are infinite and count as missing"
        reading = replace(reading, column=finite, problem=problem).remarked(f"{infinite:,} infinite")
    if not finite.count():
        return replace(reading, column=None, problem=f"none of its {len(finite):,} cells is a finite number")
    if _numbers_rows(finite):
        return replace(reading, column=None, problem="it numbers the rows of the file")
    whole = bool((finite.drop_nulls() % 1 == 0).all())
    if whole and _has_code_name(reading.name) and finite.n_unique() > most_levels:
        codes = pl.Series(
            reading.name, [None if number is None else text_of(number) for number in finite], dtype=pl.String
        )
        return replace(reading, column=codes).remarked("as the name says codes")
    return reading


def _has_code_name(name: str) -> bool:
    return bool(_CODE_NAME.fullmatch(name) or _CAMEL_CODE.fullmatch(name))


def _numbers_rows(numbers: pl.Series) -> bool:
    """Whether a column without a name of its own counts 0, 1, 2, … or 1, 2, 3, … down the file, as pandas writes."""
    if not _INDEX_NAME.fullmatch(numbers.name) or numbers.null_count():
        return False
    return bool((numbers.diff().drop_nulls() == 1).all()) and numbers[0] in (0, 1)


def _vector(reading: Reading) -> Reading:
    """Vectors of the commonest length; what is not finite counts as zero."""
    vectors = reading.column
    assert vectors is not None  # noqa: S101 - for the type checker; the caller looked
    lengths = vectors.list.len()
    present = lengths.filter(lengths.fill_null(0) > 0)
    if not len(present):
        return replace(reading, column=None, problem=f"all {len(vectors):,} lists are missing or empty")
    commonest = present.value_counts().sort("count", pl.first(), descending=True)
    length, count = commonest.row(0)
    if count < NEARLY_ALL * len(present):
        shortest, longest = present.sort()[0], present.sort()[-1]
        problem = f"its lists have {shortest} to {longest} numbers; write as many in every row"
        return replace(reading, column=None, problem=problem)
    ragged = len(present) - count
    kept = vectors.set(lengths.fill_null(0) != length, None) if ragged else vectors
    broken = int((~vectors.explode().drop_nulls().is_finite()).sum())
    remarks = [f"{ragged:,} of another length" if ragged else "", f"{broken:,} numbers not finite" if broken else ""]
    problem = "; ".join(filter(None, remarks))
    return replace(reading, column=kept, problem=problem and f"vectors are left out in part: {problem}").remarked(
        *remarks
    )


def _as(column: pl.Series) -> Reading:
    return Reading(column.name, column, column.null_count())
