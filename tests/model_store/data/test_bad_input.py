import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_store.config import ReadOptions
from model_store.data.sources import load
from model_store.errors import DataError
from model_store.tables.notes import Note

GOOD = {
    "user_id": ["u", "u", "v", "v"],
    "item_id": ["x", "y", "x", "z"],
    "value": [1.0, 1.0, 1.0, 1.0],
}


def notes(source: str) -> tuple[Note, ...]:
    return load(source).summary.notes


@pytest.mark.parametrize("missing", GOOD)
def test_missing_column_is_named_beside_the_existing_ones(write_source, missing):
    rest = {name: cells for name, cells in (GOOD | {"fold": [1, 2, 3, 4]}).items() if name != missing}
    columns = ", ".join(map(repr, rest))
    with pytest.raises(DataError, match=rf"interactions\.parquet: no column '{missing}'; its columns are {columns}; "):
        load(write_source(rest))


def test_items_without_item_id_are_refused(write_source):
    with pytest.raises(DataError, match=r"items\.parquet: no column 'item_id'"):
        load(write_source(GOOD, {"id": ["x"], "title": ["X"]}))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"value": ["5", "4", "three", "1"]}, "column 'value', row 3: 'three', expected a number"),
        ({"value": [[1.0], [2.0], [1.0], [1.0]]}, r"column 'value' is List\(Float64\), expected numbers"),
        ({"user_id": [1.0, 0.5, 1.5, 2.0]}, "column 'user_id', row 2: 0.5, expected strings or whole numbers"),
        ({"user_id": [[1], [2], [3], [4]]}, r"column 'user_id' is List\(Int64\), expected strings or integers"),
        ({"item_id": [True, False, True, True]}, "column 'item_id' is Boolean, expected strings or integers"),
        ({"timestamp": ["1", "2", "soon", "4"]}, "column 'timestamp', row 3: 'soon', expected a number"),
        ({"timestamp": ["2020-01-01", "2020", "x", "y"]}, "column 'timestamp', row 2: '2020', expected seconds since"),
        ({"timestamp": ["a", "b", "c", "d"]}, "column 'timestamp', row 1: 'a', expected seconds .*, or ISO 8601"),
        ({"timestamp": [timedelta(1)] * 4}, r"column 'timestamp' is Duration.*, expected seconds since 1970"),
        ({"seq": ["1", "2", "3", "last"]}, "column 'seq', row 4: 'last', expected a number"),
        ({"event": [0.5, 0.5, 0.5, 0.5]}, "column 'event', row 1: 0.5, expected strings or whole numbers"),
    ],
)
def test_wrong_content_is_refused_with_file_column_and_expectation(write_source, changed, expected):
    with pytest.raises(DataError, match=r"interactions\.parquet: " + expected):
        load(write_source(GOOD | changed))


def test_text_in_a_number_column_of_a_csv_file_is_named_with_its_line(write_source):
    with pytest.raises(DataError, match=r"interactions\.csv: column 'value', line 3: 'good', expected a number"):
        load(write_source(GOOD | {"value": ["1", "good", "1", "2"]}, suffix=".csv"))


@pytest.mark.parametrize("name", ["interactions.csv", "interactions.parquet"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfenot a table\x00"])
def test_damaged_file_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        load(str(tmp_path))


def test_header_without_rows_is_refused(tmp_path):
    (tmp_path / "interactions.csv").write_text("user_id,item_id,value\n")
    with pytest.raises(DataError, match=r"interactions\.csv: has no rows below its header, expected events"):
        load(str(tmp_path))


def test_damage_inside_a_parquet_file_is_refused_or_harmless(write_source):
    path = Path(write_source({name: cells * 50 for name, cells in GOOD.items()})) / "interactions.parquet"
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for position in rng.integers(0, len(whole), 60):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            load(str(path.parent))
        except DataError:
            refused += 1
    assert refused


@pytest.mark.parametrize(("column", "noun"), [("user_id", "user"), ("item_id", "item")])
def test_a_single_user_or_item_is_refused(write_source, column, noun):
    expected = rf"interactions\.parquet: column '{column}' has 1 usable {noun}, expected at least 2"
    with pytest.raises(DataError, match=expected):
        load(write_source(GOOD | {column: ["same"] * 4}))


def test_values_are_refused_if_none_is_above_zero(write_source):
    with pytest.raises(DataError, match=r"column 'value' is at most 0\.0, expected some values above 0"):
        load(write_source(GOOD | {"value": [0.0, -1.0, 0.0, 0.0]}))
    set_to_ratings = load(write_source(GOOD | {"value": [0.0, -1.0, 0.0, 0.0]}), ReadOptions(feedback="ratings"))
    assert set_to_ratings.dataset.feedback.liked_at_least == 0


@pytest.mark.parametrize("source", ["demo:music", "no/such/folder"])
def test_unknown_source_is_refused_with_the_existing_ones(source):
    with pytest.raises(DataError, match="no such data source; expected demo:movies, demo:grocery, or a folder"):
        load(source)


def test_folder_without_interactions_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no interactions\.parquet or interactions\.csv"):
        load(str(tmp_path))


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf])
def test_events_without_a_finite_value_are_dropped_and_counted(write_source, bad):
    loaded = load(write_source(GOOD | {"value": [1.0, bad, 1.0, 1.0]}))
    assert loaded.summary.n_events == 3
    assert Note(1, "events dropped: value is missing or not finite") in loaded.summary.notes


def test_empty_text_in_a_number_column_is_a_missing_number(write_source):
    assert Note(1, "events dropped: value is missing or not finite") in notes(
        write_source(GOOD | {"value": ["1", " ", "1", "2"]})
    )


@pytest.mark.parametrize("bad", [None, "", "x" * 257, "line\nend", "bell\x07"])
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_events_with_an_unusable_id_are_dropped_and_counted(write_source, column, bad):
    cells = [*GOOD[column][:3], bad]
    expected = f"events dropped: {column} is missing, empty, over 256 characters or with control characters"
    assert Note(1, expected) in notes(write_source(GOOD | {column: cells}))


def test_longest_id_and_any_script_are_kept(write_source):
    ids = ["x" * 256, "日本語 🎬", "x", "y"]
    assert set(load(write_source(GOOD | {"item_id": ids})).dataset.item_ids) == set(ids)


def test_unusable_and_repeated_rows_of_items_are_dropped_and_counted(write_source):
    described = {"item_id": ["x", None, "y", "x", "\t"], "title": ["old", "?", "Y", "new", "?"]}
    loaded = load(write_source(GOOD, described))
    assert dict(zip(loaded.dataset.item_ids, loaded.dataset.titles, strict=True)) == {"x": "new", "y": "Y", "z": ""}
    assert [note.count for note in loaded.summary.notes] == [2, 1, 1]


def test_columns_of_items_that_cannot_be_read_are_named(write_source):
    described = {"item_id": ["x", "y", "z"], "size": [[[1.0]]] * 3}
    (warning,) = load(write_source(GOOD, described)).summary.warnings
    assert "items.parquet: column 'size' is not used: its type is List(List(Float64))" in warning


def test_absent_items_file_is_noted(write_source):
    assert notes(write_source(GOOD)) == (Note(3, "items without title and features: there is no items file"),)


@pytest.mark.parametrize("huge", [1e16, -3e38, 1e300])
def test_impossibly_large_values_are_dropped_and_counted(write_source, huge):
    loaded = load(write_source(GOOD | {"value": [1.0, huge, 1.0, 1.0]}))
    assert loaded.summary.n_events == 3
    expected = "events dropped: value is beyond ±1e+15, read as a missing number"
    assert Note(1, expected) in loaded.summary.notes


def test_events_are_refused_with_the_reason_if_none_is_usable(write_source):
    expected = r"none of its 4 events can be used \(4 events dropped: value is missing or not finite\)"
    with pytest.raises(DataError, match=expected):
        load(write_source(GOOD | {"value": pl.Series([None] * 4)}))


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_event_without_a_timestamp_is_dropped_and_the_order_stays(write_source, bad):
    loaded = load(write_source(GOOD | {"timestamp": [1.0, 2.0, 3.0, bad]}))
    assert loaded.summary.order == "time"
    assert loaded.summary.n_events == 3
    assert Note(1, "events dropped: timestamp is missing") in loaded.summary.notes


def test_event_without_seq_is_dropped_and_the_order_stays(write_source):
    loaded = load(write_source(GOOD | {"seq": [1, 2, None, 3]}))
    assert loaded.summary.order == "sequence"
    assert Note(1, "events dropped: seq is missing") in loaded.summary.notes


def test_timestamps_are_not_used_if_most_events_lack_one(write_source):
    loaded = load(write_source(GOOD | {"timestamp": [1.0, None, None, None]}))
    assert (loaded.summary.order, loaded.summary.n_events) == ("random", 4)
    assert Note(3, "events without a timestamp, so timestamps are not used; order: random") in loaded.summary.notes


def test_equal_timestamps_are_not_an_order(write_source):
    loaded = load(write_source(GOOD | {"timestamp": [1_700_000_000] * 4}))
    assert not loaded.dataset.has_time
    expected = Note(4, "events share one timestamp, so timestamps are not used; order: random")
    assert expected in loaded.summary.notes


def test_empty_columns_count_as_absent(write_source):
    empty = pl.Series([None] * 4)
    loaded = load(write_source(GOOD | {"timestamp": empty, "seq": empty, "event": empty}))
    assert loaded.summary.order == "random"
    assert "".join(note.reason for note in loaded.summary.notes).count("timestamp") == 0


def test_empty_folder_of_parts_is_refused(tmp_path: Path):
    (tmp_path / "interactions.parquet").mkdir()
    with pytest.raises(DataError, match=r"interactions\.parquet: has no files with rows"):
        load(str(tmp_path))
