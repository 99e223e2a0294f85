"""Folders of parts, as Spark, pandas and pyarrow write them."""

from pathlib import Path

import polars as pl
import pytest

from model_store.data.sources import load
from model_store.errors import DataError
from model_store.tables.table import read_folder

FRAME = pl.DataFrame(
    {
        "user_id": ["u1", "u1", "u2", "u2", "u3"],
        "item_id": ["i1", "i2", "i1", "i3", "i2"],
        "value": [1, 2, 3, 4, 5],
        "timestamp": [1_700_000_000 + row for row in range(5)],
    }
)


def write_parts(folder: Path, suffix: str = ".parquet") -> str:
    """A table of three parts, one without rows, beside auxiliary files of writers."""
    parts = folder / f"interactions{suffix}"
    parts.mkdir()
    for number, piece in enumerate([FRAME[:2], FRAME[:0], FRAME[2:]]):
        path = parts / f"part-0000{number}{suffix or '.parquet'}"
        piece.write_csv(path) if suffix == ".csv" else piece.write_parquet(path)
    for name in ("_SUCCESS", "._SUCCESS.crc", ".part-00000.crc", "_metadata"):
        (parts / name).write_bytes(b"not a table")
    (parts / "part-00009.empty").touch()
    return str(folder)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ""])
def test_parts_are_one_table(tmp_path, suffix):
    whole = tmp_path / "whole"
    whole.mkdir()
    FRAME.write_parquet(whole / "interactions.parquet")
    expected = load(str(whole)).dataset.fingerprint.sha256
    assert load(write_parts(tmp_path, suffix)).dataset.fingerprint.sha256 == expected


def test_keys_in_names_of_folders_are_columns(tmp_path):
    for event, part in (
        FRAME.with_columns(event=pl.Series(["a b", "x", "x", "a b", None])).partition_by("event", as_dict=True).items()
    ):
        name = "__HIVE_DEFAULT_PARTITION__" if event[0] is None else event[0].replace(" ", "%20")
        folder = tmp_path / "interactions.parquet" / f"event={name}" / "day=2023-11-14"
        folder.mkdir(parents=True)
        part.drop("event").write_parquet(folder / "part-0.parquet")
    frame = read_folder(tmp_path).interactions.frame.sort("timestamp")
    assert frame["event"].to_list() == ["a b", "x", "x", "a b", None]
    assert frame.columns == [*FRAME.columns, "event"]


def test_parts_may_lack_optional_columns_and_differ_in_width_of_numbers(tmp_path):
    folder = tmp_path / "interactions.parquet"
    folder.mkdir()
    FRAME[:2].drop("timestamp").with_columns(pl.col("value").cast(pl.Int16)).write_parquet(folder / "a.parquet")
    FRAME[2:].with_columns(pl.col("value").cast(pl.Float64)).write_parquet(folder / "b.parquet")
    frame = read_folder(tmp_path).interactions.frame
    assert frame["value"].to_list() == [1, 2, 3, 4, 5]
    assert frame["timestamp"].to_list() == [None, None, *FRAME["timestamp"][2:]]


def test_ids_as_text_in_one_part_and_numbers_in_another_are_refused(tmp_path):
    folder = tmp_path / "interactions.parquet"
    folder.mkdir()
    FRAME.write_parquet(folder / "a.parquet")
    FRAME.with_columns(item_id=pl.Series([1, 2, 3, 4, 5])).write_parquet(folder / "b.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: column 'item_id' is String, but in .*b\.parquet it is Int64"):
        load(str(tmp_path))


@pytest.mark.parametrize(("suffix", "row"), [(".parquet", "row 2"), (".csv", "line 3")])
def test_bad_cell_is_named_with_its_part(tmp_path, suffix, row):
    source = write_parts(tmp_path, suffix)
    bad = FRAME[2:].with_columns(value=pl.Series(["3", "four", "5"]))
    path = tmp_path / f"interactions{suffix}" / f"part-00002{suffix}"
    bad.write_csv(path) if suffix == ".csv" else bad.write_parquet(path)
    (tmp_path / f"interactions{suffix}" / f"part-00000{suffix}").unlink()
    (tmp_path / f"interactions{suffix}" / f"part-00001{suffix}").unlink()
    with pytest.raises(DataError, match=f"column 'value', {row} of part-00002{suffix}: 'four', expected a number"):
        load(source)


def test_part_that_is_not_a_table_is_refused_by_name(tmp_path):
    source = write_parts(tmp_path)
    (tmp_path / "interactions.parquet" / "notes.txt").write_text("made by hand")
    with pytest.raises(DataError, match=r"notes\.txt: cannot be read .*; expected a complete Parquet file"):
        load(source)


def test_categories_of_parts_are_text(tmp_path):
    folder = tmp_path / "interactions.parquet"
    folder.mkdir()
    FRAME[:2].with_columns(pl.col("user_id").cast(pl.Categorical)).write_parquet(folder / "a.parquet")
    FRAME[2:].with_columns(pl.col("user_id").cast(pl.Enum(["u2", "u3"]))).write_parquet(folder / "b.parquet")
    assert read_folder(tmp_path).interactions.frame["user_id"].to_list() == FRAME["user_id"].to_list()


def test_two_columns_of_one_name_in_parquet_are_refused(tmp_path):
    path = tmp_path / "interactions.parquet"
    FRAME.rename({"timestamp": "valux"}).write_parquet(path, compression="uncompressed", statistics=False)
    path.write_bytes(path.read_bytes().replace(b"valux", b"value"))
    with pytest.raises(DataError, match=r"interactions\.parquet: .*(one occurrence|the same name|distinct column)"):
        load(str(tmp_path))


@pytest.mark.parametrize(("log", "kind"), [("_delta_log", "Delta"), (".hoodie", "Hudi")])
def test_table_that_keeps_earlier_versions_is_refused(tmp_path, log, kind):
    source = write_parts(tmp_path)
    (tmp_path / "interactions.parquet" / log).mkdir()
    with pytest.raises(DataError, match=rf"is a {kind} table.*rows of earlier versions.*; write its current version"):
        load(source)


def test_column_that_some_parts_lack_is_a_warning(tmp_path):
    folder = tmp_path / "interactions.parquet"
    folder.mkdir()
    FRAME[:2].drop("timestamp").write_parquet(folder / "a.parquet")
    FRAME[2:].write_parquet(folder / "b.parquet")
    (warning,) = [warning for warning in load(str(tmp_path)).summary.warnings if "timestamp" in warning]
    assert warning == f"1 part (of 2) of {folder} without column 'timestamp', e.g. a.parquet: read as missing"


def test_copy_of_a_part_is_a_warning(tmp_path):
    source = write_parts(tmp_path)
    assert load(source).summary.warnings == ()
    original = tmp_path / "interactions.parquet" / "part-00002.parquet"
    (original.parent / "part-00002 copy.parquet").write_bytes(original.read_bytes())
    (warning,) = load(source).summary.warnings
    assert "1 part of" in warning
    assert "e.g. part-00002.parquet and part-00002 copy.parquet; remove copies" in warning
