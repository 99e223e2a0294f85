"""Type detection for the columns of ``items.*`` and ``users.*``.

| column of the file                                        | is read as                                           |
|-----------------------------------------------------------|------------------------------------------------------|
| numbers; text that is numbers, amounts of money, per cent | numbers; tags if the column is named as a code or id |
| booleans; text that is true/false, yes/no                 | booleans                                             |
| dates, date-times; text that is dates                     | dates                                                |
| times of day, durations                                   | numbers, in seconds                                  |
| lists of floats, booleans; text that is embeddings        | lists of floats, all of the most common length       |
| lists of text, of whole numbers, of records with a name   | lists of text                                        |
| text such as ``a|b``, ``a, b``, ``a > b``, ``['a']``      | lists of text                                        |
| other text                                                | text                                                 |
| structs                                                   | one column per field                                 |
| anything else, and columns of row numbers                 | not read; the data summary names the column          |

If all columns of a table are text, as in CSV files, types are detected from the cells. In other tables, text that looks
like whole numbers stays text.
"""

from __future__ import annotations

import re
from dataclasses import replace

import polars as pl

from model_store.bundle.cells import text_of
from model_store.tables.notes import counted
from model_store.tables.reading import Reading, unreadable
from model_store.tables.text_columns import NEARLY_ALL, read_text

_CODE_WORDS = r"ids?|uuid|key|codes?|no|nr|sku|isbn|ean|upc|gtin|asin|zip|zip_?code|post_?code|postal_?code|plz"
# Categories, which are often numbered; a number is a name here rather than a quantity.
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


def has_types(frame: pl.DataFrame) -> bool:
    """Whether a table, as stored in its file, has columns of other types than text."""
    return any(dtype not in (pl.String, pl.Null) for dtype in frame.dtypes)


def read_columns(frame: pl.DataFrame, without: tuple[str, ...], most_levels: int, *, typed: bool) -> list[Reading]:
    """Detect the types of a table's columns and convert them.

    Args:
        frame: rows of the table.
        without: columns to skip: ids and titles.
        most_levels: codes with at most so many distinct numbers stay numbers and get one bin each.
        typed: result of :func:`has_types` for the table as stored in its file.
    """
    columns = [column for column in frame if column.name not in without]
    return [reading for column in columns for reading in _read(column, most_levels, typed=typed)]


def _read(column: pl.Series, most_levels: int, *, typed: bool) -> list[Reading]:
    if column.null_count() == len(column):
        return [unreadable(column, f"all {len(column):,} cells are missing" if len(column) else "it has no rows")]
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
        return _reading_of(column.cast(pl.Float64).fill_nan(None))
    if isinstance(dtype, pl.Boolean):
        return _reading_of(column)
    return unreadable(column, f"its type is {dtype}; write text, numbers or lists of these")


def _temporal(column: pl.Series) -> Reading:
    if isinstance(column.dtype, pl.Duration):
        return _reading_of((column.dt.total_microseconds() / 1e6).round(6)).remarked("in seconds")
    if isinstance(column.dtype, pl.Time):
        return _reading_of((column.cast(pl.Int64) / 1e9).round(6)).remarked("in seconds of the day")
    return _reading_of(column.cast(pl.Date))


def _list(column: pl.Series) -> Reading:
    inner = column.dtype.inner  # type: ignore[attr-defined]  # a list has one
    if isinstance(inner, _TEXT):
        return _reading_of(column.cast(pl.List(pl.String)))
    if isinstance(inner, pl.Struct):
        return _records(column, inner)
    if isinstance(inner, pl.List) and isinstance(inner.inner, _TEXT):
        return _reading_of(column.list.eval(pl.element().explode()).cast(pl.List(pl.String)))
    if inner == pl.Boolean or (inner.is_numeric() and (not inner.is_integer() or _are_coordinates(column))):
        return _reading_of(column.cast(pl.List(pl.Float64)))
    if inner.is_integer():
        return _reading_of(column.cast(pl.List(pl.String)))
    return unreadable(column, f"its type is {column.dtype}; write lists of text or numbers")


def _records(column: pl.Series, record: pl.Struct) -> Reading:
    fields = {field.name: field.dtype for field in record.fields}
    texts = [name for name, dtype in fields.items() if isinstance(dtype, _TEXT)]
    named = next((name for name in (*_NAME_FIELDS, *texts[:1]) if name in texts), None)
    if named is None:
        return unreadable(column, f"its type is {column.dtype}; write lists of text")
    names = column.list.eval(pl.element().struct.field(named).cast(pl.String))
    return _reading_of(names.alias(column.name)).remarked(f"from field {named}")


def _are_coordinates(column: pl.Series) -> bool:
    """Whether lists of whole numbers are vectors: equal lengths, and some number is negative or repeated in a list."""
    lengths = column.drop_nulls().list.len().unique()
    repeated = column.list.len().sum() > column.list.unique().list.len().sum()
    negative = bool((column.explode() < 0).any())
    return len(lengths) == 1 and (repeated or negative)


def _number(reading: Reading, most_levels: int) -> Reading:
    """Drop infinite numbers; convert codes to tags; refuse columns of row numbers."""
    numbers = reading.column
    assert numbers is not None  # noqa: S101 - for the type checker; checked by the caller
    finite = numbers.set(numbers.is_infinite().fill_null(value=False), None)
    infinite = finite.null_count() - numbers.null_count()
    if infinite:
        problem = f"infinite numbers in {counted(infinite, 'cell')} are read as missing"
        reading = replace(reading, column=finite, problem=problem).remarked(f"{infinite:,} infinite")
    if not finite.count():
        return replace(reading, column=None, problem=f"none of its {len(finite):,} cells is a finite number")
    if _are_row_numbers(finite):
        return replace(reading, column=None, problem="it contains row numbers")
    whole = bool((finite.drop_nulls() % 1 == 0).all())
    if whole and _has_code_name(reading.name) and finite.n_unique() > most_levels:
        codes = pl.Series(
            reading.name, [None if number is None else text_of(number) for number in finite], dtype=pl.String
        )
        return replace(reading, column=codes).remarked("read as codes because of its name")
    return reading


def _has_code_name(name: str) -> bool:
    return bool(_CODE_NAME.fullmatch(name) or _CAMEL_CODE.fullmatch(name))


def _are_row_numbers(numbers: pl.Series) -> bool:
    """Whether a column is an index as pandas writes it: a generic name, and numbers 0, 1, 2, … or 1, 2, 3, …."""
    if not _INDEX_NAME.fullmatch(numbers.name) or numbers.null_count():
        return False
    return bool((numbers.diff().drop_nulls() == 1).all()) and numbers[0] in (0, 1)


def _vector(reading: Reading) -> Reading:
    """Keep vectors of the most common length; their coordinates that are not finite count as zero later."""
    vectors = reading.column
    assert vectors is not None  # noqa: S101 - for the type checker; checked by the caller
    lengths = vectors.list.len()
    present = lengths.filter(lengths.fill_null(0) > 0)
    if not len(present):
        return replace(reading, column=None, problem=f"all {len(vectors):,} lists are missing or empty")
    by_frequency = present.value_counts().sort("count", pl.first(), descending=True)
    length, count = by_frequency.row(0)
    if count < NEARLY_ALL * len(present):
        shortest, longest = present.sort()[0], present.sort()[-1]
        problem = f"its lists have {shortest} to {longest} numbers; write equally many in every row"
        return replace(reading, column=None, problem=problem)
    ragged = len(present) - count
    kept = vectors.set(lengths.fill_null(0) != length, None) if ragged else vectors
    broken = int((~vectors.explode().drop_nulls().is_finite()).sum())
    remarks = [f"{ragged:,} of another length" if ragged else "", f"{broken:,} numbers not finite" if broken else ""]
    problem = "; ".join(filter(None, remarks))
    return replace(reading, column=kept, problem=problem and f"some vectors are not fully used: {problem}").remarked(
        *remarks
    )


def _reading_of(column: pl.Series) -> Reading:
    return Reading(column.name, column, column.null_count())
