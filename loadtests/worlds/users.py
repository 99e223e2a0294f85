"""Users written into a store of user state in bulk: the bytes that the service itself would have written."""

from __future__ import annotations

import numpy as np
from redis import Redis

from model_store.bundle import Bundle
from service.core.support import side_by_side, support_of
from service.core.values import Events, UserRecord, UserState
from service.stores.records.codec import encode_record
from service.stores.redis.key_names import KeyNames

DISTINCT = 10_000  # records to draw from: as many sizes and items as matter, without encoding millions
AT_ONCE = 5_000
TTL_S = 365 * 86_400
NOW_S = 1_700_000_000


def user_id(number: int) -> str:
    """The id that the wrk scripts ask for."""
    return f"u{number}"


def write_users(redis: str, bundle: Bundle, count: int, *, events: int, first: int = 0, seed: int = 0) -> int:
    """Write the users ``first`` to ``count`` - 1, each with ``events`` events and the state adapted from them.

    Args:
        redis: address of the store.
        bundle: whose items and graphs to use.
        count: users that are there afterwards.
        events: of each user, different items.
        first: users that are there already.
        seed: one seed gives the same users.

    Returns:
        Bytes of a record, the mean.
    """
    rng = np.random.default_rng(seed)
    records = [_record(bundle, rng, events) for _ in range(min(DISTINCT, count - first))]
    keys = KeyNames()
    with Redis.from_url(redis) as client:
        for start in range(first, count, AT_ONCE):
            pipeline = client.pipeline(transaction=False)
            for number in range(start, min(start + AT_ONCE, count)):
                pipeline.set(keys.record(user_id(number)), records[number % len(records)], ex=TTL_S)
            pipeline.execute()
    return sum(map(len, records)) // max(len(records), 1)


def used_bytes(redis: str) -> int:
    """Memory that the store says it uses for everything in it."""
    with Redis.from_url(redis) as client:
        return int(client.info("memory")["used_memory"])


def _record(bundle: Bundle, rng: np.random.Generator, events: int) -> bytes:
    spec, limits = bundle.manifest.feedback, bundle.manifest.limits
    rows = rng.choice(len(bundle.catalogue), events, replace=False)
    values = rng.uniform(spec.value_min, spec.value_max, events).astype(np.float32)
    times = np.sort(rng.integers(NOW_S - 90 * 86_400, NOW_S, events)).astype(np.float64)
    keys = rng.integers(0, 1 << 63, events, dtype=np.uint64)
    item_ids = tuple(bundle.catalogue.ids[row] for row in rows.tolist())
    history = Events(item_ids, values, times, keys, (spec.scale,) * events, np.zeros(events))
    support = side_by_side([support_of(history, rows, spec.scale, limits.max_support)])
    vectors = bundle.catalogue.vectors[support.rows]
    vector = bundle.graphs.adapt(vectors, support.values, support.ages, support.mask)[0]
    state = UserState(bundle.version, vector)
    return encode_record(UserRecord(events, history, np.zeros(0, dtype=np.uint64), (), state))
