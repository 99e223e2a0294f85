"""Clients that resend feedback from a queue until it is acknowledged, and the events stored at the end."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import httpx

from service.core.history import digest_name, event_digest

Event = dict[str, Any]
Show = Callable[[int, int], None]
PATIENCE_S = 90.0  # longest time without progress
BACK_OFF_S = 0.02


class Progress:
    """Events acknowledged so far, of all clients."""

    def __init__(self, show: Show = lambda _done, _of: None) -> None:
        self.acknowledged: list[tuple[str, str]] = []
        self.refused = 0
        self._show, self._lock = show, threading.Lock()

    def acknowledge(self, user: str, events: Sequence[Event]) -> None:
        with self._lock:
            self.acknowledged += [(user, event["event_id"]) for event in events]

    def refuse(self) -> None:
        with self._lock:
            self.refused += 1

    def wait_for(self, count: int, of: int) -> None:
        before, since = -1, time.monotonic()
        while (now := len(self.acknowledged)) < count:
            if now != before:
                before, since = now, time.monotonic()
                self._show(now, of)
            assert time.monotonic() - since < PATIENCE_S, f"{now} of {count} acknowledged, expected all"
            time.sleep(0.005)


def deliver(client: httpx.Client, user: str, events: Sequence[Event], progress: Progress) -> dict[str, Any]:
    """Send until acknowledged, at most for ``PATIENCE_S`` without success."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            answer = client.post("/feedback", json={"user_id": user, "events": events})
            if answer.status_code == 200:
                progress.acknowledge(user, events)
                receipt: dict[str, Any] = answer.json()
                return receipt
            assert answer.status_code == 503, answer.text
        progress.refuse()
        time.sleep(BACK_OFF_S)
    raise AssertionError(f"not acknowledged within {PATIENCE_S:g} s")


def made_events(rng: random.Random, count: int, prefix: str) -> Iterator[Event]:
    """Events with ids, most of them about items of other events."""
    for number in range(count):
        item_id = f"g{rng.randrange(8)}-{rng.randrange(30)}"
        yield {
            "item_id": item_id,
            "value": rng.randint(1, 5),
            "timestamp": 1.7e9 + number,
            "event_id": f"{prefix}-{number}",
        }


def batched(events: Iterable[Event], rng: random.Random, most: int) -> Iterator[list[Event]]:
    events = list(events)
    while events:
        size = rng.randint(1, most)
        yield events[:size]
        events = events[size:]


def kept_events(client: httpx.Client, users: Iterable[str]) -> Counter[tuple[str, str]]:
    """Number of stored copies by user and name of the event's digest."""
    kept: Counter[tuple[str, str]] = Counter()
    for user in users:
        answer = client.get(f"/users/{user}")
        assert answer.status_code == 200, answer.text
        kept.update((user, event["event_id"]) for event in answer.json()["events"])
    return kept


def by_key(acknowledged: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(user, digest_name(event_digest(event_id))) for user, event_id in acknowledged}
