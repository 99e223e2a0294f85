"""How a user's history grows and shrinks: one event per item, duplicates once, a bounded window, no item forgotten.

A record is a function of the accepted events in their order of arrival, whatever batches they came in. So an event is
forgotten by a replay of the others, and the result is the record that would exist without it.

The record keeps its events in their order of arrival. Which event about an item stands, and which one leaves a full
record, is decided by the time of the events, by the rule of ``model_store.bundle.scale`` that training follows too.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from model_store.bundle import Scale, Value
from service.core.values import Departed, Event, Events, Older, UserRecord

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
    """Append a batch of events, all on one scale, in their order of arrival.

    Of several events about one item the latest by time stands, whichever arrives first; the values of counts add up.
    Beyond ``max_support`` events the oldest by time is dropped to ``seen``.

    Keys of replaced and dropped events are remembered too, the last ``max_support`` of them: so an event that
    is sent again within the next ``max_support`` accepted ones is always recognised.

    ``attributes`` replace all that were known; None leaves them.
    """
    history = _History(record, max_support, scale=batch.scales[0] if batch.scales else None)
    accepted = tuple(place for place, event in enumerate(batch.rows()) if history.take(event))
    duplicates = len(batch) - len(accepted)
    new_attributes = record.attributes if attributes is None else attributes
    if not accepted and new_attributes == record.attributes:
        return Appended(record, (), duplicates)
    return Appended(history.record(record.revision + 1, new_attributes), accepted, duplicates, tuple(history.departed))


def arrivals(record: UserRecord, older: Older) -> list[Event]:
    """All events that are held, those in ``record`` and those that left it, in their order of arrival."""
    events = [event._replace(earlier=0.0) for event in record.events.rows()]
    for place, event in reversed(older):  # undone one by one, each takes back the place that it had
        events.insert(place, event)
    return events


def forget(record: UserRecord, older: Older, key: int, max_support: int) -> Forgotten | None:
    """The history without the event of ``key``, as if it had never come; None if it is not held.

    Where ``older`` lacks events that left the record earlier, their traces stay: their items as seen, their values in
    the sums of counts.
    """
    events = arrivals(record, older)
    remaining = [event for event in events if event.key != key]
    if len(remaining) == len(events):
        return None
    before = _before(record, events)
    history = _History(before, max_support, sums=_lost_sums(record, before, events, max_support))
    for event in remaining:
        history.take(event)
    return Forgotten(history.record(record.revision + 1, record.attributes), tuple(history.departed))


def _before(record: UserRecord, events: list[Event]) -> UserRecord:
    """The part of ``record`` that predates ``events``; empty if they are all that ever arrived."""
    items, keys = {event.item_id for event in events}, [event.key for event in events]
    retired = record.retired[~np.isin(record.retired, np.array(keys, dtype=np.uint64))]
    seen = tuple(item_id for item_id in record.seen if item_id not in items)
    return replace(record, events=Events.of([]), retired=retired, seen=seen, sums={})


def _lost_sums(record: UserRecord, before: UserRecord, events: list[Event], max_support: int) -> dict[str, float]:
    """By item, the part of the sums in ``record`` that comes from events which are no longer held."""
    if not (record.sums or record.events.earlier.any()):
        return {}
    replayed = _History(before, max_support)
    for event in events:
        replayed.take(event)
    held = replayed.sums()
    lost = {item_id: total - held.get(item_id, 0.0) for item_id, total in _sums(record).items()}
    return {item_id: sum_ for item_id, sum_ in lost.items() if sum_ > 0}


def _sums(record: UserRecord) -> dict[str, float]:
    """By item, the sum of the counts in all events about it."""
    return {**record.sums, **{event.item_id: event.counts for event in record.events.rows() if event.counts}}


class _History:
    """A record while events are added to it, one by one.

    Attributes:
        departed: the events that left it meanwhile.
    """

    def __init__(
        self,
        record: UserRecord,
        max_support: int,
        *,
        scale: Scale | None = None,
        sums: Mapping[str, float] | None = None,
    ) -> None:
        """Begin with ``record``.

        Args:
            record: what there is.
            max_support: events that it may hold.
            scale: given to events of the record that have none, since they were kept before scales were.
            sums: by item, the counts of events that are not held any more, beside those in ``record``.
        """
        self._max_support = max_support
        self._window = dict(zip(record.events.item_ids, record.events.rows(), strict=True))
        if scale is not None and None in record.events.scales:
            self._window = {item_id: _scaled(event, scale) for item_id, event in self._window.items()}
        self._sums = {**record.sums, **(sums or {})}
        self._seen = dict.fromkeys(record.seen)
        self._retired = deque(record.retired.tolist())
        self._keys = {*self._retired, *record.events.keys.tolist()}
        self.departed: list[Departed] = []

    def take(self, event: Event) -> bool:
        """Whether this event is new; if so, it is in now."""
        if event.key in self._keys:
            return False
        self._keys.add(event.key)
        item_id = event.item_id
        former = self._window.get(item_id)
        if former is None:
            earlier = self._sums.pop(item_id, 0.0)
            self._enter(event._replace(earlier=earlier) if earlier else event)
        elif event.timestamp >= former.timestamp:
            self._leave(list(self._window).index(item_id), former)
            self._enter(_with_value_of(event, former))
        else:  # a late event: it has come last and leaves at once
            self._window[item_id] = _with_value_of(former, event)
            self._leave(len(self._window), event)
        return True

    def sums(self) -> dict[str, float]:
        """By item, the sum of the counts in all events about it."""
        return _sums(self.record(0, {}))

    def record(self, revision: int, attributes: Mapping[str, Value]) -> UserRecord:
        """What it has become."""
        keys = np.array(self._retired, dtype=np.uint64)
        events = Events.of(list(self._window.values()))
        sums = {item_id: total for item_id, total in self._sums.items() if item_id in self._seen}
        return UserRecord(revision, events, keys, tuple(self._seen), None, attributes, sums)

    def _enter(self, event: Event) -> None:
        """Add an event as the last to arrive, and drop the oldest by time beyond the limit."""
        self._window.pop(event.item_id, None)
        self._window[event.item_id] = event
        self._seen.pop(event.item_id, None)
        while len(self._window) > self._max_support:
            oldest = min(self._window.values(), key=attrgetter("timestamp"))
            place = list(self._window).index(oldest.item_id)
            del self._window[oldest.item_id]
            self._leave(place, oldest)
            self._seen[oldest.item_id] = None
            if oldest.counts:
                self._sums[oldest.item_id] = oldest.counts

    def _leave(self, place: int, event: Event) -> None:
        self.departed.append(Departed(place, event._replace(earlier=0.0) if event.earlier else event))
        self._retired.append(event.key)
        while len(self._retired) > self._max_support:
            self._keys.discard(self._retired.popleft())


def _with_value_of(event: Event, other: Event) -> Event:
    """``event``, with the counts of ``other`` about the same item, whether or not ``event`` is a count itself."""
    return event._replace(earlier=event.earlier + other.counts) if other.counts else event


def _scaled(event: Event, scale: Scale) -> Event:
    return event._replace(scale=scale) if event.scale is None else event
