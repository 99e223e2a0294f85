"""The ports of the flows: the user store and the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import AllowedRows, Attributes, Biases, Catalogue, Manifest, UserSupport, Value
from service.core.values import Archive, StoredUser, UserRecord

Durability = Literal["durable", "replicated", "fast"]
"""When a user store acknowledges a write.

durable:    the store has synced it to disk.
replicated: a replica has it too, so the write survives the loss of the store's machine.
fast:       at once; writes that the store has not synced yet may be lost.
"""


class UserStore(Protocol):
    """Stores per user: a record, replaced as a whole by compare-and-set; its archive; the last list served.

    User ids are any non-empty text. Every coroutine raises StoreUnavailable when the store fails or exceeds its time
    limit; the write may then be stored or not. A write that returns is as durable as the store promises.
    """

    async def read(self, user_id: str) -> UserRecord:
        """The user's record, ``EMPTY`` without one; raises RecordDamaged if it cannot be decoded."""

    async def read_with_served(self, user_id: str) -> tuple[UserRecord, tuple[str, ...]]:
        """The user's record and the item ids of the last list served, best first; one round trip."""

    async def read_all(self, user_id: str) -> StoredUser:
        """All data stored about the user, read at one moment; raises RecordDamaged as ``read`` does."""

    async def replace(
        self,
        user_id: str,
        record: UserRecord,
        expected_revision: int,
        archived: Archive = (),
        *,
        is_cache: bool = False,
    ) -> bool:
        """Store ``record`` if the stored revision is ``expected_revision`` (0: no record); return whether it was.

        A record of a higher revision renews the user's time to live. A record of the same revision only stores
        another state for the same events, and leaves the time to live unchanged.

        Args:
            user_id: the user of the record.
            record: the new record.
            expected_revision: revision of the record that ``record`` is based on.
            archived: events removed from that record; appended to the archive.
            is_cache: the write may be lost: do not wait for the disk.
        """

    async def rewrite(self, user_id: str, record: UserRecord, archive: Archive, expected_revision: int) -> bool:
        """Replace record and archive if the stored revision is ``expected_revision``; return whether it was.

        The last list served is deleted too; the time to live stays. An empty record deletes the user.
        """

    async def erase(self, user_id: str) -> tuple[str, ...]:
        """Delete the user; return what existed, out of "record", "older events" and "served list"."""

    def note_served(self, user_id: str, item_ids: Sequence[str], revision: int) -> None:
        """Store soon the list just served, made from the record of ``revision``, and renew the time to live.

        Never waits or raises, and may be lost. A list that is based on deleted data is not stored.
        """

    async def ping(self) -> None:
        """Return if the store answers."""

    async def close(self) -> None:
        """Finish pending reads and writes."""


class Model(Protocol):
    """One bundle: adapts to a support, ranks its catalogue."""

    @property
    def version(self) -> str:
        """The bundle's version."""

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""

    @property
    def catalogue(self) -> Catalogue:
        """The bundle's items."""

    @property
    def attributes(self) -> Attributes:
        """The attributes of users that the bundle knows."""

    async def adapt(self, support: UserSupport, attributes: Mapping[str, Value]) -> NDArray[np.float32]:
        """The inner loop: ``user_state`` float32 (state_dim,).

        The users of one tick of the event loop adapt in one batch; no bit of a state depends on the others.
        """

    async def rank(
        self,
        user_state: NDArray[np.float32],
        support: UserSupport,
        biases: Biases,
        count: int,
        allowed: AllowedRows | None = None,
    ) -> tuple[list[int], list[float]]:
        """The best ``count`` rows and their scores, best first; fewer if the catalogue has no more.

        The users of one tick of the event loop are ranked in one batch.

        Args:
            user_state: float32 (state_dim,), adapted with this bundle.
            support: the events whose neighbours vote.
            biases: added to the scores.
            count: length of the list.
            allowed: rows that the list may hold; None allows all.
        """
