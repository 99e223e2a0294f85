"""CSV files as Python's ``csv`` reads them, every row accounted for; cells are text, so an id of 007 keeps its zeros.

Polars reads text without quotes in a fraction of the time, and its rows are counted against the file. Around quotes
that stand inside a field it loses rows (pola-rs/polars#21519), so a file that holds any quote goes through ``csv``.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from model_store.config import ReadOptions
from model_store.data.csv_records import CsvFile, chunks, open_csv, records
from model_store.data.layout import Layout, Rows, columns_to_read, unread_notes
from model_store.data.summary import Note
from model_store.data.text_files import looks_like_utf8, plain_text

CHUNK_BYTES = 1 << 24
SAMPLE_CELLS = 1000


def read_csv(path: Path, layout: Layout, options: ReadOptions) -> Rows:
    """The columns of a CSV file that ``layout`` has, as text; an empty cell is null.

    Raises:
        DataError: the file is not a table of text, or a row has not as many fields as the header; the line is named.
    """
    with plain_text(path, options.encoding) as text:
        file = open_csv(str(path), text, layout, options)
        header = file.head.names
        read = columns_to_read(file.name, header, layout, options)
        names = {header.index(source): target for source, target in read.items()}
        frame = _split(file, names)
        if frame is None:
            frame = _parsed(file, names, [index for index, name in names.items() if name in layout.ids])
    notes = unread_notes(file.name, header, read, layout)
    if looks_like_utf8(_beyond_ascii(frame), options.encoding):
        reason = f"file {path} holds text that is UTF-8, but was read as {options.encoding}; leave --encoding out"
        notes.append(Note(1, f"{reason}, or write all files in one encoding", warns=True))
    if file.head.comments:
        notes.append(Note(file.head.comments, f"lines above the header of {path} start with # and are skipped"))
    return Rows(frame, lambda row: _line_of(path, layout, options, row), tuple(notes))


def _beyond_ascii(frame: pl.DataFrame) -> list[str]:
    """Some cells with characters beyond ASCII."""
    cells = (column.filter(column.str.contains(r"[^\x00-\x7F]")).head(SAMPLE_CELLS) for column in frame)
    return [cell for column in cells for cell in column]


def _line_of(path: Path, layout: Layout, options: ReadOptions, row: int) -> str:
    """Name of the line on which a row starts; the file is read again, as far as that."""
    with plain_text(path, options.encoding) as text:
        file = open_csv(str(path), text, layout, options)
        return f"line {next(islice(records(file), row, None)).line}"


def _split(file: CsvFile, names: dict[int, str]) -> pl.DataFrame | None:
    """Columns by index and name, through polars; None where ``csv`` may read the file in another way."""
    rows = _count_plain_rows(file)
    if not rows:
        return None
    scan = pl.scan_csv(
        file.path,
        glob=False,
        has_header=False,
        skip_rows=file.head.lines,
        separator=file.head.separator,
        quote_char=None,
        schema=dict.fromkeys(map(str, range(len(file.head.names))), pl.String),  # polars numbers names by its version
    )
    try:
        frame = scan.select(pl.col(str(index)).alias(name) for index, name in names.items()).collect()
    except pl.exceptions.PolarsError:
        return None
    return frame if len(frame) == rows else None


def _count_plain_rows(file: CsvFile) -> int | None:
    """Rows below the header; None unless they are what splitting at separators and line ends gives."""
    rows, width = 0, len(file.head.names)
    with file.path.open("rb") as data:
        head = b"".join(data.readline() for _ in range(file.head.lines))
        if head.count(b"\r") != head.count(b"\r\n"):
            return None
        for chunk in iter(lambda: data.read(CHUNK_BYTES) + data.readline(), b""):
            lines = _count_lines_of_width(chunk, ord(file.head.separator), width) if _is_plain(chunk) else None
            if lines is None:
                return None
            rows += lines
    return rows


def _count_lines_of_width(lines: bytes, separator: int, width: int) -> int | None:
    """Number of lines, None unless each has ``width`` fields: polars fills and cuts other lines without a word."""
    characters = np.frombuffer(lines, dtype=np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    ends = ends if lines.endswith(b"\n") else np.append(ends, len(lines))
    separators = np.flatnonzero(characters == separator)
    if len(separators) != len(ends) * (width - 1):
        return None
    by_line = separators.reshape(len(ends), width - 1)
    after_start, before_end = by_line[1:] > ends[:-1, None], by_line < ends[:, None]
    return len(ends) if after_start.all() and before_end.all() else None


def _is_plain(lines: bytes) -> bool:
    """Whether lines have no quote, are not blank, end alike, and are UTF-8."""
    returns, ends = lines.count(b"\r"), lines.count(b"\r\n")
    blank = lines.startswith((b"\n", b"\r\n")) or b"\n\n" in lines or b"\n\r\n" in lines
    if b'"' in lines or blank or returns != ends or (ends and ends < lines.count(b"\n")):
        return False
    try:
        return lines.isascii() or bool(lines.decode())
    except UnicodeDecodeError:
        return False


def _parsed(file: CsvFile, names: dict[int, str], ids: list[int]) -> pl.DataFrame:
    """Columns by index and name, through ``csv``."""
    frames = [pl.DataFrame(schema=dict.fromkeys(names.values(), pl.String))]
    for rows in chunks(file, ids):
        cells = {name: [row[index] or None for row in rows] for index, name in names.items()}
        frames.append(pl.DataFrame(cells, schema=frames[0].schema))
    return pl.concat(frames)
