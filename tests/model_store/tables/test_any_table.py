"""Property tests: any table is read as Python's ``csv`` reads it, or refused with a one-line message."""

from __future__ import annotations

import csv
import gzip
import io
import re
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_store.config import ReadOptions
from model_store.data.cleaning import usable_events
from model_store.data.sources import prepare
from model_store.errors import DataError
from model_store.tables.layout import ITEMS
from model_store.tables.parts import read_rows
from model_store.tables.table import Tables, read_folder

NAMES = ["user_id", "item_id", "value", "timestamp", "name"]
ITEM_NAMES = ["item_id", "title", "price", "added", "name"]
# Plain characters, and some that readers of tables treat differently.
TEXT = st.text(st.sampled_from("ab1 ,;\t|\"'\\\r\n\0#=é日🙂"), max_size=6)
QUOTED_TEXT = st.sampled_from(
    ['TV 24" black', '"best" buy', '"unclosed', 'closed"', 'a "b" c', '""', "x\ny", "u1,i1,5"]
)
IDS = st.sampled_from(["u1", "u2", "i1", "i2", "007", "7", "7.0", " u1", "u1 ", "nan", "NULL", "None", "", "1.27E+18"])
NUMBERS = st.sampled_from(
    ["1", "2", "5", "4.5", "-1", "0", "1e300", "nan", "inf", "NULL", "", "1,5", "1,234", "x", "true"]
)
EPOCHS = st.sampled_from(
    ["1700000000", "1700000060", "1700000000000", "0", "-1", "", "NaT", "20231114", "1.70E+09", "soon"]
)
DATES = st.sampled_from(["2023-11-15", "2023-11-14 22:13:20", "2023-11-14T22:13:20.5Z", "9999-12-31", "", "14/11/2023"])
TIMES = st.one_of(EPOCHS, DATES, st.sampled_from(["04/05/2023", "11/14/2023 5:00 PM", "45244.5", "true"]))
STRANGE = st.one_of(TEXT, QUOTED_TEXT)


def cells(usual: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Mostly ``usual`` cells, and some arbitrary text."""
    return st.one_of(usual, usual, usual, STRANGE)


def rows(*kinds: st.SearchStrategy[Any], max_size: int = 12) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    return st.lists(st.tuples(*kinds), max_size=max_size)


# Tables are either clean, which tests that they are read, or have arbitrary cells.
CLEAN = rows(
    st.sampled_from(["u1", "u2", "007"]),
    st.sampled_from(["i1", "i2", "i3"]),
    st.sampled_from(["1", "2", "5"]),
    st.sampled_from(["1700000000", "1700000060", "1700086400"]),
    STRANGE,
)
MESSY = rows(cells(IDS), cells(IDS), cells(NUMBERS), cells(TIMES), STRANGE)


@st.composite
def csv_texts(draw: st.DrawFn, names: list[str] = NAMES) -> str:
    """A table written by Python's csv in some dialect, or joined without quoting."""
    table = [tuple(names), *draw(st.one_of(CLEAN, MESSY))]
    separator = draw(st.sampled_from([",", ",", ";", "\t", "|"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    if draw(st.booleans()):
        text = io.StringIO(newline="")
        quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
        csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting).writerows(table)
        return text.getvalue()
    lines = [separator.join(row) for row in table]
    positions = draw(st.lists(st.integers(1, len(lines)), max_size=2))
    for position in positions:
        lines.insert(position, draw(st.sampled_from(["", " ", "# note", "u1,i1", '"'])))
    return end.join(lines) + draw(st.sampled_from(["", end, end * 2]))


def rows_by_csv(text: str) -> list[list[str | None]]:
    """The oracle: rows below the header as Python's ``csv`` reads them, with None for empty cells."""
    separator = re.search(r'_id"?([^"])', text)[1]
    rows_of_text = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
    return [[cell or None for cell in row] for row in rows_of_text[1:]]


def write(folder: Path, text: str, kind: str) -> None:
    data = text.encode("utf-16" if kind == "utf-16" else "utf-8-sig" if kind == "bom" else "utf-8")
    if kind == "gzip":
        (folder / "interactions.csv.gz").write_bytes(gzip.compress(data))
    else:
        (folder / "interactions.csv").write_bytes(data)


def assert_one_line(error: DataError, folder: str) -> None:
    message = str(error)
    assert message.startswith(folder)
    assert "\n" not in message
    assert "\0" not in message
    assert len(message) < 1000


def assert_every_row_is_accounted_for(tables: Tables, folder: str) -> None:
    """Clean the tables; every row is an event or counted in a note."""
    try:
        events, notes = usable_events(tables.interactions)
        dropped = sum(note.count for note in notes if note.reason.startswith("events dropped"))
        assert len(tables.interactions.frame) == len(events) + dropped
        summary = prepare(folder, tables).summary
        reasons = ("events dropped", "events merged with others")
        counted = sum(note.count for note in summary.notes if note.reason.startswith(reasons))
        assert summary.n_events + counted == len(tables.interactions.frame)
    except DataError as refusal:
        assert_one_line(refusal, folder)


def check_csv(text: str, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), text, kind)
        try:
            tables = read_folder(Path(folder))
        except DataError as refusal:
            assert_one_line(refusal, folder)
            return
        frame = tables.interactions.frame
        assert frame.columns == NAMES[:-1]
        assert [list(row) for row in frame.rows()] == [row[:-1] for row in rows_by_csv(text)]
        assert_every_row_is_accounted_for(tables, folder)


def check_csv_of_items(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.csv"
        path.write_bytes(text.encode())
        try:
            frame = read_rows(path, ITEMS, ReadOptions()).frame
        except DataError as refusal:
            assert_one_line(refusal, folder)
            return
        assert frame.columns == ITEM_NAMES
        assert [list(row) for row in frame.rows()] == rows_by_csv(text)


def run(test: Any, examples: int) -> None:
    """Run a property test on ``examples`` tables."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    settings(max_examples=examples, deadline=None, suppress_health_check=checks)(test)()


def test_csv_is_read_as_python_reads_it_or_refused(examples):
    run(given(text=csv_texts(), kind=st.sampled_from(["plain", "plain", "gzip", "utf-16", "bom"]))(check_csv), examples)


def test_csv_of_items_is_read_as_python_reads_it_or_refused(examples):
    run(given(text=csv_texts(ITEM_NAMES))(check_csv_of_items), examples)


FIRST, LAST = datetime(1960, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - columns without a zone
TEXT_IDS = st.one_of(st.none(), st.text(max_size=4), st.sampled_from(["u1", "nan", " u1"]))
COLUMNS = {
    "user_id": st.sampled_from(["text", "integers", "floats", "booleans", "bytes", "dates", "null", "lists"]),
    "item_id": st.sampled_from(["text", "integers", "floats"]),
    "value": st.sampled_from(["integers", "floats", "booleans", "numerals", "text", "null", "lists"]),
    "timestamp": st.sampled_from(["integers", "floats", "date-times", "dates", "numerals", "text", "null"]),
}
CELLS: dict[str, tuple[st.SearchStrategy[Any], pl.DataType | type[pl.DataType]]] = {
    "text": (TEXT_IDS, pl.String),
    "integers": (st.one_of(st.none(), st.integers(0, 5), st.integers(-(2**63), 2**63 - 1)), pl.Int64),
    "floats": (st.one_of(st.none(), st.sampled_from([0.0, 1.0, 7.0, 0.5]), st.floats()), pl.Float64),
    "booleans": (st.one_of(st.none(), st.booleans()), pl.Boolean),
    "bytes": (st.one_of(st.none(), st.binary(max_size=3), st.binary(min_size=16, max_size=16)), pl.Binary),
    "dates": (st.one_of(st.none(), st.dates(date(1900, 1, 1), date(2200, 1, 1))), pl.Date),
    "date-times": (st.one_of(st.none(), st.datetimes(FIRST, LAST)), pl.Datetime("us")),
    "numerals": (st.one_of(st.none(), NUMBERS, TIMES), pl.String),
    "null": (st.none(), pl.Null),
    "lists": (st.one_of(st.none(), st.lists(st.integers(0, 3), max_size=2)), pl.List(pl.Int64)),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    """A table with columns of arbitrary types."""
    n_rows = draw(st.integers(0, 10))
    columns = []
    for name, kinds in COLUMNS.items():
        cell, dtype = CELLS[draw(st.one_of(kinds, st.sampled_from(["text", "integers", "floats"])))]
        drawn = draw(st.lists(cell, min_size=n_rows, max_size=n_rows))
        columns.append(pl.Series(name, drawn, dtype=dtype))
    return pl.DataFrame(columns)


def check_parquet(frame: pl.DataFrame, in_parts: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "interactions.parquet"
        if in_parts:
            path.mkdir()
            for part, piece in enumerate([frame[: len(frame) // 2], frame[len(frame) // 2 :]]):
                piece.write_parquet(path / f"part-{part}.parquet")
        else:
            frame.write_parquet(path)
        tables = read_folder(Path(folder))
        assert tables.interactions.frame.equals(frame)
        assert_every_row_is_accounted_for(tables, folder)


def test_parquet_of_any_types_is_read_or_refused(examples):
    run(given(frame=frames(), in_parts=st.booleans())(check_parquet), examples)
