"""Made-up records of users, as the service stores them.

Users rate items "i0" to "i59999" from 1 to 5, in sittings of events a minute apart, with days between.
"""

from __future__ import annotations

import numpy as np

from model_store.bundle import scale_of
from service.core.history import DIGEST_MASK
from service.core.values import Event, Events, UserRecord, UserState

ITEMS = 60_000
STATE_DIM = 65
STARS = scale_of("ratings", 1.0, 5.0, 4.0)
NOW = 1.7e9
SITTING = 0.7  # share of events that follow another within a minute or so


def made_up_record(events: int, retired: int, seen: int, seed: int = 0) -> UserRecord:
    """A record with numbers of events, of digests of replaced events, and of seen items without an event."""
    rng = np.random.default_rng(seed)
    pauses = np.where(rng.random(events) < SITTING, rng.exponential(60, events), rng.exponential(3 * 86_400, events))
    items = [f"i{row}" for row in rng.choice(ITEMS, events + seen, replace=False)]
    columns = (rng.integers(1, 6, events), NOW + np.cumsum(pauses), rng.integers(0, DIGEST_MASK, events))
    numbers = zip(*(column.tolist() for column in columns), strict=True)
    rows = [
        Event(item_id, value, time, digest, STARS)
        for item_id, (value, time, digest) in zip(items[:events], numbers, strict=True)
    ]
    state = UserState("0123456789ab", rng.standard_normal(STATE_DIM).astype(np.float32))
    digests = rng.integers(0, DIGEST_MASK, retired).astype(np.uint64)
    return UserRecord(events + retired, Events.of(rows), digests, tuple(items[events:]), state)
