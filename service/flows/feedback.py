"""POST /feedback: check events and attributes, append and replace, adapt, keep it all in one atomic step."""

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
from service.core.history import KEY_BYTES, Appended, append, event_key, key_name
from service.core.ports import Model, UserStore
from service.core.support import support_of
from service.core.values import VERSION_BITS, Event, Events, UserRecord, UserState
from service.errors import Fault, InvalidFeedback, StoreUnavailable, UserBusy

MAX_AHEAD_S = 86_400.0
MAX_COUNT = float(np.finfo(np.float32).max)
BY_VALUE = "value"  # the label of events that carry a value instead of a type


@dataclass(frozen=True, slots=True)
class GivenEvent:
    """One event as a client gave it: a value or a type, a time if it has one, and an id, see :func:`new_event_id`."""

    item_id: str
    value: float | None
    type: str | None
    event_id: str
    timestamp: float | None


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """What became of a user's feedback.

    Attributes:
        accepted: number of events that counted.
        duplicates: number of events that had been accepted before.
        record: what is known of the user now.
        unknown: index and item id of the events left out.
        unknown_attributes: name and text of what was told of the user that the bundle makes nothing of.
    """

    accepted: int
    duplicates: int
    record: UserRecord
    unknown: list[tuple[int, str]]
    unknown_attributes: list[tuple[str, str]]


class FeedbackFlow:
    """Appends feedback; holds one lock per user, so that writers of one process queue instead of retrying."""

    def __init__(self, store: UserStore, *, clock: Callable[[], float], deadline_s: float) -> None:
        """Take the user store, the wall clock in seconds, and how long one call may take to win."""
        self._store, self._clock, self._deadline_s = store, clock, deadline_s
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def give(
        self, user_id: str, given: Sequence[GivenEvent], attributes: Mapping[str, Value] | None, model: Model
    ) -> FeedbackReceipt:
        """Keep a user's events and attributes, and adapt to them.

        Args:
            user_id: whose they are.
            given: the events, in the order they happened.
            attributes: all that is known of the user from now on; None leaves what was known.
            model: the live bundle.

        Raises:
            InvalidFeedback: an event breaks the bundle's vocabulary or scale, or nothing is left to keep; then nothing
                is kept.
            StoreUnavailable: the store did not confirm; nothing counts as accepted.
            RecordDamaged: what is stored of the user cannot be read, so nothing is written over it.
            UserBusy: other writers to this user kept winning, or the store was slow, until the deadline.
        """
        now = self._clock()
        known, unknown = _checked(given, attributes, model, now)
        spec = model.manifest.feedback
        batch = Events.of([_kept(event, spec, now) for event in known])
        lock = self._locks.setdefault(user_id, asyncio.Lock())
        try:
            async with asyncio.timeout(self._deadline_s), lock:
                appended, served = await self._append(user_id, batch, attributes, model)
        except StoreUnavailable:
            telemetry.store_errors.inc()
            raise
        except TimeoutError as exc:
            raise UserBusy(
                f"feedback: not kept within {self._deadline_s:g} s, since others write to this user or the store is "
                "slow; send it again"
            ) from exc
        _count([known[place] for place in appended.accepted], served, spec)
        _count_left_out(appended.duplicates, len(unknown))
        not_known = model.attributes.unknown(attributes or {})
        return FeedbackReceipt(len(appended.accepted), appended.duplicates, appended.record, unknown, not_known)

    async def _append(
        self, user_id: str, batch: Events, attributes: Mapping[str, Value] | None, model: Model
    ) -> tuple[Appended, tuple[str, ...]]:
        """Read, append, adapt, and keep it all unless somebody was faster; then once more."""
        while True:
            record, served = await self._store.read_with_served(user_id)
            appended = append(record, batch, model.manifest.limits.max_support, attributes)
            if appended.record is not record:
                appended = appended._replace(record=_own(await adapted(appended.record, model)))
            elif not record.revision:
                return appended, served
            # Duplicates alone are written again: who wrote them first may still be waiting for the disk.
            revision, departed = record.revision, appended.departed
            if await self._store.replace(user_id, appended.record, revision, departed):
                return appended, served


def _checked(
    given: Sequence[GivenEvent], attributes: Mapping[str, Value] | None, model: Model, now: float
) -> tuple[list[GivenEvent], list[tuple[int, str]]]:
    """The events about known items, and index and item id of the others.

    Raises:
        InvalidFeedback: an event is wrong, or there are neither attributes nor an event about a known item.
    """
    spec = model.manifest.feedback
    faults = [fault for index, event in enumerate(given) for fault in _faults(index, event, spec, now)]
    rows = model.catalogue.rows(event.item_id for event in given).tolist()
    known = [event for event, row in zip(given, rows, strict=True) if row != UNKNOWN_ROW]
    unknown = [(index, given[index].item_id) for index, row in enumerate(rows) if row == UNKNOWN_ROW]
    if not faults and not known and attributes is None:
        expected = f"an item of bundle {model.version}"
        faults = [Fault(f"events[{index}].item_id", item_id, expected) for index, item_id in unknown]
        faults = faults or [Fault("events", [], "at least 1 event, or attributes")]
    if faults:
        raise InvalidFeedback(faults)
    return known, unknown


def _faults(index: int, event: GivenEvent, spec: FeedbackSpec, now: float) -> list[Fault]:
    """What is wrong with one event, by the bundle's scale and vocabulary."""
    highest, latest = _highest(spec), now + MAX_AHEAD_S
    if _has_right_value(event, spec, highest) and (event.timestamp is None or event.timestamp <= latest):
        return []  # before any message is made, which takes longer than looking
    at = f"events[{index}]"
    value = f"a value from {spec.value_min:g} to {highest:g}"
    type_ = f"a type out of {', '.join(sorted(spec.types))}"
    found = []
    if event.value is None and event.type is None:
        found.append(Fault(f"{at}.value", None, f"{value}, or instead of it {type_}"))
    elif event.value is not None and event.type is not None:
        found.append(Fault(f"{at}.type", event.type, "a value or a type, not both"))
    elif event.type is not None and event.type not in spec.types:
        found.append(Fault(f"{at}.type", event.type, type_))
    elif event.value is not None and not spec.value_min <= event.value <= highest:
        found.append(Fault(f"{at}.value", event.value, value))
    if event.timestamp is not None and event.timestamp > latest:
        found.append(Fault(f"{at}.timestamp", event.timestamp, f"at most a day ahead of {now:.0f}, in seconds"))
    return found


def _has_right_value(event: GivenEvent, spec: FeedbackSpec, highest: float) -> bool:
    """Whether an event has a value of the scale or a type of the vocabulary, and not both."""
    if event.type is None:
        return event.value is not None and spec.value_min <= event.value <= highest
    return event.value is None and event.type in spec.types


def _highest(spec: FeedbackSpec) -> float:
    """The highest value that is taken: of ratings the scale's; counts may grow beyond it, and the model clips them."""
    return spec.value_max if spec.kind == "ratings" else MAX_COUNT


def _kept(event: GivenEvent, spec: FeedbackSpec, now: float) -> Event:
    return Event(event.item_id, _value(event, spec), _time(event, now), event_key(event.event_id), spec.scale)


def _value(event: GivenEvent, spec: FeedbackSpec) -> float:
    return spec.types[event.type] if event.type is not None else float(event.value or 0.0)


def _time(event: GivenEvent, now: float) -> float:
    return now if event.timestamp is None else event.timestamp


def new_event_id() -> str:
    """An id for an event that came without one, which makes it always new; the store knows it by its key alone."""
    return key_name(secrets.randbits(8 * KEY_BYTES))


def _own(record: UserRecord) -> UserRecord:
    """A user's first record as the first of its own lineage; any other as it is."""
    return record.begun(secrets.randbits(VERSION_BITS)) if record.revision == 1 else record


async def adapted(record: UserRecord, model: Model) -> UserRecord:
    """The record with the state that the model makes of its events and attributes."""
    events = record.events
    rows = model.catalogue.rows(events.item_ids)
    support = support_of(events, rows, model.manifest.feedback.scale, model.manifest.limits.max_support)
    return record.with_state(UserState(model.version, await model.adapt(support, record.attributes)))


def _count(accepted: Sequence[GivenEvent], served: Sequence[str], spec: FeedbackSpec) -> None:
    """Feedback by type, and the prequential hit rate: positive events whose item stood in the last list served."""
    for event in accepted:
        _accepted_of(event.type or BY_VALUE).inc()
        if _value(event, spec) >= spec.liked_at_least:
            telemetry.hit_candidates.inc()
            if event.item_id in served:
                telemetry.hits.inc()


def _count_left_out(duplicates: int, unknown: int) -> None:
    """Adding nothing takes as long as adding."""
    if duplicates:
        telemetry.feedback_duplicates.inc(duplicates)
    if unknown:
        telemetry.feedback_unknown.inc(unknown)


@cache
def _accepted_of(type_: str) -> Counter:
    """The series of a type of the bundle's vocabulary, which takes longer to find than to count in."""
    return telemetry.feedback_events.labels(type_)
