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
from model_store.errors import DataError

PARQUET = ".parquet"
SUFFIXES = (PARQUET, ".csv", ".csv.gz", ".tsv", ".tsv.gz")
# Files of writers that are no part of the table: _SUCCESS, _metadata, .part-0.crc.
HIDDEN = ("_", ".")


def read_rows(path: Path, layout: Layout, options: ReadOptions) -> Rows:
    """The columns of a file or folder that ``layout`` has.

    Parts of a folder follow one another in the order of their names. Subfolders named KEY=VALUE give columns.

    Raises:
        DataError: a file cannot be read, or parts do not fit together.
    """
    if path.is_file():
        return read_parquet(path, {}, layout, options) if path.suffix == PARQUET else read_csv(path, layout, options)
    paths = _parts(path)
    return _joined(path, paths, [_read_part(part, path, layout, options) for part in paths])


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

    return Rows(joined, locate, tuple(note for rows in parts for note in rows.notes))


def _refuse_other_types(path: Path, frame: pl.DataFrame, other_path: Path, other: pl.DataFrame) -> None:
    """Refuse text beside numbers: 7 as text and as a number need not be one id."""
    for name in set(frame.columns) & set(other.columns):
        first, second = frame[name].dtype, other[name].dtype
        if pl.Null not in (first, second) and (first == pl.String) != (second == pl.String):
            raise DataError(f"{path}: column {name!r} is {first}, but in {other_path} it is {second}; write one type")
