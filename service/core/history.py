"""How a user's history grows and shrinks: one event an item, duplicates once, a bounded window, no item forgotten.

What a record says is a function of the events accepted, in their order, whatever batches they came in: so an event
is forgotten by replaying the others, and what is left is what would be there without it.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from model_store.bundle import Value
from service.core.values import Departed, Events, Older, Row, UserRecord

# A record knows at most 512 keys, so a new event is taken for an old one once in 2⁴⁰ / 512, two thousand million times.
KEY_BYTES = 5
KEY = (1 << 8 * KEY_BYTES) - 1  # all bits of one
DIGEST_BYTES = 8  # records of former formats hold all of them
_KEY_NAME = re.compile(r"key-([0-9a-f]{16})")


class Appended(NamedTuple):
    """A longer history.

    Attributes:
        record: the new record without a state, or the old one as it was if nothing in it changed.
        accepted: places, in the batch, of the events that counted.
        duplicates: number of events that had been accepted before.
        departed: the events that left the record.
    """

    record: UserRecord
    accepted: tuple[int, ...]
    duplicates: int
    departed: Older = ()


class Forgotten(NamedTuple):
    """A history without one event: the new record without a state, and all that left it."""

    record: UserRecord
    older: Older


def event_key(event_id: str) -> int:
    """Key of an event id: 40 bits of its BLAKE2b, too many for two of a user's to meet.

    Ids themselves are not kept. An event whose id nobody has is named by its key, see :func:`key_name`.
    """
    named = _KEY_NAME.fullmatch(event_id)
    if named:
        return int(named[1], 16) & KEY
    digest = hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
    return int.from_bytes(digest, "little") & KEY


def key_name(key: int) -> str:
    """The event id that has this key and says so: ``event_key(key_name(key)) == key``."""
    return f"key-{key:016x}"


def append(
    record: UserRecord, batch: Events, max_support: int, attributes: Mapping[str, Value] | None = None
) -> Appended:
    """Append a batch in its order of arrival: what comes last is most recent, whatever its timestamp.

    An event about an item that has one already replaces it (as in training, where the last event of a user
    and an item wins) and becomes the most recent. Beyond ``max_support`` events the oldest is dropped to
    ``seen``.

    Keys of replaced and dropped events are remembered too, the last ``max_support`` of them: so an event that
    is sent again within the next ``max_support`` accepted ones is always known.

    ``attributes`` replace all that were known; None leaves them.
    """
    history = _History(record, max_support)
    accepted = tuple(place for place, row in enumerate(batch.rows()) if history.take(row))
    duplicates = len(batch) - len(accepted)
    known_of = record.attributes if attributes is None else attributes
    if not accepted and known_of == record.attributes:
        return Appended(record, (), duplicates)
    return Appended(history.record(record.revision + 1, known_of), accepted, duplicates, tuple(history.departed))


def arrivals(record: UserRecord, older: Older) -> list[Row]:
    """Every event that is held, those in ``record`` and those that left it, in their order of arrival."""
    rows = record.events.rows()
    for place, row in reversed(older):  # undone one by one, each takes back the place that it had
        rows.insert(place, row)
    return rows


def forget(record: UserRecord, older: Older, key: int, max_support: int) -> Forgotten | None:
    """The history as it would be if the event with ``key`` had never come, or None if it is not held.

    Where ``older`` is not all that ever left the record, what the lost events left behind stays: the items as seen.
    """
    rows = arrivals(record, older)
    others = [row for row in rows if row[-1] != key]
    if len(others) == len(rows):
        return None
    history = _History(_before(record, rows), max_support)
    for row in others:
        history.take(row)
    return Forgotten(history.record(record.revision + 1, record.attributes), tuple(history.departed))


def _before(record: UserRecord, rows: list[Row]) -> UserRecord:
    """What ``record`` knows from before the first of ``rows``: nothing, if they are all that ever came."""
    items, keys = {row[0] for row in rows}, [row[-1] for row in rows]
    retired = record.retired[~np.isin(record.retired, np.array(keys, dtype=np.uint64))]
    seen = tuple(item_id for item_id in record.seen if item_id not in items)
    return replace(record, events=Events.of([]), retired=retired, seen=seen)


class _History:
    """A record while events are added to it, one by one.

    Attributes:
        departed: the events that left it meanwhile.
    """

    def __init__(self, record: UserRecord, max_support: int) -> None:
        self._max_support = max_support
        self._window = {row[0]: row for row in record.events.rows()}
        self._seen = dict.fromkeys(record.seen)
        self._retired = deque(record.retired.tolist())
        self._known = {*self._retired, *record.events.keys.tolist()}
        self.departed: list[Departed] = []

    def take(self, row: Row) -> bool:
        """Whether this event is new; if so, it is in now."""
        item_id, *_, key = row
        if key in self._known:
            return False
        self._known.add(key)
        if item_id in self._window:
            self._leave(item_id, list(self._window).index(item_id))
        self._window[item_id] = row
        self._seen.pop(item_id, None)
        while len(self._window) > self._max_support:
            oldest = next(iter(self._window))
            self._leave(oldest, 0)
            self._seen[oldest] = None
        return True

    def record(self, revision: int, attributes: Mapping[str, Value]) -> UserRecord:
        """What it has become."""
        keys = np.array(self._retired, dtype=np.uint64)
        events = Events.of(list(self._window.values()))
        return UserRecord(revision, events, keys, tuple(self._seen), None, attributes)

    def _leave(self, item_id: str, place: int) -> None:
        row = self._window.pop(item_id)
        self.departed.append(Departed(place, row))
        self._retired.append(row[-1])
        while len(self._retired) > self._max_support:
            self._known.discard(self._retired.popleft())
