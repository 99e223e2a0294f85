"""Raw tables of a source, before cleaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from model_store.config import DEFAULT_READ_OPTIONS, ReadOptions
from model_store.errors import DataError
from model_store.tables.layout import INTERACTIONS, ITEMS, USERS, Layout
from model_store.tables.notes import Note
from model_store.tables.parts import SUFFIXES, read_rows

ITEM_COLUMNS = ITEMS.names
USER_COLUMNS = USERS.names
# Most files of a folder that an error or a note lists.
MAX_NAMES = 10
# Suffixes of files that may be tables.
TABLE_SUFFIXES = {".csv", ".tsv", ".gz", ".txt", ".dat", ".parquet", ".pq", ".json", ".jsonl", ".xlsx", ".feather"}


def row_number(row: int) -> str:
    """Name of the row with index ``row``."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class Table:
    """A frame with its name and row names for messages.

    Attributes:
        name: usually the path.
        frame: the columns that are read.
        locate: function from a row's index to its name for the user.
        notes: counts of rows and columns of the file that are missing in the frame.
    """

    name: str
    frame: pl.DataFrame
    locate: Callable[[int], str] = row_number
    notes: tuple[Note, ...] = ()

    def column(self, name: str) -> pl.Series:
        """Get the column ``name``; raises DataError if the table lacks it."""
        if name not in self.frame.columns:
            columns = ", ".join(map(repr, self.frame.columns)) or "none"
            raise DataError(f"{self.name}: no column {name!r}; its columns are {columns}")
        return self.frame[name]


@dataclass(frozen=True)
class Tables:
    """Tables of a source.

    Attributes:
        interactions: events.
        items: titles and features of items; None if the source has no such table.
        notes: counts of rows, columns and files that were not read.
        users: attributes of users; None if the source has no such table.
    """

    interactions: Table
    items: Table | None
    notes: tuple[Note, ...] = ()
    users: Table | None = None


def read_folder(folder: Path, options: ReadOptions = DEFAULT_READ_OPTIONS) -> Tables:
    """Read ``interactions.*``, ``items.*`` and ``users.*``: Parquet or CSV, each a file or a folder of parts.

    Raises:
        DataError: interactions are missing, a table exists in two formats, or a file cannot be read.
    """
    interactions = _find(folder, INTERACTIONS)
    if interactions is None:
        listing = ", ".join(sorted(path.name for path in folder.iterdir())[:MAX_NAMES]) or "nothing"
        raise DataError(
            f"{folder}: no interactions.parquet or interactions.csv, expected one of them; the folder has {listing}"
        )
    items_path, users_path = _find(folder, ITEMS), _find(folder, USERS)
    if items_path is None and "title" in options.columns:
        raise DataError(
            f"{folder}: --columns title={options.columns['title']!r}: no items.parquet or items.csv, expected one of "
            "them for titles; add one, or remove title from --columns"
        )
    events = _read(interactions, INTERACTIONS, options)
    items = _read_optional(items_path, ITEMS, options)
    users = _read_optional(users_path, USERS, options)
    notes = [note for table in (events, items, users) if table is not None for note in table.notes]
    absent = [layout for layout, table in ((ITEMS, items), (USERS, users)) if table is None]
    notes += _unread_files(folder, {interactions, items_path, users_path}, absent)
    return Tables(events, items, tuple(notes), users)


def _unread_files(folder: Path, read: set[Path | None], absent: list[Layout]) -> list[Note]:
    """A note about files that may be an absent table; a warning if a name differs only in suffix or case."""
    paths = [path for path in sorted(folder.iterdir()) if path not in read and path.suffix.lower() in TABLE_SUFFIXES]
    if not (paths and absent):
        return []
    stems = {layout.stem for layout in absent}
    listing = ", ".join(repr(path.name) for path in paths[:MAX_NAMES]) + (", …" if len(paths) > MAX_NAMES else "")
    names = ", ".join(f"{layout.stem} in {layout.stem}.csv or {layout.stem}.parquet" for layout in absent)
    is_similar = any(path.name.split(".")[0].strip().casefold() in stems for path in paths)
    return [Note(len(paths), f"files of {folder} not read: {listing}; expected {names}", warns=is_similar)]


def _find(folder: Path, layout: Layout) -> Path | None:
    """Find the file or folder of a table.

    Two candidates are refused. File times do not show which one is stale, because copying and unpacking change them.
    """
    paths = [folder / f"{layout.stem}{suffix}" for suffix in SUFFIXES]
    paths = [path for path in paths if path.exists()] + [path for path in [folder / layout.stem] if path.is_dir()]
    if len(paths) > 1:
        names = " and ".join(path.name for path in paths)
        raise DataError(f"{folder}: has {names}, expected one of them; remove or rename the outdated one")
    return paths[0] if paths else None


def _read(path: Path, layout: Layout, options: ReadOptions) -> Table:
    try:
        rows = read_rows(path, layout, options)
    except OSError as exc:
        raise DataError(f"{path}: cannot be read ({exc})") from exc
    return Table(str(path), rows.frame, rows.locate, rows.notes)


def _read_optional(path: Path | None, layout: Layout, options: ReadOptions) -> Table | None:
    return None if path is None else _read(path, layout, options)
