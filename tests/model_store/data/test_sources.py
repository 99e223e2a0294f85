from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from model_store.data.sources import load
from model_store.errors import DataError

INTERACTIONS = {
    "user_id": ["u2", "u1", "u1", "u2"],
    "item_id": ["10", "9", "10", "007"],
    "value": [1.0, 2.0, 3.0, 3.0],
    "timestamp": [4, 2, 1, 3],
}
ITEMS = {"item_id": ["9", "007", "unsold"], "title": ["Nine", None, "Unsold"], "genre": ["a|b", "a", "b"]}


def test_catalogue_has_all_items_of_events_and_items_file_in_the_order_of_their_ids(write_source):
    loaded = load(write_source(INTERACTIONS, ITEMS))
    assert loaded.dataset.item_ids == ["007", "10", "9", "unsold"]
    assert loaded.dataset.titles == ["", "", "Nine", "Unsold"]
    assert loaded.dataset.user_ids == ["u1", "u2"]
    (absent,) = [str(note) for note in loaded.summary.notes if "absent" in note.reason]
    assert absent.startswith("1 item of the events absent from ")
    assert absent.endswith("items.parquet: no title, no features")


def test_csv_and_parquet_of_the_same_data_give_the_same_dataset(write_source):
    from_parquet = load(write_source(INTERACTIONS, ITEMS | {"year": [1990, 1990, None]})).dataset
    for path in Path(from_parquet.fingerprint.source).iterdir():
        path.unlink()
    from_csv = load(write_source(INTERACTIONS, ITEMS | {"year": [1990, 1990, None]}, suffix=".csv")).dataset
    assert from_csv.fingerprint == from_parquet.fingerprint
    assert from_csv.titles == from_parquet.titles
    assert from_csv.features.names == from_parquet.features.names == ["genre=a", "genre=b", "year=1990..1990"]


def test_integer_ids_become_strings_and_match_those_of_the_items(write_source):
    ids = {"user_id": [1, 2], "item_id": [30, 4], "value": [1, 1]}
    dataset = load(write_source(ids, {"item_id": ["4", "30"], "title": ["four", "thirty"]})).dataset
    assert (dataset.user_ids, dataset.item_ids) == (["1", "2"], ["30", "4"])
    assert dataset.titles == ["thirty", "four"]


@pytest.mark.parametrize(
    "timestamps",
    [
        [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=second) for second in range(4)],
        [datetime(2020, 1, 1, 2, 0, second, tzinfo=timezone(timedelta(hours=2))) for second in range(4)],
        [f"2020-01-01T00:00:0{second}Z" for second in range(4)],
        [f"2020-01-01T02:00:0{second}+02:00" for second in range(4)],
        [f"2020-01-01 00:00:0{second}" for second in range(4)],
        [1577836800.0 + second for second in range(4)],
        [str(1577836800 + second) for second in range(4)],
    ],
)
def test_timestamps_may_be_seconds_or_date_times(write_source, timestamps):
    events = load(write_source(INTERACTIONS | {"timestamp": timestamps})).dataset.events
    assert sorted(events.times) == [1577836800.0 + second for second in range(4)]


def test_fingerprint_changes_with_the_events_and_only_with_them(write_source):
    first = load(write_source(INTERACTIONS, ITEMS)).dataset.fingerprint
    assert load(write_source(INTERACTIONS, ITEMS)).dataset.fingerprint == first
    other_value = load(write_source(INTERACTIONS | {"value": [1.0, 2.0, 3.0, 2.0]}, ITEMS)).dataset.fingerprint
    other_time = load(write_source(INTERACTIONS | {"timestamp": [4, 2, 1, 5]}, ITEMS)).dataset.fingerprint
    other_user = load(write_source(INTERACTIONS | {"user_id": ["u2", "u", "u", "u2"]}, ITEMS)).dataset.fingerprint
    assert len({fingerprint.sha256 for fingerprint in (first, other_value, other_time, other_user)}) == 4
    assert (first.users, first.items, first.events) == (2, 4, 4)


def test_fingerprint_is_stable_across_releases_of_kshot_and_libraries(write_source):
    unordered = {"user_id": [1] * 9 + [2], "item_id": [*range(9), 3], "value": [1.0] * 10}
    fingerprint = load(write_source(unordered)).dataset.fingerprint
    assert fingerprint.sha256 == "3fd9f23e9fdab346e85ce1d0058ee8d05d56eb553289fe352bd289599a756caa"


def test_columns_without_a_meaning_are_ignored(write_source):
    plain = load(write_source(INTERACTIONS)).dataset
    assert load(write_source(INTERACTIONS | {"fold": [1, 2, 3, None]})).dataset.fingerprint == plain.fingerprint


@pytest.mark.parametrize("stem", ["interactions", "items"])
def test_table_in_two_formats_is_refused(write_source, stem):
    source = write_source(INTERACTIONS, ITEMS)
    pl.DataFrame(ITEMS).write_csv(Path(source) / f"{stem}.csv")
    with pytest.raises(
        DataError, match=rf"has {stem}\.parquet and {stem}\.csv, expected one of them; remove or rename"
    ):
        load(source)


def test_folder_names_with_pattern_characters_are_read_literally(write_source, tmp_path):
    source = Path(write_source(INTERACTIONS, suffix=".csv"))
    odd = tmp_path / "data[1]*=x"
    odd.mkdir()
    (source / "interactions.csv").rename(odd / "interactions.csv")
    assert load(str(odd)).summary.n_events == 4
