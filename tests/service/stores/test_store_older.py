from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.values import Departed
from service.errors import RecordDamaged
from service.stores.older import decode_older, encode_departed

departed = st.builds(
    lambda place, *row: Departed(place, row),
    st.integers(0, 2**16 - 1),
    st.text(max_size=12),
    st.floats(width=32, allow_nan=False),
    st.integers(0, 2**32 - 1).map(float),
    st.integers(0, 2**64 - 1),
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


def test_an_older_event_takes_thirty_bytes() -> None:
    assert len(encode_departed(Departed(0, ("tt0000001", 4.0, 1.7e9, 2**63)))) < 32
