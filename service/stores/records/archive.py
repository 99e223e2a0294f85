"""The bytes of archived events: one entry per event, little-endian.

    position u16 · timestamp u32 · value f32 · digest u64
    length of the scale u8 · scale as JSON [kind, low, high, liked]     only if the highest bit of position is set
    item id in UTF-8
    CRC-32 u32 of all before it

The entries form a list beside the record. GET /recommend never reads it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import orjson

from model_store.bundle import scale_of
from service.core.values import Archive, ArchivedEvent, Event
from service.errors import RecordDamaged

_ENTRY = struct.Struct("<HIfQ")
_CRC = struct.Struct("<I")
HAS_SCALE = 1 << 15  # a bit of ``position`` that no real position reaches


def encode_archived(archived: ArchivedEvent) -> bytes:
    """The bytes of one entry."""
    item_id, value, timestamp, digest, scale, _ = archived.event
    position, tail = archived.position, item_id.encode("utf-8", "surrogatepass")
    if scale is not None:
        text = orjson.dumps(tuple(scale))
        position, tail = position | HAS_SCALE, bytes((len(text),)) + text + tail
    body = _ENTRY.pack(position, int(timestamp), value, digest) + tail
    return body + _CRC.pack(zlib.crc32(body))


def decode_archive(entries: Iterable[bytes]) -> Archive:
    """The events of ``entries``; raises RecordDamaged for an entry that is cut short or altered."""
    return tuple(map(_decode, entries))


def _decode(entry: bytes) -> ArchivedEvent:
    body = entry[: -_CRC.size]
    if len(body) < _ENTRY.size or _CRC.pack(zlib.crc32(body)) != entry[-_CRC.size :]:
        raise RecordDamaged(f"archived event: {len(entry)} bytes, expected an entry that matches its checksum")
    position, timestamp, value, digest = _ENTRY.unpack_from(body)
    scale, start = None, _ENTRY.size
    if position & HAS_SCALE:
        text_start = start + 1
        start = text_start + body[start]
        position, scale = position ^ HAS_SCALE, scale_of(*orjson.loads(body[text_start:start]))
    item_id = body[start:].decode("utf-8", "surrogatepass")
    return ArchivedEvent(position, Event(item_id, value, float(timestamp), digest, scale))
