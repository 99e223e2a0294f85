"""Bytes of a user's record, and the time to encode and decode it.

    python -m loadtests.micro.codec

Users of items "i0" to "i59999" rated from 1 to 5, in sittings of events a minute apart, with days between.
*Retired* are the keys of events that newer ones replaced, *seen* the items beyond the last 256. The result goes to
standard output as JSON, a table to standard error.
"""

from __future__ import annotations

import json
import sys
import timeit
from typing import Any

import numpy as np

from loadtests.kit.machine import provenance
from model_store.bundle import scale_of
from service.core.history import DIGEST_MASK
from service.core.values import Event, Events, UserRecord, UserState
from service.stores.records.codec import decode_record, encode_record

ITEMS = 60_000
STATE_DIM = 65
STARS = scale_of("ratings", 1.0, 5.0, 4.0)
NOW = 1.7e9
SITTING = 0.7  # share of events that follow another within a minute or so
# Events, retired keys, seen items.
USERS = ((1, 0, 0), (20, 0, 0), (50, 0, 0), (256, 0, 0), (256, 256, 0), (256, 256, 1_000))
REPEATS = 200


def main() -> None:
    """Measure and print."""
    records = [_measured(*user) for user in USERS]
    print(json.dumps(provenance() | {"records": records}, indent=2))
    print(table(records), file=sys.stderr)


def table(records: list[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = ["| events | retired | seen | bytes | encode µs | decode µs |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row['events']} | {row['retired']} | {row['seen']} | {row['bytes']:,} "
        f"| {row['encode_us']:.0f} | {row['decode_us']:.0f} |"
        for row in records
    ]
    return "\n".join(lines)


def made_up_record(events: int, retired: int, seen: int, seed: int = 0) -> UserRecord:
    """A user's record of that many events, retired keys and seen items."""
    rng = np.random.default_rng(seed)
    pauses = np.where(rng.random(events) < SITTING, rng.exponential(60, events), rng.exponential(3 * 86_400, events))
    items = [f"i{row}" for row in rng.choice(ITEMS, events + seen, replace=False)]
    columns = (rng.integers(1, 6, events), NOW + np.cumsum(pauses), rng.integers(0, DIGEST_MASK, events))
    numbers = zip(*(column.tolist() for column in columns), strict=True)
    rows = [
        Event(item_id, value, time, key, STARS)
        for item_id, (value, time, key) in zip(items[:events], numbers, strict=True)
    ]
    state = UserState("0123456789ab", rng.standard_normal(STATE_DIM).astype(np.float32))
    keys = rng.integers(0, DIGEST_MASK, retired).astype(np.uint64)
    return UserRecord(events + retired, Events.of(rows), keys, tuple(items[events:]), state)


def _measured(events: int, retired: int, seen: int) -> dict[str, Any]:
    record = made_up_record(events, retired, seen)
    stored = encode_record(record)
    return {
        "events": events,
        "retired": retired,
        "seen": seen,
        "bytes": len(stored),
        "encode_us": round(min(timeit.repeat(lambda: encode_record(record), number=1, repeat=REPEATS)) * 1e6, 1),
        "decode_us": round(min(timeit.repeat(lambda: decode_record(stored), number=1, repeat=REPEATS)) * 1e6, 1),
    }


if __name__ == "__main__":
    main()
