"""Histories of users: appending events, duplicates, the window of the support, seen items."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.core.history import append, event_digest
from service.core.values import EMPTY, Event, Events, UserRecord, UserState


def events_of(*texts: str) -> Events:
    """Events from texts; "a1" is event 1 about item a."""
    return Events.of([Event(text[0], 1.0, 0.0, int(text[1:])) for text in texts])


def after(*batches: Events, max_support: int = 10) -> UserRecord:
    record = EMPTY
    for batch in batches:
        record = append(record, batch, max_support).record
    return record


def test_events_are_kept_in_their_order_of_arrival() -> None:
    first, second = Event("a", 1.0, 200.0, 1), Event("b", 2.0, 100.0, 2)
    assert after(Events.of([first, second])).events.to_list() == [first, second]


def test_every_accepted_batch_is_one_revision() -> None:
    assert after(events_of("a1", "b2"), events_of("c3")).revision == 2


def test_a_newer_event_about_an_item_replaces_the_older_and_is_most_recent() -> None:
    record = after(events_of("a1", "b2", "a3"))
    assert record.events.item_ids == ("b", "a")
    assert record.events.digests.tolist() == [2, 3]


def test_duplicates_count_once_within_a_batch_and_across() -> None:
    first = append(EMPTY, events_of("a1", "a1", "b2"), 10)
    assert (first.accepted, first.duplicates) == ((0, 2), 1)
    again = append(first.record, events_of("b2", "c3"), 10)
    assert (again.accepted, again.duplicates) == ((1,), 1)


def test_only_duplicates_leave_the_record_as_it_is() -> None:
    record = after(events_of("a1")).with_state(UserState("bundle", np.ones(2, dtype=np.float32)))
    assert append(record, events_of("a1"), 10) == (record, (), 1, ())


def test_a_replaced_event_sent_again_is_a_duplicate() -> None:
    record = after(events_of("a1"), events_of("a2"))
    assert append(record, events_of("a1"), 10).duplicates == 1


def test_a_dropped_event_sent_again_is_a_duplicate() -> None:
    record = after(events_of("a1", "b2", "c3"), max_support=2)
    assert append(record, events_of("a1"), 2).duplicates == 1


def test_items_beyond_the_window_stay_seen() -> None:
    record = after(events_of("a1", "b2", "c3", "d4"), max_support=2)
    assert (record.seen, record.events.item_ids) == (("a", "b"), ("c", "d"))


def test_a_seen_item_with_a_new_event_is_back_in_the_window() -> None:
    record = after(events_of("a1", "b2", "c3"), events_of("a4"), max_support=2)
    assert (record.seen, record.events.item_ids) == (("b",), ("c", "a"))


def test_a_new_event_makes_the_old_state_invalid() -> None:
    record = after(events_of("a1")).with_state(UserState("bundle", np.ones(2, dtype=np.float32)))
    assert append(record, events_of("b2"), 10).record.state is None


def test_attributes_replace_the_old_ones_and_make_the_old_state_invalid() -> None:
    record = after(events_of("a1")).with_state(UserState("bundle", np.ones(2, dtype=np.float32)))
    changed = append(record, events_of(), 10, {"age": 25.0}).record
    again = append(changed, events_of("b2"), 10, {"gender": "F"}).record
    assert (changed.revision, changed.attributes, changed.state) == (2, {"age": 25.0}, None)
    assert (again.revision, again.attributes, again.events.item_ids) == (3, {"gender": "F"}, ("a", "b"))


def test_events_alone_leave_the_attributes_and_an_empty_mapping_forgets_them() -> None:
    record = append(EMPTY, events_of(), 10, {"age": 25.0}).record
    assert append(record, events_of("a1"), 10).record.attributes == {"age": 25.0}
    assert append(record, events_of(), 10, {}).record.attributes == {}


def test_equal_attributes_change_nothing() -> None:
    record = append(EMPTY, events_of("a1"), 10, {"age": 25.0}).record
    assert append(record, events_of("a1"), 10, {"age": 25.0}) == (record, (), 1, ())


def test_fractions_of_a_second_are_dropped_before_adapting() -> None:
    assert Events.of([Event("a", 1.0, 1_700_000_000.9, 1)]).timestamps.tolist() == [1_700_000_000.0]


def test_a_digest_is_a_function_of_the_event_id() -> None:
    assert event_digest("click-1") == event_digest("click-1") != event_digest("click-2")


event_batches = st.lists(
    st.lists(
        st.builds(
            lambda item_id, digest: Event(item_id, 1.0, 0.0, digest), st.sampled_from("abcdefgh"), st.integers(0, 40)
        ),
        max_size=6,
    )
)


@given(event_batches, st.integers(1, 5))
def test_history_follows_its_laws(batches: list[list[Event]], max_support: int) -> None:
    record, accepted = EMPTY, []
    for batch in batches:
        appended = append(record, Events.of(batch), max_support)
        assert len(appended.accepted) + appended.duplicates == len(batch)
        accepted += [batch[index] for index in appended.accepted]
        record = appended.record
    window = list(record.events.item_ids)
    latest = list(dict.fromkeys(event.item_id for event in reversed(accepted)))[::-1]
    assert window == latest[-max_support:]
    assert sorted([*window, *record.seen]) == sorted(latest)
    recent = [event.digest for event in accepted][-max_support:]
    assert {*recent} <= {*record.events.digests.tolist(), *record.retired.tolist()}
    assert len(record.retired) <= max_support
