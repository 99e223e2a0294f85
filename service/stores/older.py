"""The bytes of the events that left a user's record: one entry an event, little-endian.

    place u16 · timestamp u32 · value f32 · key u64
    item id in UTF-8
    CRC-32 u32 of all before it

They stand in a list of their own beside the record, which no request for a list ever reads.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from service.core.values import Departed, Older
from service.errors import RecordDamaged

_ENTRY = struct.Struct("<HIfQ")
_CRC = struct.Struct("<I")


def encode_departed(departed: Departed) -> bytes:
    """The bytes of one entry."""
    item_id, value, timestamp, key = departed.row
    body = _ENTRY.pack(departed.place, int(timestamp), value, key) + item_id.encode("utf-8", "surrogatepass")
    return body + _CRC.pack(zlib.crc32(body))


def decode_older(entries: Iterable[bytes]) -> Older:
    """The events whose entries these are; raises RecordDamaged for one that is cut short or altered."""
    return tuple(map(_decode, entries))


def _decode(entry: bytes) -> Departed:
    body = entry[: -_CRC.size]
    if len(body) < _ENTRY.size or _CRC.pack(zlib.crc32(body)) != entry[-_CRC.size :]:
        raise RecordDamaged(f"older event: {len(entry)} bytes, expected an entry that matches its checksum")
    place, timestamp, value, key = _ENTRY.unpack_from(body)
    return Departed(place, (body[_ENTRY.size :].decode("utf-8", "surrogatepass"), value, float(timestamp), key))
