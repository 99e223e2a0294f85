"""Rows of a CSV file as Python's ``csv`` reads them, with line numbers; errors quote the line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

from model_store.config import ReadOptions
from model_store.errors import DataError
from model_store.tables.layout import Layout
from model_store.tables.notes import counted
from model_store.tables.text_files import not_in_encoding

SEPARATORS = (",", ";", "\t", "|")
LINE_ENDS = re.compile(r"\r\n|\r|\n")
CHUNK_ROWS = 50_000
SHAPE_ROWS = 10_000
MAX_RUNS = 4
SHOWN_CHARACTERS = 60
# Fields of a sentinel line after the last one. If a quote is never closed, the sentinel becomes part of a field.
END = ["\0end", "of file"]
QUOTES = 'write quotes as "" inside of a field in double quotes, or write the table as Parquet'


class Head(NamedTuple):
    """Header of a CSV file.

    Attributes:
        lines: number of lines up to the end of the header.
        separator: character between two fields.
        names: names of the columns.
        comments: number of lines above the header that start with "#".
    """

    lines: int
    separator: str
    names: list[str]
    comments: int


class CsvFile(NamedTuple):
    """A CSV file in uncompressed UTF-8 text, with its name in messages and its header."""

    name: str
    path: Path
    head: Head


class Record(NamedTuple):
    """A row of a CSV file: the number of its first line, counted from 1, and its fields."""

    line: int
    fields: list[str]


def open_csv(name: str, path: Path, layout: Layout, options: ReadOptions) -> CsvFile:
    """Read the header of a UTF-8 file; skip blank lines, comments and a spreadsheet's ``sep=;`` above it.

    Raises:
        DataError: the header is missing or cannot be read.
    """
    skipped, comments, declared = 0, 0, None
    with _open_lines(name, path) as lines:
        for line in lines:
            declaration = re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE)
            if line.strip() and not declaration and not line.startswith("#"):
                separator = declared or _separator(line, layout, options)
                reader = csv.reader(chain([line], lines), delimiter=separator)
                names = _header(name, reader)
                return CsvFile(name, path, Head(skipped + reader.line_num, separator, names, comments))
            declared = declaration[1] if declaration else declared
            skipped, comments = skipped + 1, comments + line.startswith("#")
    raise DataError(f"{name}: is empty, expected a header line, e.g. {','.join(layout.names)}")


def chunks(file: CsvFile, ids: Sequence[int]) -> Iterator[list[list[str]]]:
    """Read rows in chunks; every row has as many fields as the header.

    Args:
        file: the file.
        ids: indices of the id columns, used to recognise rows inside a quoted field.

    Raises:
        DataError: a row has another number of fields, or a stray quote joins several rows; the message names the line.
    """
    with _open_lines(file.name, file.path) as lines:
        reader = csv.reader(_with_end(file, lines), delimiter=file.head.separator)
        ended = False
        while not ended:
            before = reader.line_num
            rows = _next_rows(reader)
            several_lines = reader.line_num - before != len(rows)
            ended = rows[-1:] == [END]
            complete = rows[:-1] if ended else rows
            ragged = {*map(len, complete)} - {0, len(file.head.names)}
            if not rows or ragged or (several_lines and _any_contains_rows(file, complete, ids)):
                raise_first_error(file, ids)
            yield [row for row in complete if row]


def _next_rows(reader: Iterator[list[str]]) -> list[list[str]]:
    """Read the next rows; return [] if ``csv`` fails, or if an unclosed quote runs to the end of the file."""
    try:
        return list(islice(reader, CHUNK_ROWS))
    except csv.Error:
        return []


def records(file: CsvFile) -> Iterator[Record]:
    """Read rows with their line numbers; blank lines are skipped.

    Raises:
        DataError: a quote is never closed, or a field is longer than ``csv`` allows.
    """
    with _open_lines(file.name, file.path) as lines:
        reader = csv.reader(_with_end(file, lines), delimiter=file.head.separator)
        while True:
            line = file.head.lines + reader.line_num + 1
            try:
                fields = next(reader)
            except csv.Error as exc:
                raise DataError(f"{_quote_line(file, line)}: {exc}; check for a quote that is not closed") from exc
            if fields == END:
                return
            if fields and fields[-1].endswith(file.head.separator.join(END)):
                raise DataError(f"{_quote_line(file, line)} opens a quote that is never closed; {QUOTES}")
            if fields:
                yield Record(line, fields)


def raise_first_error(file: CsvFile, ids: Sequence[int]) -> NoReturn:
    """Raise the error about the first row that cannot be read."""
    width, shapes = len(file.head.names), _shapes(file, ids)
    for line, fields in records(file):
        if len(fields) != width and any(LINE_ENDS.search(field) for field in fields):
            raise DataError(f"{_quote_line(file, line)} opens a quote that is closed on a later line; {QUOTES}")
        if len(fields) != width:
            quoted, separator = _quote_line(file, line), file.head.separator
            advice = f"; put fields that contain {separator!r} in double quotes" if len(fields) > width else ""
            raise DataError(f"{quoted} has {counted(len(fields), 'field')}, expected {width} as in the header{advice}")
        if _contains_row(fields, file, ids, shapes):
            raise DataError(
                f"{_quote_line(file, line)} opens a quote that is closed on a later line, with rows between; {QUOTES}"
            )
    raise DataError(f"{file.name}: cannot be read as CSV; write it again with Python's csv or as Parquet")


def _any_contains_rows(file: CsvFile, rows: list[list[str]], ids: Sequence[int]) -> bool:
    shapes = _shapes(file, ids)
    return any(_contains_row(row, file, ids, shapes) for row in rows)


def _contains_row(row: list[str], file: CsvFile, ids: Sequence[int], shapes: set[tuple[str, ...]]) -> bool:
    """Whether a line inside a field of ``row`` is a row: its number of fields and shapes of ids are usual."""
    for index, field in enumerate(row):
        if "\n" not in field and "\r" not in field:
            continue
        lines = LINE_ENDS.split(field)[1:]
        inner = [next(csv.reader([line], delimiter=file.head.separator), []) for line in lines]
        inner[-1] += row[index + 1 :]
        if any(len(fields) == len(row) and _shape(fields, ids) in shapes for fields in inner):
            return True
    return False


def _shapes(file: CsvFile, ids: Sequence[int]) -> set[tuple[str, ...]]:
    """Collect the id shapes of the first rows that occupy a single line."""
    with _open_lines(file.name, file.path) as lines:
        reader = csv.reader(_with_end(file, lines), delimiter=file.head.separator)
        rows = [row for row in _next_rows(islice(reader, SHAPE_ROWS)) if len(row) == len(file.head.names)]
    return {_shape(row, ids) for row in rows if not any("\n" in row[index] for index in ids)}


def _shape(fields: list[str], ids: Sequence[int]) -> tuple[str, ...]:
    """Shapes of a row's ids: "a-9" for "user-17"; "m-m-m-m-m" for a UUID, which mixes letters and digits at random."""
    return tuple(_shape_of_id(fields[index].strip()) for index in ids)


def _shape_of_id(text: str) -> str:
    if len(re.findall(r"[^\W\d_]+|\d+", text)) > MAX_RUNS:
        return re.sub(r"[^\W_]+", "m", text)
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text))


def _with_end(file: CsvFile, lines: IO[str]) -> Iterator[str]:
    """Lines below the header, followed by the sentinel line."""
    return chain(islice(lines, file.head.lines, None), [file.head.separator.join(END)])


@contextmanager
def _open_lines(name: str, path: Path) -> Iterator[IO[str]]:
    """Open the lines of a file for ``csv``; invalid UTF-8 becomes a DataError that names the line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as exc:
        raise _not_utf8(name, path) from exc


def _not_utf8(name: str, path: Path) -> DataError:
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            try:
                text.decode()
            except UnicodeDecodeError as exc:
                return not_in_encoding(name, line, text[exc.start], "utf-8")
    return DataError(f"{name}: ends inside a character; create the file again")


def _quote_line(file: CsvFile, line: int) -> str:
    """Name of the file, number of the line and its text."""
    with _open_lines(file.name, file.path) as lines:
        text = next(islice(lines, line - 1, None), "").rstrip("\r\n")
    shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
    return f"{file.name}: line {line}: {shown!r}"


def _header(name: str, reader: Iterator[list[str]]) -> list[str]:
    try:
        names = next(reader)
    except csv.Error as exc:
        raise DataError(f"{name}: the header cannot be read ({exc}); check it for a quote that is not closed") from exc
    if any(LINE_ENDS.search(cell) for cell in names):
        raise DataError(f"{name}: the header spans several lines; {QUOTES}")
    return names


def _separator(header: str, layout: Layout, options: ReadOptions) -> str:
    """Choose the separator that gives all required columns, else the one that gives the most columns."""
    required = {options.columns.get(name, name) for name in layout.required}

    def rank(separator: str) -> tuple[bool, int]:
        names = next(csv.reader([header], delimiter=separator))
        return required <= set(names), len(names)

    return max(SEPARATORS, key=rank)  # the first of equals is the comma
