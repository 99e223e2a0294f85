"""The bytes of a user's record, little-endian.

    revision u64 · format u16 · events u16 (S) · retired u16 (R) · state_dim u16 (D)
    body: few events as in ``plain``, many as in ``compact``
    CRC-32 u32 of all before it

The revision comes first, so that the store's script compares eight bytes and never parses the rest. Equal
records have equal bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import orjson

from service.core.values import UserRecord
from service.errors import RecordDamaged
from service.stores.records import compact, plain

# Fewer ids take at most a kilobyte uncompressed, and a fraction of the time.
COMPACT_FROM = 24

_HEADER = struct.Struct("<Q4H")
_CRC = struct.Struct("<I")
_DECODERS = {
    **dict.fromkeys(plain.FORMATS, plain.decode_plain),
    **dict.fromkeys(compact.FORMATS, compact.decode_compact),
}


def encode_revision(revision: int) -> bytes:
    """The first eight bytes of every record with this revision."""
    return revision.to_bytes(8, "little")


def encode_record(record: UserRecord) -> bytes:
    """The bytes of ``record``."""
    is_long = len(record.events) + len(record.retired) + len(record.seen) >= COMPACT_FROM
    module_formats, encode = (
        (compact.FORMATS, compact.encode_compact) if is_long else (plain.FORMATS, plain.encode_plain)
    )
    form = module_formats[-1]
    sizes = len(record.events), len(record.retired), len(record.state.vector) if record.state else 0
    body = _HEADER.pack(record.revision, form, *sizes) + encode(record)
    return body + _CRC.pack(zlib.crc32(body))


def decode_record(stored: bytes) -> UserRecord:
    """The record in ``stored``; its arrays are views of ``stored``, read-only, or copies.

    Raises:
        RecordDamaged: ``stored`` is cut short, altered, or of an unknown format.
    """
    try:
        return _decode(stored)
    except (struct.error, ValueError, TypeError, IndexError, zlib.error) as exc:
        raise RecordDamaged(f"user record: {len(stored)} bytes, expected a whole record of format 1 to 5") from exc


def encode_served(item_ids: Sequence[str]) -> bytes:
    """The bytes of a served list."""
    return orjson.dumps(item_ids)


def decode_served(stored: bytes) -> tuple[str, ...]:
    """The item ids of a served list; raises RecordDamaged unless ``stored`` is a JSON array."""
    try:
        return tuple(orjson.loads(stored))
    except (ValueError, TypeError) as exc:
        raise RecordDamaged(f"served list: {len(stored)} bytes, expected a JSON array of item ids") from exc


def _decode(stored: bytes) -> UserRecord:
    revision, form, *sizes = _HEADER.unpack_from(stored)
    if form not in _DECODERS:
        raise RecordDamaged(f"user record: format {form}, expected one of 1 to 5")
    body = memoryview(stored)[: -_CRC.size]
    (checksum,) = _CRC.unpack_from(stored, len(body))
    if checksum != zlib.crc32(body):
        raise RecordDamaged(f"user record: {len(stored)} bytes do not match their checksum {checksum:08x}")
    return _DECODERS[form](body[_HEADER.size :], revision, *sizes)
