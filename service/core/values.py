"""What is known about a user: recent events in columns, older item ids, attributes, and the state adapted from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Value

VERSION_BITS = 32

Row = tuple[str, float, float, int]
"""An event as (item_id, value, timestamp, key)."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events of one user in columns, oldest first.

    Columns instead of an object an event, because every request decodes a record.

    Attributes:
        item_ids: stable item ids, S of them.
        values: float32 (S,), on the data's own scale.
        timestamps: float64 (S,), whole seconds since 1970, below 2**32.
        keys: uint64 (S,), below 2**40, what an event is recognised by when it is sent again.
    """

    item_ids: tuple[str, ...]
    values: NDArray[np.float32]
    timestamps: NDArray[np.float64]
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """Events from rows of (item_id, value, timestamp, key); fractions of a second are dropped."""
        item_ids, values, timestamps, keys = zip(*rows, strict=True) if rows else ((), (), (), ())
        return cls(
            item_ids,
            np.array(values, dtype=np.float32),
            np.floor(np.array(timestamps, dtype=np.float64)),
            np.array(keys, dtype=np.uint64),
        )

    def rows(self) -> list[Row]:
        """The events as :meth:`of` takes them."""
        columns = (self.values.tolist(), self.timestamps.tolist(), self.keys.tolist())
        return list(zip(self.item_ids, *columns, strict=True))

    def __len__(self) -> int:
        return len(self.item_ids)


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
        events: the recent events, one an item, as many as the bundle's limit.
        retired: uint64 (R,), keys of events that were replaced or fell out of ``events``, oldest first.
        seen: ids of the items that fell out of ``events``, in that order; none of them is in ``events``.
        state: what was adapted from exactly these events and attributes, if anything was.
        attributes: what else was told about the user, by name; also what no bundle knows yet.
    """

    revision: int
    events: Events
    retired: NDArray[np.uint64]
    seen: tuple[str, ...]
    state: UserState | None
    attributes: Mapping[str, Value] = field(default_factory=dict)

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
        return UserRecord(self.revision, self.events, self.retired, self.seen, state, self.attributes)


EMPTY = UserRecord(0, Events.of([]), np.zeros(0, dtype=np.uint64), (), None)


class Departed(NamedTuple):
    """An event that left a record, replaced by a newer one about its item or beyond the limit.

    Attributes:
        place: index that it had among the record's events; so the order of arrival can be told again.
        row: the event.
    """

    place: int
    row: Row


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
