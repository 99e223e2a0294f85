"""Forgetting an event equals never having stored it, at any position in the history."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import scale_of
from service.core.history import DIGEST_MASK, append, arrivals, digest_name, event_digest, forget
from service.core.values import EMPTY, Archive, Event, Events, UserRecord

Batches = list[list[Event]]

STARS, COUNTS = scale_of("ratings", 1.0, 5.0, 4.0), scale_of("counts", 1.0, 9.0, 1.0)

# Few times, so that simultaneous and late events are common.
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
    """Batches of events with distinct digests, and a limit that many batches exceed."""
    batches = draw(st.lists(st.lists(events, min_size=1, max_size=5), min_size=1, max_size=8))
    digests = iter(range(100))
    numbered = [[event._replace(digest=next(digests)) for event in batch] for batch in batches]
    return numbered, draw(st.integers(1, 4))


def grown(
    batches: Batches, max_support: int, record: UserRecord = EMPTY, archive: Archive = ()
) -> tuple[UserRecord, Archive]:
    for batch in batches:
        appended = append(record, Events.of(batch), max_support)
        record, archive = appended.record, archive + appended.archived
    return record, archive


def without(batches: Batches, digest: int) -> Batches:
    return [[event for event in batch if event.digest != digest] for batch in batches]


def content(record: UserRecord) -> tuple[object, ...]:
    """A record without its revision."""
    return record.events.to_list(), record.retired.tolist(), record.seen, record.state, record.attributes, record.sums


@given(histories(), st.data())
def test_forgetting_an_event_equals_never_having_stored_it(history: tuple[Batches, int], data: st.DataObject) -> None:
    batches, max_support = history
    digest = data.draw(st.sampled_from([event.digest for batch in batches for event in batch]))
    record, archive = grown(batches, max_support)
    forgotten = forget(record, archive, digest, max_support)
    assert forgotten is not None
    expected, expected_archive = grown(without(batches, digest), max_support)
    assert content(forgotten.record) == content(expected)
    assert forgotten.archive == expected_archive
    assert forgotten.record.revision == record.revision + 1


@given(histories(), st.data())
def test_later_events_are_appended_as_if_the_forgotten_one_had_never_been_stored(
    history: tuple[Batches, int], data: st.DataObject
) -> None:
    batches, max_support = history
    cut = data.draw(st.integers(1, len(batches)))
    digest = data.draw(st.sampled_from([event.digest for batch in batches[:cut] for event in batch]))
    forgotten = forget(*grown(batches[:cut], max_support), digest, max_support)
    assert forgotten is not None
    record, archive = grown(batches[cut:], max_support, forgotten.record, forgotten.archive)
    expected, expected_archive = grown(without(batches, digest), max_support)
    assert (content(record), archive) == (content(expected), expected_archive)


@given(histories())
def test_forgetting_all_events_one_by_one_empties_the_record(history: tuple[Batches, int]) -> None:
    batches, max_support = history
    record, archive = grown(batches, max_support)
    for event in arrivals(record, archive):
        forgotten = forget(record, archive, event.digest, max_support)
        assert forgotten is not None
        record, archive = forgotten
    assert record.is_empty
    assert archive == ()


@given(histories())
def test_every_event_is_listed_in_order_of_arrival(history: tuple[Batches, int]) -> None:
    batches, max_support = history
    assert arrivals(*grown(batches, max_support)) == [event for batch in batches for event in batch]


@given(histories())
def test_the_size_of_batches_affects_only_the_revision(history: tuple[Batches, int]) -> None:
    batches, max_support = history
    whole = [event for batch in batches for event in batch]
    (at_once, archive), (one_by_one, archive_one_by_one) = (
        grown(cut, max_support) for cut in ([whole], [[event] for event in whole])
    )
    assert (content(at_once), archive) == (content(one_by_one), archive_one_by_one)


def test_a_replaced_event_is_back_when_the_newer_one_is_forgotten() -> None:
    record, archive = grown([[Event("a", 5.0, 1.0, 1), Event("b", 3.0, 2.0, 2), Event("a", 1.0, 3.0, 3)]], 10)
    forgotten = forget(record, archive, 3, 10)
    assert forgotten is not None
    assert forgotten.record.events.to_list() == [Event("a", 5.0, 1.0, 1), Event("b", 3.0, 2.0, 2)]


def test_an_unknown_event_cannot_be_forgotten() -> None:
    assert forget(*grown([[Event("a", 5.0, 1.0, 1)]], 10), 2, 10) is None


def test_a_forgotten_event_may_be_sent_again() -> None:
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


def test_without_an_archive_the_items_stay_seen() -> None:
    """Records that are older than archives have none."""
    record, _ = grown([[Event("a", 1.0, 1.0, 1), Event("b", 1.0, 2.0, 2), Event("c", 1.0, 3.0, 3)]], 1)
    forgotten = forget(record, (), 3, 1)
    assert forgotten is not None
    assert (forgotten.record.seen, forgotten.record.events.item_ids) == (("a", "b"), ())
    assert forget(record, (), 2, 1) is None


@given(st.integers(0, DIGEST_MASK))
def test_the_name_of_a_digest_is_an_event_id_with_that_digest(digest: int) -> None:
    assert event_digest(digest_name(digest)) == digest


def test_a_lineage_stays_while_the_version_grows() -> None:
    record, _ = grown([[Event("a", 1.0, 1.0, 1)]], 1)
    first = record.with_lineage(7)
    assert (first.version, first.revision >> 32) == (1, 7)
    later = append(first, Events.of([Event("b", 1.0, 1.0, 2)]), 1).record
    assert (later.version, later.revision >> 32) == (2, 7)
    assert np.uint64(first.revision) != np.uint64(record.revision)
