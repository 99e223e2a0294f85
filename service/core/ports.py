"""The user store and the model as the flows see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Attributes, Catalogue, Manifest, Value
from service.core.support import Support
from service.core.values import Held, Older, UserRecord


class UserStore(Protocol):
    """Keeps a record a user, replaced as a whole by compare-and-set, the events that left it, and the last list served.

    User ids are any non-empty text. All that waits raises StoreUnavailable when the store does not do what it
    was asked within its time limit; nothing counts as kept then, though it may be. What has returned is kept, as
    durably as the store promises.
    """

    async def read(self, user_id: str) -> UserRecord:
        """The user's record, ``EMPTY`` if there is none; raises RecordDamaged if it cannot be decoded."""

    async def read_with_served(self, user_id: str) -> tuple[UserRecord, tuple[str, ...]]:
        """The user's record and the item ids of the last list served, best first; one round trip."""

    async def held(self, user_id: str) -> Held:
        """All that is held about the user, read at one moment; raises RecordDamaged as ``read`` does."""

    async def replace(
        self,
        user_id: str,
        record: UserRecord,
        expected_revision: int,
        departed: Older = (),
        *,
        is_cache: bool = False,
    ) -> bool:
        """Keep ``record`` if the stored revision is ``expected_revision`` (0: no record); tell whether it was.

        A record of a higher revision renews the user's time to live. One of the same revision only brings
        another state for the same events, and leaves the time to live as it is.

        Args:
            user_id: whose it is.
            record: the new record.
            expected_revision: of the record that it was made from.
            departed: events that left that record; kept beside it.
            is_cache: nothing is lost if this is: do not wait for the disk.
        """

    async def rewrite(self, user_id: str, record: UserRecord, older: Older, expected_revision: int) -> bool:
        """Put another history in the place of the one of ``expected_revision``; tell whether it was still that one.

        The last list served goes with it, the time to live stays. An empty record leaves nothing.
        """

    async def erase(self, user_id: str) -> tuple[str, ...]:
        """Leave nothing of the user; what there was, out of "record", "older events" and "served list"."""

    def note_served(self, user_id: str, item_ids: Sequence[str], revision: int) -> None:
        """Remember the list just served, made from the record of ``revision``, and that the user was here.

        Some time soon; never waits, never raises, may be lost; a list made before something was forgotten is not kept.
        """

    async def ping(self) -> None:
        """Return if the store answers."""

    async def close(self) -> None:
        """Finish what is under way and let go of the connections."""


class Model(Protocol):
    """One bundle: adapts to a support, ranks its catalogue."""

    @property
    def version(self) -> str:
        """The bundle's version."""

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""

    @property
    def catalogue(self) -> Catalogue:
        """The bundle's items."""

    @property
    def attributes(self) -> Attributes:
        """The attributes of users that the bundle knows."""

    async def adapt(self, support: Support, attributes: Mapping[str, Value]) -> NDArray[np.float32]:
        """The inner loop: ``user_state`` float32 (state_dim,).

        Users asked for in one tick of the event loop adapt together; no bit of a state depends on the others.
        """

    async def rank(
        self, user_state: NDArray[np.float32], support: Support, excluded: NDArray[np.int64], count: int
    ) -> tuple[list[int], list[float]]:
        """The best ``count`` rows and their scores, best first, without the ``excluded`` rows int64 (E,).

        Users asked for in one tick of the event loop are ranked together.
        """
