"""The body of records with many events, format 5.

    digests u40 (S) · retired u40 (R) · state f32 (D)
    numbers u32 (N); the rest is deflated:
    seconds u32 (S) · values f32 (S) · ids u32 (N)      each as four planes: all first bytes, then all second ones …
    [item ids, seen, naming, bundle, attributes, scales, scale numbers, earlier, sums] as JSON, see ``scales``

``seconds`` are differences from one event to the next, modulo 2³². If every item id is one common prefix and a decimal
number ("i17", "tt0123456"), ``ids`` holds the numbers, those of the events first; item ids and seen are null, and
``naming`` is [prefix, digits], with digits 0 for numbers without leading zeros. Otherwise N is 0.

Format 3 ends after the attributes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.core.history import DIGEST_BYTES
from service.core.values import Events, UserRecord, UserState
from service.stores.records.scales import decode_scales, encode_scales

FORMATS = (3, 5)
MAX_DIGITS = 9  # below 2³²
LEVEL = 1  # 6 saves 1% and takes twice as long

_COUNT = struct.Struct("<I")
_U8, _U4, _F4 = np.dtype("<u8"), np.dtype("<u4"), np.dtype("<f4")


class Numbered(NamedTuple):
    """Item ids as one common prefix and one number per id.

    Attributes:
        prefix: the common prefix.
        digits: length of every number, leading zeros included; 0 for numbers without leading zeros.
        numbers: uint32 (N,).
    """

    prefix: str
    digits: int
    numbers: NDArray[np.uint32]

    @classmethod
    def of(cls, names: Sequence[str]) -> Numbered | None:
        """``names`` as numbers; None if the numbers would not give the same names back."""
        prefix = names[0].rstrip("0123456789") if names else ""
        ends = [name[len(prefix) :] for name in names]
        text = "".join(ends)
        lengths = {len(end) for end in ends}
        if not (text.isascii() and text.isdigit() and min(lengths) > 0 and max(lengths) <= MAX_DIGITS):
            return None
        digits = lengths.pop() if len(lengths) == 1 else 0
        numbered = cls(prefix, digits, np.array([int(end) for end in ends], dtype=_U4))
        return numbered if numbered.names() == list(names) else None

    def names(self) -> list[str]:
        """The item ids."""
        pattern = f"{self.prefix.replace('%', '%%')}%0{self.digits}d"  # no digits: "%00d" is "%d"
        return [pattern % number for number in self.numbers.tolist()]


def encode_compact(record: UserRecord) -> bytes:
    """The bytes of ``record``."""
    events, state = record.events, record.state
    vector, bundle = (state.vector, state.bundle) if state else ((), None)
    numbered = Numbered.of([*events.item_ids, *record.seen])
    names: tuple[Any, ...] = (events.item_ids, record.seen, None)
    if numbered:
        names = (None, None, (numbered.prefix, numbered.digits))
    tail = (*names, bundle, record.attributes, *encode_scales(record))
    columns = (
        _planes(np.diff(events.timestamps.astype(_U4), prepend=np.zeros(1, dtype=_U4))),
        _planes(events.values.astype(_F4)),
        _planes(numbered.numbers) if numbered else b"",
        orjson.dumps(tail, option=orjson.OPT_SORT_KEYS),
    )
    return b"".join(
        (
            _short_digests(events.digests),
            _short_digests(record.retired),
            np.asarray(vector, dtype=_F4).tobytes(),
            _COUNT.pack(len(numbered.numbers) if numbered else 0),
            zlib.compress(b"".join(columns), LEVEL),
        )
    )


def decode_compact(body: memoryview, revision: int, size: int, retired: int, state_dim: int) -> UserRecord:
    """The record of ``size`` events, ``retired`` digests and ``state_dim`` numbers.

    Raises:
        ValueError, struct.error, zlib.error: ``body`` is damaged.
    """
    digests = _long_digests(body, size + retired)
    start = DIGEST_BYTES * len(digests)
    vector: NDArray[np.float32] = np.frombuffer(body, _F4, state_dim, start)
    start += vector.nbytes
    (count,) = _COUNT.unpack_from(body, start)
    columns = memoryview(zlib.decompress(body[start + _COUNT.size :]))
    seconds = np.cumsum(_from_planes(columns, size, _U4), dtype=_U4)
    values = _from_planes(columns[4 * size :], size, _F4)
    numbers = _from_planes(columns[8 * size :], count, _U4)
    item_ids, seen, naming, bundle, attributes, *later = orjson.loads(columns[8 * size + 4 * count :])
    if naming is not None:
        prefix, digits = naming
        names = Numbered(prefix, digits, numbers).names()
        item_ids, seen = names[:size], names[size:]
    scales, earlier, sums = decode_scales(later, size)
    events = Events(tuple(item_ids), values, seconds.astype(np.float64), digests[:size], scales, earlier)
    state = None if bundle is None else UserState(bundle, vector)
    return UserRecord(revision, events, digests[size:], tuple(seen), state, attributes, sums)


def _planes(column: NDArray[Any]) -> bytes:
    return column.view(np.uint8).reshape(-1, column.itemsize).T.tobytes()


def _from_planes(stored: memoryview, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    planes = np.frombuffer(stored, np.uint8, count * dtype.itemsize).reshape(dtype.itemsize, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(count)


def _short_digests(digests: NDArray[np.uint64]) -> bytes:
    return digests.astype(_U8).view(np.uint8).reshape(-1, _U8.itemsize)[:, :DIGEST_BYTES].tobytes()


def _long_digests(stored: memoryview, count: int) -> NDArray[np.uint64]:
    digests = np.zeros((count, _U8.itemsize), dtype=np.uint8)
    digests[:, :DIGEST_BYTES] = np.frombuffer(stored, np.uint8, count * DIGEST_BYTES).reshape(count, DIGEST_BYTES)
    return digests.view(_U8).reshape(count)
