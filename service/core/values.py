"""What is known about a user: recent events in columns, older item ids, attributes, and the state adapted from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Scale, Value, adds, read_on

VERSION_BITS = 32


class Event(NamedTuple):
    """One event as a record holds it.

    Attributes:
        item_id: stable id of the item.
        value: on the scale that it came in.
        timestamp: seconds since 1970.
        key: the number by which the event is recognised when it is sent again.
        scale: the scale of ``value``; None in records from before scales were kept.
        earlier: sum of the counts in the user's other events about the item; 0 if none was a count.
    """

    item_id: str
    value: float
    timestamp: float
    key: int
    scale: Scale | None = None
    earlier: float = 0.0

    @property
    def counts(self) -> float:
        """Sum of the counts in all events about the item, this one included; 0 if none is a count."""
        return self.earlier + (self.value if self.scale is not None and adds(self.scale.kind) else 0.0)


@lru_cache(1024)
def no_sums(count: int) -> NDArray[np.float64]:
    """``Events.earlier`` of events whose values do not add, float64 (count,); made once, since nearly all are this."""
    zeros = np.zeros(count)
    zeros.flags.writeable = False
    return zeros


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events of one user in columns, in their order of arrival, one per item.

    Columns instead of an object per event, because every request decodes a record.

    Attributes:
        item_ids: stable item ids, S of them.
        values: float32 (S,), each on the scale that it came in.
        timestamps: float64 (S,), whole seconds since 1970, below 2**32.
        keys: uint64 (S,), below 2**40, by which events are recognised when they are sent again.
        scales: the scales of the values, S of them; None in records from before scales were kept.
        earlier: float64 (S,), sum of the counts in the user's other events about the item.
    """

    item_ids: tuple[str, ...]
    values: NDArray[np.float32]
    timestamps: NDArray[np.float64]
    keys: NDArray[np.uint64]
    scales: tuple[Scale | None, ...]
    earlier: NDArray[np.float64]

    @classmethod
    def of(cls, events: Sequence[Event]) -> Self:
        """Columns of ``events``; fractions of a second are dropped."""
        columns = zip(*events, strict=True) if events else ((), (), (), (), (), ())
        item_ids, values, timestamps, keys, scales, earlier = columns
        return cls(
            item_ids,
            np.array(values, dtype=np.float32),
            np.floor(np.array(timestamps, dtype=np.float64)),
            np.array(keys, dtype=np.uint64),
            scales,
            np.array(earlier, dtype=np.float64) if any(earlier) else no_sums(len(earlier)),
        )

    def rows(self) -> list[Event]:
        """The events as :meth:`of` takes them."""
        numbers = (self.values.tolist(), self.timestamps.tolist(), self.keys.tolist())
        columns = zip(self.item_ids, *numbers, self.scales, self.earlier.tolist(), strict=True)
        return list(map(Event._make, columns))

    def values_on(self, scale: Scale) -> NDArray[np.float32]:
        """What the events amount to on ``scale``, float32 (S,); NaN where an event has no value there.

        A value of no known scale is taken for one of ``scale``.
        """
        if scale.kind == "ratings" and self.scales.count(scale) == len(self.scales):
            return self.values  # as almost always: nothing to convert
        totals, origins = self.values.astype(np.float64), set(self.scales)
        if len(origins) == 1:  # the usual case, without looking for its places
            return _amounts(scale, totals, self.earlier, origins.pop() or scale).astype(np.float32)
        for origin in origins:
            places = [place for place, candidate in enumerate(self.scales) if candidate == origin]
            totals[places] = _amounts(scale, totals[places], self.earlier[places], origin or scale)
        return totals.astype(np.float32)

    def __len__(self) -> int:
        return len(self.item_ids)


def _amounts(
    scale: Scale, values: NDArray[np.float64], earlier: NDArray[np.float64], origin: Scale
) -> NDArray[np.float64]:
    """Values of ``origin`` with the ``earlier`` counts about their items, all float64 (S,), as they count on ``scale``.

    Counts add to counts alone: beside a later rating they count on scales of counts, and not on scales of ratings.
    """
    if adds(origin.kind):
        return read_on(scale, values + earlier, origin)
    read = read_on(scale, values, origin)
    if not adds(scale.kind):
        return read
    return np.where(earlier > 0, np.minimum(np.nan_to_num(read) + earlier, scale.high), read)


@dataclass(frozen=True, slots=True, eq=False)
class UserState:
    """Adapted weights: a cache of what ``bundle`` makes of the events and attributes.

    Attributes:
        bundle: version of the bundle whose coordinates these are.
        vector: float32 (state_dim,).
    """

    bundle: str
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class UserRecord:
    """Everything kept about a user, as one value that is replaced as a whole.

    Attributes:
        revision: which change made it; 0 is the user without a record. The low 32 bits count the changes, the high
            ones are drawn for a user's first record and whenever something is forgotten: so nothing made from what was
            erased is taken for something made from what followed.
        events: the recent events, one per item, as many as the bundle's limit.
        retired: uint64 (R,), keys of events that were replaced or fell out of ``events``, oldest first.
        seen: ids of the items that fell out of ``events``, in that order; none of them is in ``events``.
        state: what was adapted from exactly these events and attributes, if anything was.
        attributes: what else was told about the user, by name; also what no bundle knows yet.
        sums: by item of ``seen``, the sum of the counts in the user's events about it; items without any are absent.
    """

    revision: int
    events: Events
    retired: NDArray[np.uint64]
    seen: tuple[str, ...]
    state: UserState | None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    sums: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether there is anything to adapt from."""
        return bool(self.events.item_ids or self.attributes)

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all of the user."""
        return not (self.events.item_ids or len(self.retired) or self.seen or self.attributes)

    @property
    def version(self) -> int:
        """How many changes made it."""
        return self.revision & ((1 << VERSION_BITS) - 1)

    def begun(self, lineage: int) -> UserRecord:
        """The same record as the first of a ``lineage``, of 32 bits."""
        return replace(self, revision=lineage << VERSION_BITS | self.version)

    def with_state(self, state: UserState) -> UserRecord:
        """The same record with ``state`` beside what it was adapted from."""
        return UserRecord(self.revision, self.events, self.retired, self.seen, state, self.attributes, self.sums)


EMPTY = UserRecord(0, Events.of([]), np.zeros(0, dtype=np.uint64), (), None)


class Departed(NamedTuple):
    """An event that left a record, replaced by a newer one about its item or beyond the limit.

    Attributes:
        place: index that it had among the record's events, from which the order of arrival is restored.
        event: the event.
    """

    place: int
    event: Event


Older = tuple[Departed, ...]
"""The events that left a record, in the order they left; all of them, or the last of many."""


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """All that is held about a user, under any key.

    Attributes:
        record: what the service reads at every request; ``EMPTY`` if there is none.
        older: the events that left the record.
        served: item ids of the last list served, best first.
        expires_in_s: seconds until all of it is dropped; None if there is no record.
    """

    record: UserRecord
    older: Older
    served: tuple[str, ...]
    expires_in_s: int | None

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is held."""
        return not (self.record.revision or self.older or self.served)
