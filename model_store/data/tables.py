"""Tables as they stand in a source, before anything is judged: read, named, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from model_store.config import DEFAULT_READ_OPTIONS, ReadOptions
from model_store.data.layout import INTERACTIONS, ITEMS, USERS, Layout
from model_store.data.parts import SUFFIXES, read_rows
from model_store.data.summary import Note
from model_store.errors import DataError

ITEM_COLUMNS = ITEMS.names
USER_COLUMNS = USERS.names
# Files of a folder that an error or a note lists.
MAX_NAMES = 10
# Files that may be tables.
TABLE_SUFFIXES = {".csv", ".tsv", ".gz", ".txt", ".dat", ".parquet", ".pq", ".json", ".jsonl", ".xlsx", ".feather"}


def row_number(row: int) -> str:
    """Name of a row by its index."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class Table:
    """A frame and how errors name it.

    Attributes:
        name: usually the path.
        frame: the columns that are read.
        locate: name of a row by its index, as a person finds it in the file.
        notes: rows or columns of the file that the frame does not have.
    """

    name: str
    frame: pl.DataFrame
    locate: Callable[[int], str] = row_number
    notes: tuple[Note, ...] = ()

    def column(self, name: str) -> pl.Series:
        """The column ``name``; raises DataError where the table has none."""
        if name not in self.frame.columns:
            columns = ", ".join(map(repr, self.frame.columns)) or "none"
            raise DataError(f"{self.name}: no column {name!r}; its columns are {columns}")
        return self.frame[name]


@dataclass(frozen=True)
class Tables:
    """What a source holds.

    Attributes:
        interactions: the events.
        items: what is known about the items; None where there is no such table.
        notes: what the source itself left out.
        users: what is known about the users; None where there is no such table.
    """

    interactions: Table
    items: Table | None
    notes: tuple[Note, ...] = ()
    users: Table | None = None


def read_folder(folder: Path, options: ReadOptions = DEFAULT_READ_OPTIONS) -> Tables:
    """Read ``interactions.*``, ``items.*`` and ``users.*``: Parquet or CSV, each a file or a folder of parts.

    Raises:
        DataError: there are no interactions, a table is there twice, or a file cannot be read.
    """
    interactions = _find(folder, INTERACTIONS)
    if interactions is None:
        listing = ", ".join(sorted(path.name for path in folder.iterdir())[:MAX_NAMES]) or "nothing"
        raise DataError(
            f"{folder}: no interactions.parquet or interactions.csv, expected one of them; it holds {listing}"
        )
    items_path, users_path = _find(folder, ITEMS), _find(folder, USERS)
    if items_path is None and "title" in options.columns:
        raise DataError(
            f"{folder}: --columns title={options.columns['title']!r}: there is no items.parquet or items.csv, "
            "which would hold titles; add one, or leave the title out"
        )
    events = _read(interactions, INTERACTIONS, options)
    items = _read_if_there(items_path, ITEMS, options)
    users = _read_if_there(users_path, USERS, options)
    notes = [note for table in (events, items, users) if table is not None for note in table.notes]
    absent = [layout for layout, table in ((ITEMS, items), (USERS, users)) if table is None]
    notes += _unread_files(folder, {interactions, items_path, users_path}, absent)
    return Tables(events, items, tuple(notes), users)


def _unread_files(folder: Path, read: set[Path | None], absent: list[Layout]) -> list[Note]:
    """A note on files that may be an absent table; a warning where one has its name but for suffix or case."""
    paths = [path for path in sorted(folder.iterdir()) if path not in read and path.suffix.lower() in TABLE_SUFFIXES]
    if not (paths and absent):
        return []
    stems = {layout.stem for layout in absent}
    listing = ", ".join(repr(path.name) for path in paths[:MAX_NAMES]) + (", …" if len(paths) > MAX_NAMES else "")
    names = ", ".join(f"{layout.stem} in {layout.stem}.csv or {layout.stem}.parquet" for layout in absent)
    is_near = any(path.name.split(".")[0].strip().casefold() in stems for path in paths)
    return [Note(len(paths), f"files of {folder} are not read: {listing}; expected {names}", warns=is_near)]


def _find(folder: Path, layout: Layout) -> Path | None:
    """The one file or folder of a table.

    Two are refused, as the times of files say little of which is stale: copying and unpacking change them.
    """
    paths = [folder / f"{layout.stem}{suffix}" for suffix in SUFFIXES]
    paths = [path for path in paths if path.exists()] + [path for path in [folder / layout.stem] if path.is_dir()]
    if len(paths) > 1:
        names = " and ".join(path.name for path in paths)
        raise DataError(f"{folder}: has {names}, expected one of them; remove or rename what is out of date")
    return paths[0] if paths else None


def _read(path: Path, layout: Layout, options: ReadOptions) -> Table:
    try:
        rows = read_rows(path, layout, options)
    except OSError as exc:
        raise DataError(f"{path}: cannot be read ({exc})") from exc
    return Table(str(path), rows.frame, rows.locate, rows.notes)


def _read_if_there(path: Path | None, layout: Layout, options: ReadOptions) -> Table | None:
    return None if path is None else _read(path, layout, options)
