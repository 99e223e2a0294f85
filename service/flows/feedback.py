"""POST /feedback: check events and attributes, append them, adapt, store it all in one atomic step."""

from __future__ import annotations

import asyncio
import secrets
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from prometheus_client import Counter

from model_store.bundle import UNKNOWN_ROW, FeedbackSpec, Value
from service import telemetry
from service.catalogue.snapshot import Snapshot
from service.core.history import DIGEST_BYTES, Appended, append, digest_name, event_digest
from service.core.ports import UserStore
from service.core.values import VERSION_BITS, Event, Events, UserRecord
from service.errors import Fault, InvalidFeedback, StoreUnavailable, UserBusy
from service.flows.adapt import adapt_record

MAX_AHEAD_S = 86_400.0
MAX_COUNT = float(np.finfo(np.float32).max)
BY_VALUE = "value"  # metric label of events with a value instead of a type


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """One event of a request: a value or a type, perhaps a time, and an id, see :func:`new_event_id`."""

    item_id: str
    value: float | None
    type: str | None
    event_id: str
    timestamp: float | None


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """The outcome of a user's feedback.

    Attributes:
        accepted: number of events that counted.
        duplicates: number of events that had been accepted before.
        record: the user's record now.
        unknown: index and item id of the events that were skipped, because the catalogue lacks their items.
        unknown_attributes: name and text of the attributes that the bundle does not know.
    """

    accepted: int
    duplicates: int
    record: UserRecord
    unknown: list[tuple[int, str]]
    unknown_attributes: list[tuple[str, str]]


class FeedbackFlow:
    """Appends feedback; holds one lock per user, so that writers of one process queue instead of retrying."""

    def __init__(self, store: UserStore, *, clock: Callable[[], float], deadline_s: float) -> None:
        """Take the user store, the wall clock in seconds, and the time limit of one call in seconds."""
        self._store, self._clock, self._deadline_s = store, clock, deadline_s
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def accept(
        self, user_id: str, events: Sequence[ReceivedEvent], attributes: Mapping[str, Value] | None, snapshot: Snapshot
    ) -> FeedbackReceipt:
        """Store a user's events and attributes, and adapt to them.

        Args:
            user_id: the user.
            events: the events, in the order they happened.
            attributes: replace all attributes of the user; None leaves them.
            snapshot: the live snapshot.

        Raises:
            InvalidFeedback: an event breaks the bundle's vocabulary or scale, or there is nothing to store; then
                nothing is stored.
            StoreUnavailable: the store did not confirm; the events may be stored or not.
            RecordDamaged: the user's record cannot be decoded, and is left as it is.
            UserBusy: other writers to this user kept winning, or the store was slow, until the deadline.
        """
        now = self._clock()
        matched, unknown = _checked(events, attributes, snapshot, now)
        spec = snapshot.feedback
        batch = Events.of([_stored_event(event, spec, now) for event in matched])
        lock = self._locks.setdefault(user_id, asyncio.Lock())
        try:
            async with asyncio.timeout(self._deadline_s), lock:
                appended, served = await self._append(user_id, batch, attributes, snapshot)
        except StoreUnavailable:
            telemetry.store_errors.inc()
            raise
        except TimeoutError as exc:
            raise UserBusy(
                f"feedback: not stored within {self._deadline_s:g} s, because other requests write to this user or the "
                "store is slow; resend it"
            ) from exc
        _count_accepted([matched[index] for index in appended.accepted], served, spec)
        _count_skipped(appended.duplicates, len(unknown))
        unknown_attributes = snapshot.unknown_attributes(attributes or {})
        return FeedbackReceipt(
            len(appended.accepted), appended.duplicates, appended.record, unknown, unknown_attributes
        )

    async def _append(
        self, user_id: str, batch: Events, attributes: Mapping[str, Value] | None, snapshot: Snapshot
    ) -> tuple[Appended, tuple[str, ...]]:
        """Read, append, adapt and store; start over if another writer was faster."""
        while True:
            record, served = await self._store.read_with_served(user_id)
            appended = append(record, batch, snapshot.max_support, attributes)
            if appended.record is not record:
                record_now = _with_first_lineage(await adapt_record(appended.record, snapshot))
                appended = appended._replace(record=record_now)
            elif not record.revision:
                return appended, served
            # A batch of duplicates is written too: the first write of them may not be on disk yet.
            if await self._store.replace(user_id, appended.record, record.revision, appended.archived):
                return appended, served


def _checked(
    events: Sequence[ReceivedEvent], attributes: Mapping[str, Value] | None, snapshot: Snapshot, now: float
) -> tuple[list[ReceivedEvent], list[tuple[int, str]]]:
    """The events about items of the catalogue, and index and item id of the others.

    Raises:
        InvalidFeedback: an event is invalid, or there are neither attributes nor an event about an item of the
            catalogue.
    """
    spec = snapshot.feedback
    faults = [fault for index, event in enumerate(events) for fault in _faults(index, event, spec, now)]
    rows = snapshot.rows(event.item_id for event in events).tolist()
    matched = [event for event, row in zip(events, rows, strict=True) if row != UNKNOWN_ROW]
    unknown = [(index, events[index].item_id) for index, row in enumerate(rows) if row == UNKNOWN_ROW]
    if not faults and not matched and attributes is None:
        expected = f"an item of bundle {snapshot.version}"
        faults = [Fault(f"events[{index}].item_id", item_id, expected) for index, item_id in unknown]
        faults = faults or [Fault("events", [], "at least 1 event, or attributes")]
    if faults:
        raise InvalidFeedback(faults)
    return matched, unknown


def _faults(index: int, event: ReceivedEvent, spec: FeedbackSpec, now: float) -> list[Fault]:
    """The faults of one event, by the bundle's scale and vocabulary."""
    highest, latest = _highest(spec), now + MAX_AHEAD_S
    if _has_valid_value(event, spec, highest) and (event.timestamp is None or event.timestamp <= latest):
        return []  # the usual case, before the messages below take their time
    at = f"events[{index}]"
    value = f"a value from {spec.value_min:g} to {highest:g}"
    type_ = f"a type out of {', '.join(sorted(spec.types))}"
    faults = []
    if event.value is None and event.type is None:
        faults.append(Fault(f"{at}.value", None, f"{value}, or instead of it {type_}"))
    elif event.value is not None and event.type is not None:
        faults.append(Fault(f"{at}.type", event.type, "a value or a type, not both"))
    elif event.type is not None and event.type not in spec.types:
        faults.append(Fault(f"{at}.type", event.type, type_))
    elif event.value is not None and not spec.value_min <= event.value <= highest:
        faults.append(Fault(f"{at}.value", event.value, value))
    if event.timestamp is not None and event.timestamp > latest:
        faults.append(Fault(f"{at}.timestamp", event.timestamp, f"at most a day ahead of {now:.0f}, in seconds"))
    return faults


def _has_valid_value(event: ReceivedEvent, spec: FeedbackSpec, highest: float) -> bool:
    """True if an event has either a value of the scale or a type of the vocabulary."""
    if event.type is None:
        return event.value is not None and spec.value_min <= event.value <= highest
    return event.value is None and event.type in spec.types


def _highest(spec: FeedbackSpec) -> float:
    """The highest valid value: for ratings the scale's; counts may exceed the scale, and the model clips them."""
    return spec.value_max if spec.kind == "ratings" else MAX_COUNT


def _stored_event(event: ReceivedEvent, spec: FeedbackSpec, now: float) -> Event:
    return Event(event.item_id, _value(event, spec), _time(event, now), event_digest(event.event_id), spec.scale)


def _value(event: ReceivedEvent, spec: FeedbackSpec) -> float:
    return spec.types[event.type] if event.type is not None else float(event.value or 0.0)


def _time(event: ReceivedEvent, now: float) -> float:
    return now if event.timestamp is None else event.timestamp


def new_event_id() -> str:
    """A random id for an event without one, so it is never a duplicate; its digest is all the store keeps."""
    return digest_name(secrets.randbits(8 * DIGEST_BYTES))


def _with_first_lineage(record: UserRecord) -> UserRecord:
    """A user's first record with a random lineage; any other record unchanged."""
    return record.with_lineage(secrets.randbits(VERSION_BITS)) if record.revision == 1 else record


def _count_accepted(accepted: Sequence[ReceivedEvent], served: Sequence[str], spec: FeedbackSpec) -> None:
    """Count feedback by type, and the prequential hit rate: positive events whose item is in the last list served."""
    for event in accepted:
        _accepted_counter(event.type or BY_VALUE).inc()
        if _value(event, spec) >= spec.liked_at_least:
            telemetry.hit_candidates.inc()
            if event.item_id in served:
                telemetry.hits.inc()


def _count_skipped(duplicates: int, unknown: int) -> None:
    """Count duplicates and unknown items; zeros are skipped because ``inc(0)`` costs as much as ``inc(n)``."""
    if duplicates:
        telemetry.feedback_duplicates.inc(duplicates)
    if unknown:
        telemetry.feedback_unknown.inc(unknown)


@cache
def _accepted_counter(type_: str) -> Counter:
    """The counter of an event type, cached because its look-up costs more than counting."""
    return telemetry.feedback_events.labels(type_)
