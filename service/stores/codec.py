"""The bytes of a user's record, format 2, little-endian.

    revision u64 · format u16 · events u16 (S) · retired u16 (R) · state_dim u16 (D)
    keys u64 (S) · retired u64 (R) · timestamps u32 (S) · values f32 (S) · state f32 (D)
    [item ids, seen, bundle, attributes] as JSON
    CRC-32 u32 of all before it

The revision comes first, so that the store's script compares eight bytes and never parses the rest. Equal
records have equal bytes. Format 1, which is still read, had no attributes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from service.core.values import Events, UserRecord, UserState
from service.errors import RecordDamaged

FORMAT = 2
READABLE = (1, FORMAT)

_HEADER = struct.Struct("<Q4H")
_CRC = struct.Struct("<I")
_U8, _U4, _F4 = np.dtype("<u8"), np.dtype("<u4"), np.dtype("<f4")


def encode_revision(revision: int) -> bytes:
    """The first bytes of every record with this revision."""
    return revision.to_bytes(8, "little")


def encode_record(record: UserRecord) -> bytes:
    """The bytes of ``record``."""
    events, state = record.events, record.state
    vector, bundle = (state.vector, state.bundle) if state else ((), None)
    body = b"".join(
        (
            _HEADER.pack(record.revision, FORMAT, len(events), len(record.retired), len(vector)),
            events.keys.astype(_U8).tobytes(),
            record.retired.astype(_U8).tobytes(),
            events.timestamps.astype(_U4).tobytes(),
            events.values.astype(_F4).tobytes(),
            np.asarray(vector, dtype=_F4).tobytes(),
            orjson.dumps((events.item_ids, record.seen, bundle, record.attributes), option=orjson.OPT_SORT_KEYS),
        )
    )
    return body + _CRC.pack(zlib.crc32(body))


def decode_record(stored: bytes) -> UserRecord:
    """The record whose bytes these are; its arrays are read-only.

    Raises:
        RecordDamaged: cut short, altered, or of another format.
    """
    try:
        return _decode(stored)
    except (struct.error, ValueError) as exc:
        raise RecordDamaged(f"user record: {len(stored)} bytes, expected a whole record of format {FORMAT}") from exc


def encode_served(item_ids: Sequence[str]) -> bytes:
    """The bytes of a served list."""
    return orjson.dumps(item_ids)


def decode_served(stored: bytes) -> tuple[str, ...]:
    """The item ids of a served list; raises RecordDamaged if these bytes are none."""
    try:
        return tuple(orjson.loads(stored))
    except (ValueError, TypeError) as exc:
        raise RecordDamaged(f"served list: {len(stored)} bytes, expected a JSON array of item ids") from exc


def _decode(stored: bytes) -> UserRecord:
    revision, found, size, retired, state_dim = _HEADER.unpack_from(stored)
    if found not in READABLE:
        raise RecordDamaged(f"user record: format {found}, expected {FORMAT}")
    (checksum,) = _CRC.unpack_from(stored, len(stored) - _CRC.size)
    if checksum != zlib.crc32(memoryview(stored)[: -_CRC.size]):
        raise RecordDamaged(f"user record: {len(stored)} bytes do not match their checksum {checksum:08x}")
    start = _HEADER.size
    keys: NDArray[np.uint64] = np.frombuffer(stored, _U8, size + retired, start)
    start += keys.nbytes
    seconds = np.frombuffer(stored, _U4, size, start)
    start += seconds.nbytes
    floats: NDArray[np.float32] = np.frombuffer(stored, _F4, size + state_dim, start)
    start += floats.nbytes
    item_ids, seen, bundle, *attributes = orjson.loads(memoryview(stored)[start : -_CRC.size])
    events = Events(tuple(item_ids), floats[:size], seconds.astype(np.float64), keys[:size])
    state = None if bundle is None else UserState(bundle, floats[size:])
    return UserRecord(revision, events, keys[size:], tuple(seen), state, *attributes)
