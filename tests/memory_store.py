"""A UserStore in memory, for tests of what stands above the store."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.values import EMPTY, UserRecord


class MemoryStore:
    """Keeps records and served lists in two dicts; the conformance suite holds it to the real one's behaviour."""

    def __init__(self) -> None:
        self.records: dict[str, UserRecord] = {}
        self.served: dict[str, tuple[str, ...]] = {}

    async def read(self, user_id: str) -> UserRecord:
        return self.records.get(user_id, EMPTY)

    async def read_with_served(self, user_id: str) -> tuple[UserRecord, tuple[str, ...]]:
        return await self.read(user_id), self.served.get(user_id, ())

    async def replace(self, user_id: str, record: UserRecord, expected_revision: int) -> bool:
        if (await self.read(user_id)).revision != expected_revision:
            return False
        self.records[user_id] = record
        return True

    def note_served(self, user_id: str, item_ids: Sequence[str]) -> None:
        self.served[user_id] = tuple(item_ids)

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to let go of."""
