"""How a user's history grows and shrinks: one event per item, duplicates once, a bounded window, no item forgotten.

A record is a function of the accepted events in their order of arrival, whatever their batches. So an event is
forgotten by replaying the others, and the result is the record that would exist without it.

The record keeps its events in order of arrival. Event times decide which event about an item stands and which event
leaves a full record, by the rule of ``model_store.bundle.scale`` that training follows too.
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
from service.core.values import Archive, ArchivedEvent, Event, Events, UserRecord

# A record holds at most 512 digests, so a new event is mistaken for a duplicate once in 2⁴⁰ / 512, about 2·10⁹ times.
DIGEST_BYTES = 5
DIGEST_MASK = (1 << 8 * DIGEST_BYTES) - 1
HASH_BYTES = 8  # of BLAKE2b; records of older formats store all of them
_DIGEST_NAME = re.compile(r"key-([0-9a-f]{16})")


class Appended(NamedTuple):
    """A longer history.

    Attributes:
        record: the new record without a state, or the old one if nothing in it changed.
        accepted: indices, within the batch, of the events that counted.
        duplicates: number of events that had been accepted before.
        archived: the events removed from the record.
    """

    record: UserRecord
    accepted: tuple[int, ...]
    duplicates: int
    archived: Archive = ()


class Forgotten(NamedTuple):
    """A history without one event: the new record without a state, and its whole archive."""

    record: UserRecord
    archive: Archive


def event_digest(event_id: str) -> int:
    """Digest of an event id: 40 bits of its BLAKE2b, enough to tell one user's events apart.

    The store keeps digests instead of ids. :func:`digest_name` makes an event id from a digest.
    """
    match = _DIGEST_NAME.fullmatch(event_id)
    if match:
        return int(match[1], 16) & DIGEST_MASK
    digest = hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest()
    return int.from_bytes(digest, "little") & DIGEST_MASK


def digest_name(digest: int) -> str:
    """An event id with this digest: ``event_digest(digest_name(digest)) == digest``."""
    return f"key-{digest:016x}"


def append(
    record: UserRecord, batch: Events, max_support: int, attributes: Mapping[str, Value] | None = None
) -> Appended:
    """Append a batch of events, all on one scale, in their order of arrival.

    Of several events about one item the latest by time stands, whichever arrives first; the values of counts add up.
    Beyond ``max_support`` events the oldest by time is dropped to ``seen``.

    The digests of the last ``max_support`` replaced or dropped events are kept: an event sent again within the next
    ``max_support`` accepted ones is always recognised.

    ``attributes`` replace all existing ones; None leaves them.
    """
    history = _History(record, max_support, scale=batch.scales[0] if batch.scales else None)
    accepted = tuple(index for index, event in enumerate(batch.to_list()) if history.add(event))
    duplicates = len(batch) - len(accepted)
    new_attributes = record.attributes if attributes is None else attributes
    if not accepted and new_attributes == record.attributes:
        return Appended(record, (), duplicates)
    return Appended(history.record(record.revision + 1, new_attributes), accepted, duplicates, tuple(history.archived))


def arrivals(record: UserRecord, archive: Archive) -> list[Event]:
    """All stored events, those in ``record`` and those in ``archive``, in their order of arrival."""
    events = [event._replace(earlier=0.0) for event in record.events.to_list()]
    for position, event in reversed(archive):  # undo the removals, latest first: every event returns to its position
        events.insert(position, event)
    return events


def forget(record: UserRecord, archive: Archive, digest: int, max_support: int) -> Forgotten | None:
    """The history without the event of ``digest``, as if it had never arrived; None if no stored event has it.

    Events that left the record before archives existed, or beyond the archive's limit, leave traces: their items stay
    seen, and their values stay in the sums of counts.
    """
    events = arrivals(record, archive)
    remaining = [event for event in events if event.digest != digest]
    if len(remaining) == len(events):
        return None
    before = _before(record, events)
    history = _History(before, max_support, sums=_lost_sums(record, before, events, max_support))
    for event in remaining:
        history.add(event)
    return Forgotten(history.record(record.revision + 1, record.attributes), tuple(history.archived))


def _before(record: UserRecord, events: list[Event]) -> UserRecord:
    """The part of ``record`` that predates ``events``; empty if they are all that ever arrived."""
    items, digests = {event.item_id for event in events}, [event.digest for event in events]
    retired = record.retired[~np.isin(record.retired, np.array(digests, dtype=np.uint64))]
    seen = tuple(item_id for item_id in record.seen if item_id not in items)
    return replace(record, events=Events.of([]), retired=retired, seen=seen, sums={})


def _lost_sums(record: UserRecord, before: UserRecord, events: list[Event], max_support: int) -> dict[str, float]:
    """By item, the part of the sums in ``record`` that comes from events which are no longer stored."""
    if not (record.sums or record.events.earlier.any()):
        return {}
    replayed = _History(before, max_support)
    for event in events:
        replayed.add(event)
    stored = replayed.sums()
    lost = {item_id: total - stored.get(item_id, 0.0) for item_id, total in _sums(record).items()}
    return {item_id: sum_ for item_id, sum_ in lost.items() if sum_ > 0}


def _sums(record: UserRecord) -> dict[str, float]:
    """By item, the sum of the counts in all events about it."""
    return {**record.sums, **{event.item_id: event.counts for event in record.events.to_list() if event.counts}}


class _History:
    """A record while events are added to it, one by one.

    Attributes:
        archived: the events removed so far.
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
            record: the existing record.
            max_support: most events in the record.
            scale: scale of the existing events that have none, because they are older than scales.
            sums: by item, the counts of events that are no longer stored; they add to those in ``record``.
        """
        self._max_support = max_support
        self._window = dict(zip(record.events.item_ids, record.events.to_list(), strict=True))
        if scale is not None and None in record.events.scales:
            self._window = {item_id: _scaled(event, scale) for item_id, event in self._window.items()}
        self._sums = {**record.sums, **(sums or {})}
        self._seen = dict.fromkeys(record.seen)
        self._retired = deque(record.retired.tolist())
        self._digests = {*self._retired, *record.events.digests.tolist()}
        self.archived: list[ArchivedEvent] = []

    def add(self, event: Event) -> bool:
        """Add an event; return False for a duplicate."""
        if event.digest in self._digests:
            return False
        self._digests.add(event.digest)
        item_id = event.item_id
        former = self._window.get(item_id)
        if former is None:
            earlier = self._sums.pop(item_id, 0.0)
            self._append(event._replace(earlier=earlier) if earlier else event)
        elif event.timestamp >= former.timestamp:
            self._archive(list(self._window).index(item_id), former)
            self._append(_with_value_of(event, former))
        else:  # a late event: it arrived last and is archived at once
            self._window[item_id] = _with_value_of(former, event)
            self._archive(len(self._window), event)
        return True

    def sums(self) -> dict[str, float]:
        """By item, the sum of the counts in all events about it."""
        return _sums(self.record(0, {}))

    def record(self, revision: int, attributes: Mapping[str, Value]) -> UserRecord:
        """The record with all events added so far."""
        retired = np.array(self._retired, dtype=np.uint64)
        events = Events.of(list(self._window.values()))
        sums = {item_id: total for item_id, total in self._sums.items() if item_id in self._seen}
        return UserRecord(revision, events, retired, tuple(self._seen), None, attributes, sums)

    def _append(self, event: Event) -> None:
        """Append an event to the window, and drop the oldest by time beyond the limit."""
        self._window.pop(event.item_id, None)
        self._window[event.item_id] = event
        self._seen.pop(event.item_id, None)
        while len(self._window) > self._max_support:
            oldest = min(self._window.values(), key=attrgetter("timestamp"))
            position = list(self._window).index(oldest.item_id)
            del self._window[oldest.item_id]
            self._archive(position, oldest)
            self._seen[oldest.item_id] = None
            if oldest.counts:
                self._sums[oldest.item_id] = oldest.counts

    def _archive(self, position: int, event: Event) -> None:
        self.archived.append(ArchivedEvent(position, event._replace(earlier=0.0) if event.earlier else event))
        self._retired.append(event.digest)
        while len(self._retired) > self._max_support:
            self._digests.discard(self._retired.popleft())


def _with_value_of(event: Event, other: Event) -> Event:
    """``event`` plus the counts of ``other`` about the same item, whether or not ``event`` is a count itself."""
    return event._replace(earlier=event.earlier + other.counts) if other.counts else event


def _scaled(event: Event, scale: Scale) -> Event:
    return event._replace(scale=scale) if event.scale is None else event
