"""Users written to the user store in bulk, as the same bytes that the service writes."""

from __future__ import annotations

import numpy as np
from redis import Redis

from model_store.bundle import Bundle
from service.core.support import support_of
from service.core.values import Events, UserRecord, UserState
from service.stores.records.codec import encode_record
from service.stores.redis.key_names import KeyNames

DISTINCT = 10_000  # records, which users share: enough variety without encoding millions
BATCH_USERS = 5_000
TTL_S = 365 * 86_400
NOW_S = 1_700_000_000


def user_id(number: int) -> str:
    """The id of a user in the wrk scripts."""
    return f"u{number}"


def write_users(redis: str, bundle: Bundle, count: int, *, events: int, first: int = 0, seed: int = 0) -> int:
    """Write the users ``first`` to ``count`` - 1, each with ``events`` events and the state adapted to them.

    Args:
        redis: address of the user store.
        bundle: supplies items and graphs.
        count: number of users in the store afterwards.
        events: events per user, on different items.
        first: number of users already in the store.
        seed: the users are a function of it.

    Returns:
        Mean size of a record in bytes.
    """
    rng = np.random.default_rng(seed)
    records = [_record(bundle, rng, events) for _ in range(min(DISTINCT, count - first))]
    keys = KeyNames()
    with Redis.from_url(redis) as client:
        for start in range(first, count, BATCH_USERS):
            pipeline = client.pipeline(transaction=False)
            for number in range(start, min(start + BATCH_USERS, count)):
                pipeline.set(keys.record(user_id(number)), records[number % len(records)], ex=TTL_S)
            pipeline.execute()
    return sum(map(len, records)) // max(len(records), 1)


def used_bytes(redis: str) -> int:
    """Memory that the user store reports for all its data."""
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
    support = support_of(history, rows, spec.scale, limits.max_support)
    (vector,) = bundle.runtime.adapt([support])
    state = UserState(bundle.version, vector)
    return encode_record(UserRecord(events, history, np.zeros(0, dtype=np.uint64), (), state))
