from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import scale_of
from service.core.values import Departed, Event
from service.errors import RecordDamaged
from service.stores.records.archive import decode_older, encode_departed

STARS = scale_of("ratings", 1.0, 5.0, 4.0)

departed = st.builds(
    lambda place, *columns: Departed(place, Event(*columns)),
    st.integers(0, 2**15 - 1),
    st.text(max_size=12),
    st.floats(width=32, allow_nan=False),
    st.integers(0, 2**32 - 1).map(float),
    st.integers(0, 2**64 - 1),
    st.sampled_from([None, STARS, scale_of("counts", 1.0, 1e6, 1.0)]),
)


@given(st.lists(departed, max_size=5))
def test_older_events_survive_their_bytes(events: list[Departed]) -> None:
    assert decode_older(map(encode_departed, events)) == tuple(events)


@given(departed, st.data())
def test_altered_and_cut_entries_are_refused(event: Departed, data: st.DataObject) -> None:
    entry = bytearray(encode_departed(event))
    cut = bytes(entry[: data.draw(st.integers(0, len(entry) - 1))])
    entry[data.draw(st.integers(0, len(entry) - 1))] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(entry), cut):
        with pytest.raises(RecordDamaged, match="older event"):
            decode_older([damaged])


def test_an_older_event_takes_sixty_bytes() -> None:
    assert len(encode_departed(Departed(0, Event("tt0000001", 4.0, 1.7e9, 2**40 - 1, STARS)))) < 60


def test_an_entry_from_before_scales_were_kept_is_still_read() -> None:
    """Bytes that the first format wrote."""
    entry = bytes.fromhex("050000f15365000080400700000000000000c3a903f067f6")
    assert decode_older([entry]) == (Departed(5, Event("é", 4.0, 1.7e9, 7)),)
