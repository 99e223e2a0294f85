"""One file of a table, or a folder of files that are one table together."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from pathlib import Path

import polars as pl

from model_store.config import ReadOptions
from model_store.data.csv_files import read_csv
from model_store.data.layout import Layout, Rows
from model_store.data.parquet_files import keys_of, read_parquet
from model_store.data.summary import Note
from model_store.errors import DataError

PARQUET = ".parquet"
SUFFIXES = (PARQUET, ".csv", ".csv.gz", ".tsv", ".tsv.gz")
# Files of writers that are no part of the table: _SUCCESS, _metadata, .part-0.crc.
HIDDEN = ("_", ".")
# Logs of table formats whose folders keep the files of earlier versions, too.
VERSIONED = {"_delta_log": "Delta", ".hoodie": "Hudi"}


def read_rows(path: Path, layout: Layout, options: ReadOptions) -> Rows:
    """The columns of a file or folder that ``layout`` has.

    Parts of a folder follow one another in the order of their names. Subfolders named KEY=VALUE give columns.

    Raises:
        DataError: a file cannot be read, or parts do not fit together.
    """
    if path.is_file():
        return read_parquet(path, {}, layout, options) if path.suffix == PARQUET else read_csv(path, layout, options)
    _refuse_versions(path)
    paths = _parts(path)
    return _joined(path, paths, [_read_part(part, path, layout, options) for part in paths])


def _refuse_versions(folder: Path) -> None:
    """Refuse a folder whose files hold deleted and replaced rows beside those that count."""
    for log, kind in VERSIONED.items():
        if (folder / log).exists():
            raise DataError(
                f"{folder}: is a {kind} table, as its {log} says, so its files hold rows of earlier versions, too; "
                "write its present version as Parquet"
            )


def _parts(folder: Path) -> list[Path]:
    parts = [part for part in sorted(folder.rglob("*")) if part.is_file() and part.stat().st_size]
    parts = [part for part in parts if not any(name.startswith(HIDDEN) for name in part.relative_to(folder).parts)]
    if not parts:
        raise DataError(f"{folder}: holds no files with rows, expected Parquet or CSV files")
    return parts


def _read_part(part: Path, folder: Path, layout: Layout, options: ReadOptions) -> Rows:
    if PARQUET in (folder.suffix, part.suffix):
        return read_parquet(part, keys_of(part, folder), layout, options)
    return read_csv(part, layout, options)


def _joined(folder: Path, paths: list[Path], parts: list[Rows]) -> Rows:
    frames = [rows.frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)) for rows in parts]
    for (path, frame), (other_path, other) in pairwise(zip(paths, frames, strict=True)):
        _refuse_other_types(path, frame, other_path, other)
    try:
        joined = pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as exc:
        raise DataError(f"{folder}: its parts are of different types ({str(exc).splitlines()[0]})") from exc
    starts = [0, *accumulate(map(len, frames))]

    def locate(row: int) -> str:
        part = bisect_right(starts, row) - 1
        return f"{parts[part].locate(row - starts[part])} of {paths[part].relative_to(folder)}"

    notes = (*_lacking(folder, paths, frames), *_repeated(folder, paths, frames))
    return Rows(joined, locate, (*(note for rows in parts for note in rows.notes), *notes))


def _lacking(folder: Path, paths: list[Path], frames: list[pl.DataFrame]) -> list[Note]:
    """A warning per column that only some parts have, with the first part without it."""
    notes = []
    for column in dict.fromkeys(column for frame in frames for column in frame.columns):
        without = [path for path, frame in zip(paths, frames, strict=True) if column not in frame.columns]
        if without:
            first = without[0].relative_to(folder)
            reason = (
                f"of {len(paths):,} parts of {folder} have no column {column!r}, {first} for one: it is empty there"
            )
            notes.append(Note(len(without), reason, warns=True))
    return notes


def _repeated(folder: Path, paths: list[Path], frames: list[pl.DataFrame]) -> list[Note]:
    """A warning where parts hold the rows of another part, as a copy does that somebody left there."""
    first: dict[int, Path] = {}
    copies = []
    for path, frame in zip(paths, frames, strict=True):
        if len(frame):
            content = hash(frame.hash_rows().to_numpy().tobytes())
            original = first.setdefault(content, path)
            copies += [(path, original)] if original != path else []
    if not copies:
        return []
    copy, original = (path.relative_to(folder) for path in copies[0])
    reason = f"parts of {folder} repeat another, {copy} the rows of {original}; remove them if they are copies"
    return [Note(len(copies), reason, warns=True)]


def _refuse_other_types(path: Path, frame: pl.DataFrame, other_path: Path, other: pl.DataFrame) -> None:
    """Refuse text beside numbers: 7 as text and as a number need not be one id."""
    for name in set(frame.columns) & set(other.columns):
        first, second = frame[name].dtype, other[name].dtype
        if pl.Null not in (first, second) and (first == pl.String) != (second == pl.String):
            raise DataError(f"{path}: column {name!r} is {first}, but in {other_path} it is {second}; write one type")
