from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.values import EMPTY, Events, UserRecord, UserState
from service.errors import RecordDamaged
from service.stores.codec import decode_record, decode_served, encode_record, encode_revision, encode_served

# Two events, one retired key, one seen item, a state of two numbers, as format 1 wrote them.
FORMAT_1 = (
    "0200000000000000010002000100020007000000000000000800000000000000030000000000000000f1536505f1536500008040"
    "0000803f0000003f000000c05b5b2261222c22c3a9225d2c5b226f6c64225d2c22303132333435363738396162225d476f6382"
)

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
keys = st.integers(0, 2**64 - 1)
rows = st.tuples(ids, st.floats(width=32, allow_nan=False), st.integers(0, 2**32 - 1), keys)
states = st.builds(
    lambda bundle, vector: UserState(bundle, np.array(vector, dtype=np.float32)),
    ids,
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=64),
)
records = st.builds(
    lambda revision, rows, retired, seen, state, attributes: UserRecord(
        revision, Events.of(rows), np.array(retired, dtype=np.uint64), tuple(seen), state, attributes
    ),
    st.integers(0, 2**64 - 1),
    st.lists(rows, max_size=30),
    st.lists(keys, max_size=30),
    st.lists(ids, max_size=30),
    st.none() | states,
    st.dictionaries(ids, ids | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(ids)),
)


def content(record: UserRecord) -> tuple[object, ...]:
    state = record.state and (record.state.bundle, record.state.vector.tobytes())
    return record.revision, record.events.rows(), record.retired.tolist(), record.seen, state, record.attributes


@given(records)
def test_a_record_survives_its_bytes(record: UserRecord) -> None:
    stored = encode_record(record)
    decoded = decode_record(stored)
    assert content(decoded) == content(record)
    assert encode_record(decoded) == stored
    assert stored.startswith(encode_revision(record.revision))


def test_decoded_columns_have_the_types_they_promise() -> None:
    record = decode_record(encode_record(UserRecord(1, Events.of([("a", 1, 2, 3)]), EMPTY.retired, (), None)))
    columns = (record.events.values, record.events.timestamps, record.events.keys, record.retired)
    assert [column.dtype for column in columns] == [np.float32, np.float64, np.uint64, np.uint64]


@given(records, st.data())
def test_cut_bytes_are_refused(record: UserRecord, data: st.DataObject) -> None:
    stored = encode_record(record)
    with pytest.raises(RecordDamaged):
        decode_record(stored[: data.draw(st.integers(0, len(stored) - 1))])


@given(records, st.data())
def test_altered_bytes_are_refused(record: UserRecord, data: st.DataObject) -> None:
    stored = bytearray(encode_record(record))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RecordDamaged):
        decode_record(bytes(stored))


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(stored: bytes) -> None:
    with pytest.raises(RecordDamaged):
        decode_record(stored)


def test_another_format_is_named() -> None:
    stored = bytearray(encode_record(EMPTY))
    stored[8] = 3
    with pytest.raises(RecordDamaged, match="format 3, expected 2"):
        decode_record(bytes(stored))


def test_equal_attributes_have_equal_bytes_in_any_order() -> None:
    one, other = ({"a": 1.0, "b": ["x"]}, {"b": ["x"], "a": 1.0})
    assert encode_record(replace(EMPTY, attributes=one)) == encode_record(replace(EMPTY, attributes=other))


def test_a_record_of_format_1_is_still_read() -> None:
    """Bytes that the first format wrote."""
    record = decode_record(bytes.fromhex(FORMAT_1))
    assert content(record) == (
        2,
        [("a", 4.0, 1.7e9, 7), ("é", 1.0, 1.7e9 + 5, 8)],
        [3],
        ("old",),
        ("0123456789ab", np.array([0.5, -2], dtype=np.float32).tobytes()),
        {},
    )


def test_a_user_of_twenty_events_takes_less_than_a_kilobyte() -> None:
    events = Events.of([(f"tt{number:07}", 4.0, 1.7e9 + number, 2**63 + number) for number in range(20)])
    state = UserState("0123456789ab", np.zeros(64, dtype=np.float32))
    assert len(encode_record(UserRecord(20, events, EMPTY.retired, (), state))) < 1024


@given(st.lists(ids))
def test_a_served_list_survives_its_bytes(item_ids: list[str]) -> None:
    assert decode_served(encode_served(item_ids)) == tuple(item_ids)


@pytest.mark.parametrize("stored", [b"", b"[", b"1", b"\xff"])
def test_a_damaged_served_list_is_refused(stored: bytes) -> None:
    with pytest.raises(RecordDamaged):
        decode_served(stored)
