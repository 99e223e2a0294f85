"""The body of records with few events, format 4.

digests u64 (S) · retired u64 (R) · timestamps u32 (S) · values f32 (S) · state f32 (D)
[item ids, seen, bundle, attributes, scales, scale numbers, earlier, sums] as JSON, the last four as in ``scales``

Format 2 ends after the attributes, format 1 before them.
"""

from __future__ import annotations

import numpy as np
import orjson
from numpy.typing import NDArray

from service.core.history import DIGEST_MASK
from service.core.values import Events, UserRecord, UserState
from service.stores.records.scales import decode_scales, encode_scales

FORMATS = (1, 2, 4)

_U8, _U4, _F4 = np.dtype("<u8"), np.dtype("<u4"), np.dtype("<f4")
_MASK = np.uint64(DIGEST_MASK)  # older records hold longer digests, with the same lower bytes


def encode_plain(record: UserRecord) -> bytes:
    """The bytes of ``record``."""
    events, state = record.events, record.state
    vector, bundle = (state.vector, state.bundle) if state else ((), None)
    return b"".join(
        (
            events.digests.astype(_U8).tobytes(),
            record.retired.astype(_U8).tobytes(),
            events.timestamps.astype(_U4).tobytes(),
            events.values.astype(_F4).tobytes(),
            np.asarray(vector, dtype=_F4).tobytes(),
            orjson.dumps(
                (events.item_ids, record.seen, bundle, record.attributes, *encode_scales(record)),
                option=orjson.OPT_SORT_KEYS,
            ),
        )
    )


def decode_plain(body: memoryview, revision: int, size: int, retired: int, state_dim: int) -> UserRecord:
    """The record of ``size`` events, ``retired`` digests and ``state_dim`` numbers; raises ValueError if damaged."""
    digests: NDArray[np.uint64] = np.frombuffer(body, _U8, size + retired) & _MASK
    start = digests.nbytes
    seconds = np.frombuffer(body, _U4, size, start)
    start += seconds.nbytes
    floats: NDArray[np.float32] = np.frombuffer(body, _F4, size + state_dim, start)
    start += floats.nbytes
    item_ids, seen, bundle, *later = orjson.loads(body[start:])
    scales, earlier, sums = decode_scales(later[1:], size)
    events = Events(tuple(item_ids), floats[:size], seconds.astype(np.float64), digests[:size], scales, earlier)
    state = None if bundle is None else UserState(bundle, floats[size:])
    return UserRecord(revision, events, digests[size:], tuple(seen), state, later[0] if later else {}, sums)
