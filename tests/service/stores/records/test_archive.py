"""Archived events: their bytes, and refusal of damaged bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import scale_of
from service.core.values import ArchivedEvent, Event
from service.errors import RecordDamaged
from service.stores.records.archive import decode_archive, encode_archived

STARS = scale_of("ratings", 1.0, 5.0, 4.0)

archived_events = st.builds(
    lambda position, *columns: ArchivedEvent(position, Event(*columns)),
    st.integers(0, 2**15 - 1),
    st.text(max_size=12),
    st.floats(width=32, allow_nan=False),
    st.integers(0, 2**32 - 1).map(float),
    st.integers(0, 2**64 - 1),
    st.sampled_from([None, STARS, scale_of("counts", 1.0, 1e6, 1.0)]),
)


@given(st.lists(archived_events, max_size=5))
def test_archived_events_survive_their_bytes(events: list[ArchivedEvent]) -> None:
    assert decode_archive(map(encode_archived, events)) == tuple(events)


@given(archived_events, st.data())
def test_altered_and_cut_entries_are_refused(event: ArchivedEvent, data: st.DataObject) -> None:
    entry = bytearray(encode_archived(event))
    cut = bytes(entry[: data.draw(st.integers(0, len(entry) - 1))])
    entry[data.draw(st.integers(0, len(entry) - 1))] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(entry), cut):
        with pytest.raises(RecordDamaged, match="archived event"):
            decode_archive([damaged])


def test_an_archived_event_takes_at_most_sixty_bytes() -> None:
    assert len(encode_archived(ArchivedEvent(0, Event("tt0000001", 4.0, 1.7e9, 2**40 - 1, STARS)))) < 60


def test_an_entry_older_than_scales_is_still_read() -> None:
    """Bytes written by the first format."""
    entry = bytes.fromhex("050000f15365000080400700000000000000c3a903f067f6")
    assert decode_archive([entry]) == (ArchivedEvent(5, Event("é", 4.0, 1.7e9, 7)),)
