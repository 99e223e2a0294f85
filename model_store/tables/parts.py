"""Tables stored as a single file or as a folder of parts."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from pathlib import Path

import polars as pl

from model_store.config import ReadOptions
from model_store.errors import DataError
from model_store.tables.csv_files import read_csv
from model_store.tables.layout import Layout, Rows
from model_store.tables.notes import Note
from model_store.tables.parquet_files import keys_of, read_parquet

PARQUET = ".parquet"
SUFFIXES = (PARQUET, ".csv", ".csv.gz", ".tsv", ".tsv.gz")
# Prefixes of auxiliary files that writers add: _SUCCESS, _metadata, .part-0.crc.
HIDDEN = ("_", ".")
# Log folders of table formats that also keep files of earlier versions.
VERSIONED = {"_delta_log": "Delta", ".hoodie": "Hudi"}


def read_rows(path: Path, layout: Layout, options: ReadOptions) -> Rows:
    """Read the columns of ``layout`` from a file or a folder of parts.

    Parts are concatenated in the order of their names. Subfolders named KEY=VALUE add columns.

    Raises:
        DataError: a file cannot be read, or parts have incompatible columns.
    """
    if path.is_file():
        return read_parquet(path, {}, layout, options) if path.suffix == PARQUET else read_csv(path, layout, options)
    _refuse_versions(path)
    paths = _parts(path)
    return _joined(path, paths, [_read_part(part, path, layout, options) for part in paths])


def _refuse_versions(folder: Path) -> None:
    """Refuse the folder of a table format that keeps deleted and replaced rows."""
    for log, kind in VERSIONED.items():
        if (folder / log).exists():
            raise DataError(
                f"{folder}: is a {kind} table (it has a folder {log}), so its files include rows of earlier versions; "
                "write its current version as Parquet"
            )


def _parts(folder: Path) -> list[Path]:
    parts = [part for part in sorted(folder.rglob("*")) if part.is_file() and part.stat().st_size]
    parts = [part for part in parts if not any(name.startswith(HIDDEN) for name in part.relative_to(folder).parts)]
    if not parts:
        raise DataError(f"{folder}: has no files with rows, expected Parquet or CSV files")
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
        raise DataError(f"{folder}: its parts have different types ({str(exc).splitlines()[0]})") from exc
    starts = [0, *accumulate(map(len, frames))]

    def locate(row: int) -> str:
        part = bisect_right(starts, row) - 1
        return f"{parts[part].locate(row - starts[part])} of {paths[part].relative_to(folder)}"

    notes = (*_incomplete_parts(folder, paths, frames), *_repeated_parts(folder, paths, frames))
    return Rows(joined, locate, (*(note for rows in parts for note in rows.notes), *notes))


def _incomplete_parts(folder: Path, paths: list[Path], frames: list[pl.DataFrame]) -> list[Note]:
    """Warn about each column that some parts lack."""
    notes = []
    for column in dict.fromkeys(column for frame in frames for column in frame.columns):
        without = [path for path, frame in zip(paths, frames, strict=True) if column not in frame.columns]
        if without:
            example = f"e.g. {without[0].relative_to(folder)}"
            reason = f"parts (of {len(paths):,}) of {folder} without column {column!r}, {example}: read as missing"
            notes.append(Note(len(without), reason, warns=True))
    return notes


def _repeated_parts(folder: Path, paths: list[Path], frames: list[pl.DataFrame]) -> list[Note]:
    """Warn about parts with the same rows as another part, such as copies of files."""
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
    reason = f"parts of {folder} with the rows of another part, e.g. {copy} and {original}; remove copies"
    return [Note(len(copies), reason, warns=True)]


def _refuse_other_types(path: Path, frame: pl.DataFrame, other_path: Path, other: pl.DataFrame) -> None:
    """Refuse a column of text in one part and of numbers in another; "7" and 7 may be different ids."""
    for name in set(frame.columns) & set(other.columns):
        first, second = frame[name].dtype, other[name].dtype
        if pl.Null not in (first, second) and (first == pl.String) != (second == pl.String):
            raise DataError(f"{path}: column {name!r} is {first}, but in {other_path} it is {second}; use one type")
