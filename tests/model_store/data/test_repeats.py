"""Repeated events of an item give the same support in training and in the service, in any order of arrival."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import Kind, Scale, UserSupport, scale_of
from model_store.data.cleaning import arrange, merge_pairs
from service.core.history import append, forget
from service.core.support import support_of
from service.core.values import EMPTY, Event, Events, UserRecord

ITEMS = list("abcdef")
DAY_S = 86_400.0
SCALES = {
    "ratings": scale_of("ratings", 1.0, 9.0, 7.0),
    "counts": scale_of("counts", 1.0, 1e6, 1.0),
    "clicks": scale_of("clicks", 1.0, 9.0, 1.0),
}

kinds = st.sampled_from(["ratings", "counts", "clicks"])
# (item, value, day) in order of arrival; few days, so that many events are late or have equal times.
logs = st.lists(st.tuples(st.sampled_from(ITEMS), st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=25)

Log = list[tuple[str, int, int]]


def record_of(log: Log, scale: Scale, max_support: int = 100) -> UserRecord:
    record = EMPTY
    for key, (item_id, value, day) in enumerate(log):
        event = Event(item_id, float(value), day * DAY_S, key, scale)
        record = append(record, Events.of([event]), max_support).record
    return record


def served(record: UserRecord, scale: Scale, max_support: int = 100) -> UserSupport:
    rows = np.array([ITEMS.index(item_id) for item_id in record.events.item_ids], dtype=np.int64)
    return support_of(record.events, rows, scale, max_support)


def trained(log: Log, kind: Kind) -> dict[str, tuple[float, float]]:
    """Value and age in days per item, as training reads the same events from a table."""
    frame = pl.DataFrame(
        {
            "user": np.zeros(len(log), dtype=np.int64),
            "item": [ITEMS.index(item_id) for item_id, _, _ in log],
            "value": [float(value) for _, value, _ in log],
            "time": [day * DAY_S for _, _, day in log],
            "seq": pl.Series([None] * len(log), dtype=pl.Float64),
        }
    )
    merged, _ = merge_pairs(frame, kind, "time")
    events = arrange(merged, "time", ["u"], ITEMS)
    ages = (events.times.max() - events.times) / DAY_S
    return {ITEMS[item]: pair for item, *pair in zip(events.items, events.values.tolist(), ages.tolist(), strict=True)}


@given(logs, kinds)
def test_training_and_service_read_the_same_from_the_same_events(log: Log, kind: Kind) -> None:
    support = served(record_of(log, SCALES[kind]), SCALES[kind])
    columns = (support.rows.tolist(), support.values.tolist(), support.ages.tolist())
    assert {ITEMS[row]: pair for row, *pair in zip(*columns, strict=True)} == trained(log, kind)
    assert sorted(support.ages.tolist(), reverse=True) == support.ages.tolist()


@given(logs, st.integers(1, 4))
def test_an_item_beyond_a_full_record_keeps_its_count(log: Log, max_support: int) -> None:
    counts = SCALES["counts"]
    support = served(record_of(log, counts, max_support), counts, max_support)
    expected = trained(log, "counts")
    assert all(expected[ITEMS[row]][0] == value for row, value in zip(support.rows, support.values, strict=True))


@given(logs, kinds, st.integers(1, 4), st.data())
def test_the_order_of_arrival_does_not_matter_where_times_differ(
    log: Log, kind: Kind, max_support: int, data: st.DataObject
) -> None:
    timed = [(item_id, value, day) for day, (item_id, value, _) in enumerate(log)]
    shuffled = data.draw(st.permutations(timed))
    records = [record_of(arrived, SCALES[kind], max_support) for arrived in (timed, shuffled)]
    supports = [served(record, SCALES[kind], max_support) for record in records]
    one, other = ([column.tolist() for column in (support.rows, support.values, support.ages)] for support in supports)
    assert one == other


def test_a_late_event_does_not_replace_a_newer_one() -> None:
    stars = SCALES["ratings"]
    record = record_of([("a", 9, 4), ("a", 1, 1)], stars)
    assert [(event.value, event.timestamp) for event in record.events.to_list()] == [(9.0, 4 * DAY_S)]


def test_counts_add_up_and_a_late_one_counts_too() -> None:
    support = served(record_of([("a", 3, 4), ("b", 1, 4), ("a", 2, 1)], SCALES["counts"]), SCALES["counts"])
    assert dict(zip(support.rows.tolist(), support.values.tolist(), strict=True)) == {0: 5.0, 1: 1.0}


def test_a_full_record_drops_the_oldest_by_time() -> None:
    record = record_of([("a", 9, 4), ("b", 9, 0), ("c", 9, 2)], SCALES["ratings"], max_support=2)
    assert (record.events.item_ids, record.seen) == (("a", "c"), ("b",))


def test_a_late_event_beyond_a_full_record_is_only_seen() -> None:
    record = record_of([("a", 9, 4), ("b", 9, 3), ("c", 9, 0)], SCALES["ratings"], max_support=2)
    assert (record.events.item_ids, record.seen) == (("a", "b"), ("c",))


@pytest.mark.parametrize(("value", "expected"), [(1.0, 2.0), (4.0, 8.0), (5.0, 10.0)])
def test_an_event_keeps_the_scale_that_it_came_in(value: float, expected: float) -> None:
    stars, ten = scale_of("ratings", 1.0, 5.0, 4.0), scale_of("ratings", 2.0, 10.0, 8.0)
    record = append(EMPTY, Events.of([Event("a", value, 0.0, 1, stars)]), 10).record
    assert served(record, ten).values.tolist() == [pytest.approx(expected)]
    assert served(record, stars).values.tolist() == [value]
    mixed = append(record, Events.of([Event("b", 10.0, 1.0, 2, ten)]), 10).record
    assert served(mixed, ten).values.tolist() == [pytest.approx(expected), 10.0]
    assert served(mixed, stars).values.tolist() == [value, 5.0]


def test_an_event_without_a_value_on_the_scale_is_not_in_the_support() -> None:
    stars, counts = SCALES["ratings"], SCALES["counts"]
    record = append(EMPTY, Events.of([Event("a", 1.0, 0.0, 1, stars), Event("b", 9.0, 1.0, 2, stars)]), 10).record
    assert served(record, counts).rows.tolist() == [1]
    disliked = append(EMPTY, Events.of([Event("a", 1.0, 0.0, 1, stars)]), 10).record
    assert not served(disliked, counts).shots


typed_logs = st.lists(st.tuples(st.sampled_from(ITEMS[:3]), st.integers(1, 9), kinds), min_size=1, max_size=12)


@given(log=typed_logs, data=st.data())
def test_counts_add_up_with_other_events_between_them(log: list[tuple[str, int, Kind]], data: st.DataObject) -> None:
    """As with bundles of counts, ratings and counts again, live one after another."""
    events = [Event(item, float(value), day * DAY_S, day, SCALES[kind]) for day, (item, value, kind) in enumerate(log)]
    record = EMPTY
    for event in data.draw(st.permutations(events)):
        record = append(record, Events.of([event]), 100).record
    on_counts, on_ratings = (record.events.values_on(SCALES[kind]).tolist() for kind in ("counts", "ratings"))
    for item, count, rating in zip(record.events.item_ids, on_counts, on_ratings, strict=True):
        about = [event for event in events if event.item_id == item]
        sums = sum(event.value for event in about if event.scale == SCALES["counts"])
        latest, scale = about[-1], about[-1].scale or SCALES["counts"]
        liked = scale.kind != "counts" and latest.value >= scale.liked
        np.testing.assert_equal(count, sums + liked if sums or liked else np.nan)
        assert rating == latest.value or scale.kind != "ratings"


def test_events_from_before_scales_were_kept_take_the_scale_of_the_next_batch() -> None:
    record = append(EMPTY, Events.of([Event("a", 3.0, 0.0, 1)]), 10).record
    counts = SCALES["counts"]
    later = append(record, Events.of([Event("a", 2.0, 1.0, 2, counts)]), 10).record
    assert later.events.scales == (counts,)
    assert served(later, counts).values.tolist() == [5.0]


def test_the_part_of_a_sum_from_lost_events_outlives_forgetting() -> None:
    counts = SCALES["counts"]
    batch = Events.of([Event("a", float(value), float(value), value, counts) for value in (1, 2, 4, 8)])
    record, archived = (appended := append(EMPTY, batch, 10)).record, appended.archived
    forgotten = forget(record, archived[1:], 4, 10)  # the first event is lost, the third is forgotten
    assert forgotten is not None
    assert forgotten.record.events.values_on(counts).tolist() == [1.0 + 2.0 + 8.0]
