"""Tables as they stand in a source, before anything is judged: read, named, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from model_store.config import DEFAULT_READ_OPTIONS, ReadOptions
from model_store.data.summary import Note
from model_store.errors import DataError

REQUIRED_COLUMNS = ("user_id", "item_id", "value")
INTERACTION_COLUMNS = (*REQUIRED_COLUMNS, "timestamp", "seq", "event")
ITEM_COLUMNS = ("item_id", "title")
USER_COLUMNS = ("user_id",)


@dataclass(frozen=True)
class Table:
    """A frame and the name that errors give it, usually its path."""

    name: str
    frame: pl.DataFrame

    def column(self, name: str) -> pl.Series:
        """The column ``name``; raises DataError where the table has none."""
        if name not in self.frame.columns:
            found = ", ".join(self.frame.columns) or "none"
            raise DataError(f"{self.name}: no column {name!r}; its columns are {found}")
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
    """Read ``interactions.*``, ``items.*`` and ``users.*``, Parquet before CSV.

    Raises:
        DataError: there are no interactions, or a file is neither Parquet nor CSV.
    """
    interactions = _find(folder, "interactions")
    if interactions is None:
        raise DataError(f"{folder}: no interactions.parquet or interactions.csv, expected one of them")
    return Tables(
        _read(interactions, options, _of_interactions),
        items=_read_if_there(_find(folder, "items"), options),
        users=_read_if_there(_find(folder, "users"), options),
    )


def _read_if_there(path: Path | None, options: ReadOptions) -> Table | None:
    return None if path is None else _read(path, options)


def _find(folder: Path, stem: str) -> Path | None:
    paths = (folder / f"{stem}{suffix}" for suffix in (".parquet", ".csv"))
    return next((path for path in paths if path.is_file()), None)


def _read(
    path: Path, options: ReadOptions, narrow: Callable[[pl.LazyFrame], pl.LazyFrame] = lambda rows: rows
) -> Table:
    try:
        return Table(str(path), narrow(_renamed(_scan(path, options), options)).collect())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeError, LookupError) as exc:
        kind = "a Parquet file" if path.suffix == ".parquet" else f"a CSV file with a header, in {options.encoding}"
        reason = str(exc).splitlines()[0]
        raise DataError(f"{path}: cannot be read ({reason}); expected {kind}") from exc


def _of_interactions(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Only the columns that have a meaning; all of them where one is missing, for the error to name."""
    names = rows.collect_schema().names()
    if not set(REQUIRED_COLUMNS) <= set(names):
        return rows
    return rows.select(name for name in names if name in INTERACTION_COLUMNS)


def _renamed(rows: pl.LazyFrame, options: ReadOptions) -> pl.LazyFrame:
    names = rows.collect_schema().names()
    return rows.rename({source: name for name, source in options.columns.items() if source in names})


def _scan(path: Path, options: ReadOptions) -> pl.LazyFrame:
    """CSV is read as text: an id of 007 keeps its zeros, and a bad number can be named with its row."""
    if path.suffix == ".parquet":
        return pl.scan_parquet(path, glob=False)
    if options.encoding != DEFAULT_READ_OPTIONS.encoding:
        return pl.read_csv(path, glob=False, infer_schema=False, encoding=options.encoding).lazy()
    return pl.scan_csv(path, glob=False, infer_schema=False)
