"""The bytes of the events that left a user's record: one entry per event, little-endian.

    place u16 · timestamp u32 · value f32 · key u64
    length of the scale u8 · scale as JSON [kind, low, high, liked]     only if the highest bit of place is set
    item id in UTF-8
    CRC-32 u32 of all before it

They stand in a list of their own beside the record, which no request for a list ever reads.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import orjson

from model_store.bundle import scale_of
from service.core.values import Departed, Event, Older
from service.errors import RecordDamaged

_ENTRY = struct.Struct("<HIfQ")
_CRC = struct.Struct("<I")
HAS_SCALE = 1 << 15  # in ``place``: no record has so many events


def encode_departed(departed: Departed) -> bytes:
    """The bytes of one entry."""
    item_id, value, timestamp, key, scale, _ = departed.event
    place, tail = departed.place, item_id.encode("utf-8", "surrogatepass")
    if scale is not None:
        text = orjson.dumps(tuple(scale))
        place, tail = place | HAS_SCALE, bytes((len(text),)) + text + tail
    body = _ENTRY.pack(place, int(timestamp), value, key) + tail
    return body + _CRC.pack(zlib.crc32(body))


def decode_older(entries: Iterable[bytes]) -> Older:
    """The events whose entries these are; raises RecordDamaged for one that is cut short or altered."""
    return tuple(map(_decode, entries))


def _decode(entry: bytes) -> Departed:
    body = entry[: -_CRC.size]
    if len(body) < _ENTRY.size or _CRC.pack(zlib.crc32(body)) != entry[-_CRC.size :]:
        raise RecordDamaged(f"older event: {len(entry)} bytes, expected an entry that matches its checksum")
    place, timestamp, value, key = _ENTRY.unpack_from(body)
    scale, start = None, _ENTRY.size
    if place & HAS_SCALE:
        text_start = start + 1
        start = text_start + body[start]
        place, scale = place ^ HAS_SCALE, scale_of(*orjson.loads(body[text_start:start]))
    item_id = body[start:].decode("utf-8", "surrogatepass")
    return Departed(place, Event(item_id, value, float(timestamp), key, scale))
