"""The user store and the model as the flows see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Attributes, Catalogue, Manifest, Value
from service.core.support import Support
from service.core.values import UserRecord


class UserStore(Protocol):
    """Keeps one record a user, replaced as a whole by compare-and-set, and the last list served to each.

    User ids are any non-empty text. ``read``, ``read_with_served``, ``replace`` and ``ping`` raise
    StoreUnavailable when the store does not do what it was asked within its time limit; nothing counts as
    kept then, though it may be.
    """

    async def read(self, user_id: str) -> UserRecord:
        """The user's record, ``EMPTY`` if there is none; raises RecordDamaged if it cannot be decoded."""

    async def read_with_served(self, user_id: str) -> tuple[UserRecord, tuple[str, ...]]:
        """The user's record and the item ids of the last list served, best first; one round trip."""

    async def replace(self, user_id: str, record: UserRecord, expected_revision: int) -> bool:
        """Keep ``record`` if the stored revision is ``expected_revision`` (0: no record); tell whether it was.

        A record of a higher revision renews the user's time to live. One of the same revision only brings
        another state for the same events, and leaves the time to live as it is.
        """

    def note_served(self, user_id: str, item_ids: Sequence[str]) -> None:
        """Remember the list just served, some time soon; never waits, never raises, may be lost."""

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

    def adapt(self, support: Support, attributes: Mapping[str, Value]) -> NDArray[np.float32]:
        """The inner loop: ``user_state`` float32 (state_dim,)."""

    async def rank(
        self, user_state: NDArray[np.float32], support: Support, excluded: NDArray[np.int64], count: int
    ) -> tuple[list[int], list[float]]:
        """The best ``count`` rows and their scores, best first, without the ``excluded`` rows int64 (E,).

        Users asked for in one tick of the event loop are ranked together.
        """
