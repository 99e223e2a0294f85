"""Records of users and served lists: their bytes, older formats, and refusal of damaged bytes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import scale_of
from service.core.values import EMPTY, Event, Events, UserRecord, UserState
from service.errors import RecordDamaged
from service.stores.records.codec import decode_record, decode_served, encode_record, encode_revision, encode_served

# Two events, one retired digest, one seen item, a state of two numbers, as written by format 1.
FORMAT_1 = (
    "0200000000000000010002000100020007000000000000000800000000000000030000000000000000f1536505f1536500008040"
    "0000803f0000003f000000c05b5b2261222c22c3a9225d2c5b226f6c64225d2c22303132333435363738396162225d476f6382"
)
# Two events, one with a longer digest than today's, and attributes, as written by the first version of format 2.
FORMAT_2 = (
    "0300000000000000020002000100020007000000000000000800000000000080030000000001000000f1536505f1536500008040"
    "0000c03f0000003f000000c05b5b2261222c22c3a9225d2c5b226f6c64225d2c22303132333435363738396162222c7b22616765"
    "223a32352e302c226c696b6573223a5b2278225d7d5dc1843b8c"
)

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
digests = st.integers(0, 2**40 - 1)
# Named like the items of most catalogues, with near misses: "i7", "i07", "%d7", "7".
numbered = st.builds("{}{}{}".format, st.sampled_from(["i", "i", "", "%d"]), st.sampled_from(["", "0"]), st.integers(0))
STARS = scale_of("ratings", 1.0, 5.0, 4.0)
scales = st.sampled_from([None, STARS, scale_of("ratings", -9.95, 10.65, 6.25), scale_of("counts", 1.0, 1e6, 1.0)])
events = st.builds(
    Event,
    ids | numbered,
    st.floats(width=32, allow_nan=False),
    st.integers(0, 2**32 - 1),
    digests,
    scales,
    st.just(0.0) | st.floats(0, 1e12),
)
states = st.builds(
    lambda bundle, vector: UserState(bundle, np.array(vector, dtype=np.float32)),
    ids,
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=64),
)
records = st.builds(
    lambda revision, events, retired, seen, state, attributes, sums: UserRecord(
        revision, Events.of(events), np.array(retired, dtype=np.uint64), tuple(seen), state, attributes, sums
    ),
    st.integers(0, 2**64 - 1),
    st.lists(events, max_size=30),
    st.lists(digests, max_size=30),
    st.lists(ids, max_size=30) | st.lists(numbered, max_size=30),
    st.none() | states,
    st.dictionaries(ids, ids | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(ids)),
    st.dictionaries(ids, st.floats(0, 1e12)),
)


def content(record: UserRecord) -> tuple[object, ...]:
    state = record.state and (record.state.bundle, record.state.vector.tobytes())
    parts = (record.events.to_list(), record.retired.tolist(), record.seen, state, record.attributes, record.sums)
    return record.revision, *parts


@given(records)
def test_a_record_survives_its_bytes(record: UserRecord) -> None:
    stored = encode_record(record)
    decoded = decode_record(stored)
    assert content(decoded) == content(record)
    assert encode_record(decoded) == stored
    assert stored.startswith(encode_revision(record.revision))


@pytest.mark.parametrize("form", ["i{}", "{}", "tt{:07}", "100%{}", "{:09}"])
def test_numbered_ids_survive_their_bytes(form: str) -> None:
    names = [form.format(number) for number in (7, 10, 0, 59_999, *range(100, 140))]
    events = Events.of([Event(name, 3.5, 1.7e9 - index, index) for index, name in enumerate(names[:-5])])
    record = UserRecord(1, events, EMPTY.retired, tuple(names[-5:]), None)
    assert content(decode_record(encode_record(record))) == content(record)


@pytest.mark.parametrize("count", [1, 20, 100])
def test_decoded_columns_have_the_documented_types(count: int) -> None:
    written = [Event(f"a{index}", 1.0, 2.0, index, STARS) for index in range(count)]
    record = decode_record(encode_record(UserRecord(1, Events.of(written), EMPTY.retired, (), None)))
    events = record.events
    columns = (events.values, events.timestamps, events.digests, events.earlier, record.retired)
    assert [column.dtype for column in columns] == [np.float32, np.float64, np.uint64, np.float64, np.uint64]
    assert events.scales == (STARS,) * count


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
    stored[8] = 6
    with pytest.raises(RecordDamaged, match="format 6, expected one of 1 to 5"):
        decode_record(bytes(stored))


def test_equal_attributes_have_equal_bytes_in_any_order() -> None:
    first, second = ({"a": 1.0, "b": ["x"]}, {"b": ["x"], "a": 1.0})
    assert encode_record(replace(EMPTY, attributes=first)) == encode_record(replace(EMPTY, attributes=second))


def test_a_record_of_format_1_is_still_read() -> None:
    """Bytes written by the first format."""
    record = decode_record(bytes.fromhex(FORMAT_1))
    assert content(record) == (
        2,
        [Event("a", 4.0, 1.7e9, 7), Event("é", 1.0, 1.7e9 + 5, 8)],
        [3],
        ("old",),
        ("0123456789ab", np.array([0.5, -2], dtype=np.float32).tobytes()),
        {},
        {},
    )


def test_a_record_of_format_2_is_still_read() -> None:
    """Bytes written by the first version of format 2, whose digests had eight bytes."""
    record = decode_record(bytes.fromhex(FORMAT_2))
    assert content(record) == (
        3,
        [Event("a", 4.0, 1.7e9, 7), Event("é", 1.5, 1.7e9 + 5, 8)],
        [3],
        ("old",),
        ("0123456789ab", np.array([0.5, -2], dtype=np.float32).tobytes()),
        {"age": 25.0, "likes": ["x"]},
        {},
    )


@pytest.mark.parametrize(("count", "most"), [(20, 1024), (256, 3072)])
def test_a_user_takes_a_kilobyte_at_20_events_and_three_at_256(count: int, most: int) -> None:
    rng = np.random.default_rng(0)
    pauses = np.where(rng.random(count) < 0.7, rng.exponential(60, count), rng.exponential(3 * 86_400, count))
    events = map(
        partial(Event, scale=STARS),
        [f"tt{number:07}" for number in rng.choice(60_000, count, replace=False)],
        rng.integers(1, 6, count).tolist(),
        (1.7e9 + np.cumsum(pauses)).tolist(),
        rng.integers(0, 2**40, count).tolist(),
    )
    state = UserState("0123456789ab", rng.standard_normal(65).astype(np.float32))
    assert len(encode_record(UserRecord(20, Events.of(list(events)), EMPTY.retired, (), state))) <= most


@given(st.lists(ids))
def test_a_served_list_survives_its_bytes(item_ids: list[str]) -> None:
    assert decode_served(encode_served(item_ids)) == tuple(item_ids)


@pytest.mark.parametrize("stored", [b"", b"[", b"1", b"\xff"])
def test_a_damaged_served_list_is_refused(stored: bytes) -> None:
    with pytest.raises(RecordDamaged):
        decode_served(stored)
