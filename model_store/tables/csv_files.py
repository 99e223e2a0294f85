"""CSV files, read as Python's ``csv`` reads them; cells stay text, so an id of 007 keeps its zeros.

Files without quotes are read by polars in a fraction of the time, and its number of rows is checked against the file.
Polars loses rows around quotes inside a field (pola-rs/polars#21519), so files with quotes are read by ``csv``.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from model_store.config import ReadOptions
from model_store.tables.csv_records import CsvFile, chunks, open_csv, records
from model_store.tables.layout import Layout, Rows, columns_to_read, unread_notes
from model_store.tables.notes import Note
from model_store.tables.text_files import looks_like_utf8, plain_text

CHUNK_BYTES = 1 << 24
SAMPLE_CELLS = 1000


def read_csv(path: Path, layout: Layout, options: ReadOptions) -> Rows:
    """Read the columns of ``layout`` from a CSV file as text; empty cells are null.

    Raises:
        DataError: the file is not a text table, or a row and the header differ in length; the message names the line.
    """
    with plain_text(path, options.encoding) as text:
        file = open_csv(str(path), text, layout, options)
        header = file.head.names
        read = columns_to_read(file.name, header, layout, options)
        names = {header.index(source): target for source, target in read.items()}
        frame = _read_with_polars(file, names)
        if frame is None:
            frame = _read_with_csv(file, names, [index for index, name in names.items() if name in layout.ids])
    notes = unread_notes(file.name, header, read, layout)
    if looks_like_utf8(_beyond_ascii(frame), options.encoding):
        reason = f"file {path} contains UTF-8 text, but was read as {options.encoding}; remove --encoding"
        notes.append(Note(1, f"{reason}, or write all files in one encoding", warns=True))
    if file.head.comments:
        notes.append(Note(file.head.comments, f"lines above the header of {path} skipped, because of # at the start"))
    return Rows(frame, lambda row: _line_of(path, layout, options, row), tuple(notes))


def _beyond_ascii(frame: pl.DataFrame) -> list[str]:
    """Sample cells with characters beyond ASCII."""
    cells = (column.filter(column.str.contains(r"[^\x00-\x7F]")).head(SAMPLE_CELLS) for column in frame)
    return [cell for column in cells for cell in column]


def _line_of(path: Path, layout: Layout, options: ReadOptions, row: int) -> str:
    """Find the line on which a row starts, by reading the file again up to it."""
    with plain_text(path, options.encoding) as text:
        file = open_csv(str(path), text, layout, options)
        return f"line {next(islice(records(file), row, None)).line}"


def _read_with_polars(file: CsvFile, names: dict[int, str]) -> pl.DataFrame | None:
    """Read columns by index and name with polars; None if ``csv`` might read the file differently."""
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
        schema=dict.fromkeys(map(str, range(len(file.head.names))), pl.String),  # default names depend on the version
    )
    try:
        frame = scan.select(pl.col(str(index)).alias(name) for index, name in names.items()).collect()
    except pl.exceptions.PolarsError:
        return None
    return frame if len(frame) == rows else None


def _count_plain_rows(file: CsvFile) -> int | None:
    """Count the rows below the header; None if splitting at separators and line ends would not give these rows."""
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
    """Count lines; None unless each has ``width`` fields, because polars silently pads or cuts other lines."""
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
    """Whether ``lines`` are UTF-8 with one kind of line end, without quotes and blank lines."""
    returns, ends = lines.count(b"\r"), lines.count(b"\r\n")
    blank = lines.startswith((b"\n", b"\r\n")) or b"\n\n" in lines or b"\n\r\n" in lines
    if b'"' in lines or blank or returns != ends or (ends and ends < lines.count(b"\n")):
        return False
    try:
        return lines.isascii() or bool(lines.decode())
    except UnicodeDecodeError:
        return False


def _read_with_csv(file: CsvFile, names: dict[int, str], ids: list[int]) -> pl.DataFrame:
    """Read columns by index and name with ``csv``."""
    frames = [pl.DataFrame(schema=dict.fromkeys(names.values(), pl.String))]
    for rows in chunks(file, ids):
        cells = {name: [row[index] or None for row in rows] for index, name in names.items()}
        frames.append(pl.DataFrame(cells, schema=frames[0].schema))
    return pl.concat(frames)
