"""Size of a user's record in bytes, and the time to encode and decode it.

A record has events, the digests of *retired* events, which newer events replaced, and *seen* items beyond the last 256
events.
"""

from __future__ import annotations

import argparse
import timeit
from typing import Any

from loadtests.kit.cli import LoadTest, Result
from loadtests.kit.tables import markdown
from loadtests.worlds.records import made_up_record
from service.stores.records.codec import decode_record, encode_record

# Events, retired events, seen items.
USERS = ((1, 0, 0), (20, 0, 0), (50, 0, 0), (256, 0, 0), (256, 256, 0), (256, 256, 1_000))


def measure(options: argparse.Namespace) -> Result:
    """Measure records of several sizes."""
    return {"records": [_row(*user, options.repeats) for user in USERS]}


def table(result: Result) -> str:
    """The figures as a Markdown table."""
    rows = [
        [row["events"], row["retired"], row["seen"], f"{row['bytes']:,}", *_microseconds(row)]
        for row in result["records"]
    ]
    return markdown(["events", "retired", "seen", "bytes", "encode µs", "decode µs"], rows)


def _microseconds(row: dict[str, Any]) -> list[str]:
    return [f"{row['encode_us']:.0f}", f"{row['decode_us']:.0f}"]


def _row(events: int, retired: int, seen: int, repeats: int) -> dict[str, Any]:
    record = made_up_record(events, retired, seen)
    stored = encode_record(record)
    return {
        "events": events,
        "retired": retired,
        "seen": seen,
        "bytes": len(stored),
        "encode_us": round(min(timeit.repeat(lambda: encode_record(record), number=1, repeat=repeats)) * 1e6, 1),
        "decode_us": round(min(timeit.repeat(lambda: decode_record(stored), number=1, repeat=repeats)) * 1e6, 1),
    }


LOAD_TEST = LoadTest(measure, table, {"repeats": 200}, smoke={"repeats": 2})
