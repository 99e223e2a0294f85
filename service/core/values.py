"""A user's record: recent events in columns, older item ids, attributes, and the state adapted from them."""

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
    """One event of a record.

    Attributes:
        item_id: stable id of the item.
        value: on the scale it was sent in.
        timestamp: seconds since 1970.
        digest: digest of the event id, which recognises the event when it is sent again.
        scale: scale of ``value``; None in records older than scales.
        earlier: sum of the counts in the user's other events about the item; 0 without counts.
    """

    item_id: str
    value: float
    timestamp: float
    digest: int
    scale: Scale | None = None
    earlier: float = 0.0

    @property
    def counts(self) -> float:
        """Sum of the counts in all events about the item, this one included; 0 without counts."""
        return self.earlier + (self.value if self.scale is not None and adds(self.scale.kind) else 0.0)


@lru_cache(1024)
def zero_sums(count: int) -> NDArray[np.float64]:
    """``Events.earlier`` of events without counts, float64 (count,); cached, since nearly all records need it."""
    zeros = np.zeros(count)
    zeros.flags.writeable = False
    return zeros


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """One user's events in columns, in order of arrival, one per item.

    Columns replace one object per event, because every request decodes a record.

    Attributes:
        item_ids: S stable item ids.
        values: float32 (S,), each on the scale it was sent in.
        timestamps: float64 (S,), whole seconds since 1970, below 2**32.
        digests: uint64 (S,), below 2**40, digests of the event ids.
        scales: S scales, one per value; None in records older than scales.
        earlier: float64 (S,), sum of the counts in the user's other events about the item.
    """

    item_ids: tuple[str, ...]
    values: NDArray[np.float32]
    timestamps: NDArray[np.float64]
    digests: NDArray[np.uint64]
    scales: tuple[Scale | None, ...]
    earlier: NDArray[np.float64]

    @classmethod
    def of(cls, events: Sequence[Event]) -> Self:
        """Columns of ``events``; fractions of a second are dropped."""
        columns = zip(*events, strict=True) if events else ((), (), (), (), (), ())
        item_ids, values, timestamps, digests, scales, earlier = columns
        return cls(
            item_ids,
            np.array(values, dtype=np.float32),
            np.floor(np.array(timestamps, dtype=np.float64)),
            np.array(digests, dtype=np.uint64),
            scales,
            np.array(earlier, dtype=np.float64) if any(earlier) else zero_sums(len(earlier)),
        )

    def to_list(self) -> list[Event]:
        """One :class:`Event` per event, the inverse of :meth:`of`."""
        numbers = (self.values.tolist(), self.timestamps.tolist(), self.digests.tolist())
        columns = zip(self.item_ids, *numbers, self.scales, self.earlier.tolist(), strict=True)
        return list(map(Event._make, columns))

    def values_on(self, scale: Scale) -> NDArray[np.float32]:
        """The values converted to ``scale``, float32 (S,); NaN for an event without a counterpart there.

        A value without a scale counts as a value of ``scale``.
        """
        if scale.kind == "ratings" and self.scales.count(scale) == len(self.scales):
            return self.values  # the usual case: nothing to convert
        totals, origins = self.values.astype(np.float64), set(self.scales)
        if len(origins) == 1:  # the usual case of the rest: no positions to look up
            return _amounts(scale, totals, self.earlier, origins.pop() or scale).astype(np.float32)
        for origin in origins:
            positions = [position for position, candidate in enumerate(self.scales) if candidate == origin]
            totals[positions] = _amounts(scale, totals[positions], self.earlier[positions], origin or scale)
        return totals.astype(np.float32)

    def __len__(self) -> int:
        return len(self.item_ids)


def _amounts(
    scale: Scale, values: NDArray[np.float64], earlier: NDArray[np.float64], origin: Scale
) -> NDArray[np.float64]:
    """Values on scale ``origin`` plus ``earlier`` counts, converted to ``scale``; all float64 (S,).

    Counts add to counts. Beside a later rating they add on a scale of counts only.
    """
    if adds(origin.kind):
        return read_on(scale, values + earlier, origin)
    read = read_on(scale, values, origin)
    if not adds(scale.kind):
        return read
    return np.where(earlier > 0, np.minimum(np.nan_to_num(read) + earlier, scale.high), read)


@dataclass(frozen=True, slots=True, eq=False)
class UserState:
    """Weights adapted to a user's events and attributes: a cache that any bundle can derive again.

    Attributes:
        bundle: version of the bundle that made ``vector``; other bundles have other coordinates.
        vector: float32 (state_dim,).
    """

    bundle: str
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class UserRecord:
    """A user's data that every request reads, as one value that is replaced as a whole.

    Attributes:
        revision: lineage and number of changes; 0 without a record. The low 32 bits count the changes. The high 32
            bits, the lineage, are drawn at random for the first record and after every deletion, so a write that is
            based on deleted data never matches the current revision.
        events: the recent events, one per item, at most as many as the bundle's limit.
        retired: uint64 (R,), digests of events that were replaced or dropped from ``events``, oldest first.
        seen: ids of items whose events were dropped from ``events``, in that order; disjoint from ``events``.
        state: the state adapted from exactly these events and attributes; None before the first adaptation.
        attributes: the user's attributes by name, including names that the current bundle does not know.
        sums: sum of the counts per item of ``seen``; items without counts are absent.
    """

    revision: int
    events: Events
    retired: NDArray[np.uint64]
    seen: tuple[str, ...]
    state: UserState | None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    sums: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_cold(self) -> bool:
        """True without events and attributes to adapt from."""
        return not (self.events.item_ids or self.attributes)

    @property
    def is_empty(self) -> bool:
        """True if the record holds nothing about the user, past events included."""
        return not (self.events.item_ids or len(self.retired) or self.seen or self.attributes)

    @property
    def version(self) -> int:
        """Number of changes so far."""
        return self.revision & ((1 << VERSION_BITS) - 1)

    def with_lineage(self, lineage: int) -> UserRecord:
        """The same record in another ``lineage`` (32 bits)."""
        return replace(self, revision=lineage << VERSION_BITS | self.version)

    def with_state(self, state: UserState) -> UserRecord:
        """The same record with ``state``."""
        return UserRecord(self.revision, self.events, self.retired, self.seen, state, self.attributes, self.sums)


EMPTY = UserRecord(0, Events.of([]), np.zeros(0, dtype=np.uint64), (), None)


class ArchivedEvent(NamedTuple):
    """An event removed from a record: replaced by a newer one about its item, or dropped beyond the limit.

    Attributes:
        position: its index among the record's events, from which the order of arrival is restored.
        event: the event.
    """

    position: int
    event: Event


Archive = tuple[ArchivedEvent, ...]
"""Events removed from a record, in order of removal; the store keeps the last of very many."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredUser:
    """All data stored about a user.

    Attributes:
        record: the data that every request reads; ``EMPTY`` without a record.
        archive: the events removed from the record.
        served: item ids of the last list served, best first.
        expires_in_s: seconds until all of it is deleted; None without a record.
    """

    record: UserRecord
    archive: Archive
    served: tuple[str, ...]
    expires_in_s: int | None

    @property
    def is_empty(self) -> bool:
        """True without any stored data."""
        return not (self.record.revision or self.archive or self.served)
