"""Forgetting one event equals never having had it, wherever in the history it was."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import scale_of
from service.core.history import KEY, append, arrivals, event_key, forget, key_name
from service.core.values import EMPTY, Event, Events, Older, UserRecord

Batches = list[list[Event]]

STARS, COUNTS = scale_of("ratings", 1.0, 5.0, 4.0), scale_of("counts", 1.0, 9.0, 1.0)

# Few times, so that events of one time and late ones are common.
events = st.builds(
    Event,
    st.sampled_from("abcdef"),
    st.sampled_from([1.0, 2.5, 5.0]),
    st.integers(0, 5).map(float),
    st.just(0),
    st.sampled_from([STARS, COUNTS]),
    st.just(0.0),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Batches, int]:
    """Batches of events whose keys differ, and a limit that many of them are beyond."""
    batches = draw(st.lists(st.lists(events, min_size=1, max_size=5), min_size=1, max_size=8))
    keys = iter(range(100))
    numbered = [[event._replace(key=next(keys)) for event in batch] for batch in batches]
    return numbered, draw(st.integers(1, 4))


def grown(
    batches: Batches, max_support: int, record: UserRecord = EMPTY, older: Older = ()
) -> tuple[UserRecord, Older]:
    for batch in batches:
        appended = append(record, Events.of(batch), max_support)
        record, older = appended.record, older + appended.departed
    return record, older


def without(batches: Batches, key: int) -> Batches:
    return [[event for event in batch if event.key != key] for batch in batches]


def said(record: UserRecord) -> tuple[object, ...]:
    """Everything in a record but how many changes made it."""
    return record.events.rows(), record.retired.tolist(), record.seen, record.state, record.attributes, record.sums


@given(histories(), st.data())
def test_forgetting_an_event_equals_never_having_had_it(history: tuple[Batches, int], data: st.DataObject) -> None:
    batches, max_support = history
    key = data.draw(st.sampled_from([event.key for batch in batches for event in batch]))
    record, older = grown(batches, max_support)
    forgotten = forget(record, older, key, max_support)
    assert forgotten is not None
    expected, expected_older = grown(without(batches, key), max_support)
    assert said(forgotten.record) == said(expected)
    assert forgotten.older == expected_older
    assert forgotten.record.revision == record.revision + 1


@given(histories(), st.data())
def test_what_comes_after_forgetting_is_as_if_it_had_never_been(
    history: tuple[Batches, int], data: st.DataObject
) -> None:
    batches, max_support = history
    cut = data.draw(st.integers(1, len(batches)))
    key = data.draw(st.sampled_from([event.key for batch in batches[:cut] for event in batch]))
    forgotten = forget(*grown(batches[:cut], max_support), key, max_support)
    assert forgotten is not None
    record, older = grown(batches[cut:], max_support, forgotten.record, forgotten.older)
    expected, expected_older = grown(without(batches, key), max_support)
    assert (said(record), older) == (said(expected), expected_older)


@given(histories())
def test_forgetting_all_events_one_by_one_leaves_nothing(history: tuple[Batches, int]) -> None:
    batches, max_support = history
    record, older = grown(batches, max_support)
    for event in arrivals(record, older):
        forgotten = forget(record, older, event.key, max_support)
        assert forgotten is not None
        record, older = forgotten
    assert record.is_empty
    assert older == ()


@given(histories())
def test_every_event_that_ever_came_is_told_in_its_order(history: tuple[Batches, int]) -> None:
    batches, max_support = history
    assert arrivals(*grown(batches, max_support)) == [event for batch in batches for event in batch]


@given(histories())
def test_batches_do_not_matter_but_for_the_count_of_changes(history: tuple[Batches, int]) -> None:
    batches, max_support = history
    whole = [event for batch in batches for event in batch]
    (at_once, departed), (one_by_one, also) = (
        grown(cut, max_support) for cut in ([whole], [[event] for event in whole])
    )
    assert (said(at_once), departed) == (said(one_by_one), also)


def test_a_replaced_opinion_is_back_when_the_newer_one_is_forgotten() -> None:
    record, older = grown([[Event("a", 5.0, 1.0, 1), Event("b", 3.0, 2.0, 2), Event("a", 1.0, 3.0, 3)]], 10)
    forgotten = forget(record, older, 3, 10)
    assert forgotten is not None
    assert forgotten.record.events.rows() == [Event("a", 5.0, 1.0, 1), Event("b", 3.0, 2.0, 2)]


def test_an_event_nobody_sent_cannot_be_forgotten() -> None:
    assert forget(*grown([[Event("a", 5.0, 1.0, 1)]], 10), 2, 10) is None


def test_a_forgotten_event_may_come_again() -> None:
    event = Event("a", 5.0, 1.0, 1)
    forgotten = forget(*grown([[event]], 10), 1, 10)
    assert forgotten is not None
    assert append(forgotten.record, Events.of([event]), 10).accepted == (0,)


def test_attributes_stay_when_an_event_is_forgotten() -> None:
    record = append(EMPTY, Events.of([Event("a", 5.0, 1.0, 1)]), 10, {"age": 25.0}).record
    forgotten = forget(record, (), 1, 10)
    assert forgotten is not None
    assert forgotten.record.attributes == {"age": 25.0}
    assert not forgotten.record.is_empty


def test_where_older_events_are_lost_their_items_stay_seen() -> None:
    """As in a record that was written before older events were kept."""
    record, _ = grown([[Event("a", 1.0, 1.0, 1), Event("b", 1.0, 2.0, 2), Event("c", 1.0, 3.0, 3)]], 1)
    forgotten = forget(record, (), 3, 1)
    assert forgotten is not None
    assert (forgotten.record.seen, forgotten.record.events.item_ids) == (("a", "b"), ())
    assert forget(record, (), 2, 1) is None


@given(st.integers(0, KEY))
def test_a_key_has_a_name_that_is_an_event_id(key: int) -> None:
    assert event_key(key_name(key)) == key


def test_a_record_knows_which_revisions_are_its_own() -> None:
    record, _ = grown([[Event("a", 1.0, 1.0, 1)]], 1)
    begun = record.begun(7)
    assert (begun.version, begun.revision >> 32) == (1, 7)
    later = append(begun, Events.of([Event("b", 1.0, 1.0, 2)]), 1).record
    assert (later.version, later.revision >> 32) == (2, 7)
    assert np.uint64(begun.revision) != np.uint64(record.revision)
