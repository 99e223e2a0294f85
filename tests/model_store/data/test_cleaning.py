import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.data.schema import Dataset
from model_store.data.sources import load, prepare
from model_store.tables.table import Table, Tables

# These events make the values ratings, whatever rows are drawn: five levels, and the lowest is rare.
ANCHOR = [("a", "i0", 5, 0), ("a", "i1", 5, 1), ("a", "i2", 4, 2), ("b", "i0", 3, 0), ("b", "i1", 5, 1)]

rows = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", "u3"]),
        st.sampled_from([f"i{item}" for item in range(6)]),
        st.sampled_from([4, 5]),
        st.integers(0, 5),
    ),
    max_size=30,
)


def prepared(rows: list[tuple[str, str, float, float]], **columns: object) -> Dataset:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "value", "timestamp"], orient="row")
    return prepare("test", Tables(Table("test", frame.with_columns(**columns)), None)).dataset


def pairs(dataset: Dataset) -> dict[tuple[str, str], float]:
    events = dataset.events
    users = np.repeat(dataset.user_ids, events.lengths())
    items = [dataset.item_ids[item] for item in events.items]
    pairs_of_events = list(zip(users.tolist(), items, strict=True))
    assert len(pairs_of_events) == len(set(pairs_of_events))
    return dict(zip(pairs_of_events, events.values.tolist(), strict=True))


def items_of(dataset: Dataset, user: str) -> list[str]:
    run = dataset.events.user(dataset.user_ids.index(user))
    return [dataset.item_ids[item] for item in dataset.events.items[run]]


@settings(deadline=None)
@given(rows=rows)
def test_last_rating_of_a_pair_wins(rows):
    in_time = sorted([*ANCHOR, *rows], key=lambda row: row[3])  # stable: among equal times, the last row
    expected = {(user, item): value for user, item, value, _ in in_time}
    assert pairs(prepared([*ANCHOR, *rows])) == expected


@settings(deadline=None)
@given(rows=rows)
def test_counts_of_a_pair_add(rows):
    expected: dict[tuple[str, str], float] = {}
    for user, item, _, _ in [*ANCHOR, *rows]:
        expected[user, item] = expected.get((user, item), 0) + 1
    assert pairs(prepared([*ANCHOR, *rows], value=pl.lit(1.0))) == expected


@settings(deadline=None)
@given(rows=rows, data=st.data())
def test_events_of_different_times_load_the_same_from_any_row_order(rows, data):
    rows = list({(user, item, time): (user, item, value, time) for user, item, value, time in rows}.values())
    shuffled = data.draw(st.permutations([*ANCHOR, *rows]))
    assert prepared(shuffled).fingerprint == prepared([*ANCHOR, *rows]).fingerprint


@settings(deadline=None)
@given(pairs_of_items=st.sets(st.tuples(st.sampled_from("uvw"), st.sampled_from("ijkl"))), data=st.data())
def test_events_without_order_load_the_same_from_any_row_order(pairs_of_items, data):
    rows = [*ANCHOR, *((user, item, 4, 0) for user, item in sorted(pairs_of_items))]
    frames = (pl.DataFrame(table, schema=["user_id", "item_id", "value", "row"], orient="row") for table in
              (rows, data.draw(st.permutations(rows))))  # fmt: skip
    first, second = (prepare("test", Tables(Table("test", frame), None)).dataset for frame in frames)
    assert first.fingerprint == second.fingerprint
    assert not first.has_order


def test_events_are_in_the_order_of_their_timestamps():
    dataset = prepared([("u", "x", 4, 30.5), ("u", "y", 5, 10), ("v", "x", 3, 5), ("u", "z", 5, 20)])
    assert items_of(dataset, "u") == ["y", "z", "x"]
    assert dataset.has_time
    assert dataset.events.times[dataset.events.user(0)].tolist() == [10, 20, 30.5]


def test_merged_counts_have_the_position_of_the_latest_event():
    dataset = prepared([("u", "x", 1, 1), ("u", "y", 1, 2), ("u", "x", 1, 3), ("v", "x", 1, 1)])
    assert items_of(dataset, "u") == ["y", "x"]
    assert dataset.events.values[dataset.events.user(0)].tolist() == [1, 2]


def test_seq_is_the_order_if_some_timestamps_are_missing(write_source):
    loaded = load(
        write_source(
            {
                "user_id": ["u", "u", "u", "v"],
                "item_id": ["x", "y", "z", "x"],
                "value": [1.0] * 4,
                "timestamp": [1, None, 2, 3],
                "seq": [2, 1, 0, 0],
            }
        )
    )
    assert items_of(loaded.dataset, "u") == ["z", "y", "x"]
    assert (loaded.dataset.has_order, loaded.dataset.has_time) == (True, False)
    assert not loaded.dataset.events.times.any()
    assert "1 event without a timestamp, so timestamps are not used; order: sequence" in loaded.summary.render().plain


def test_seq_orders_events_with_equal_timestamps():
    rows = [("u", f"i{index}", 1, 9) for index in range(8)] + [("v", "i0", 1, 9)]
    dataset = prepared(rows, seq=pl.Series([3, 1, 7, 0, 6, 2, 5, 4, 0]))
    assert items_of(dataset, "u") == ["i3", "i1", "i5", "i0", "i7", "i6", "i4", "i2"]


def test_random_order_of_a_user_does_not_depend_on_other_users():
    user = [("u", f"i{index}", 1, None) for index in range(20)]
    alone = prepared([*user, ("v", "i0", 1, None)])
    with_more_users = prepared([("a", "aa", 1, None), *user, ("v", "zz", 1, None), ("z", "i7", 1, None)])
    assert items_of(alone, "u") == items_of(with_more_users, "u")
    assert items_of(alone, "u") != sorted(items_of(alone, "u"))


def test_random_orders_of_two_users_differ():
    dataset = prepared([(user, f"i{index}", 1, None) for user in "uv" for index in range(20)])
    assert items_of(dataset, "u") != items_of(dataset, "v")


@pytest.mark.parametrize("column", ["user_id", "item_id", "value", "timestamp"])
def test_many_dropped_events_are_a_warning_and_few_a_note(write_source, column):
    table = {
        "user_id": [f"u{row % 8}" for row in range(40)],
        "item_id": [f"i{row // 8}" for row in range(40)],
        "value": [str(row % 5 + 1) for row in range(40)],
        "timestamp": [str(1_700_000_000 + row) for row in range(40)],
    }
    for missing, warns in ((2, False), (12, True)):
        cells = [None] * missing + table[column][missing:]
        summary = load(write_source(table | {column: cells})).summary
        messages = list(summary.warnings) if warns else list(map(str, summary.notes))
        assert [text for text in messages if f"{missing} events dropped: {column} is" in text]
