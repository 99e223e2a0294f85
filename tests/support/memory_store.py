"""A UserStore in memory, for tests of the layers above the store."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.values import EMPTY, VERSION_BITS, Archive, StoredUser, UserRecord


class MemoryStore:
    """Users in dicts; the conformance suite checks that it behaves as the Redis store."""

    def __init__(self) -> None:
        self.records: dict[str, UserRecord] = {}
        self.archives: dict[str, Archive] = {}
        self.served: dict[str, tuple[str, ...]] = {}

    async def read(self, user_id: str) -> UserRecord:
        return self.records.get(user_id, EMPTY)

    async def read_with_served(self, user_id: str) -> tuple[UserRecord, tuple[str, ...]]:
        return await self.read(user_id), self.served.get(user_id, ())

    async def read_all(self, user_id: str) -> StoredUser:
        record, served = await self.read_with_served(user_id)
        return StoredUser(record, self.archives.get(user_id, ()), served, 1000 if record.revision else None)

    async def replace(
        self,
        user_id: str,
        record: UserRecord,
        expected_revision: int,
        archived: Archive = (),
        *,
        is_cache: bool = False,  # noqa: ARG002 - there is no disk
    ) -> bool:
        if (await self.read(user_id)).revision != expected_revision:
            return False
        self.records[user_id] = record
        self.archives[user_id] = self.archives.get(user_id, ()) + archived
        return True

    async def rewrite(self, user_id: str, record: UserRecord, archive: Archive, expected_revision: int) -> bool:
        if (await self.read(user_id)).revision != expected_revision:
            return False
        await self.erase(user_id)
        if not record.is_empty:
            self.records[user_id], self.archives[user_id] = record, archive
        return True

    async def erase(self, user_id: str) -> tuple[str, ...]:
        parts = {"record": self.records, "older events": self.archives, "served list": self.served}
        return tuple(name for name, part in parts.items() if part.pop(user_id, None))

    def note_served(self, user_id: str, item_ids: Sequence[str], revision: int) -> None:
        if self.records.get(user_id, EMPTY).revision >> VERSION_BITS == revision >> VERSION_BITS:
            self.served[user_id] = tuple(item_ids)

    async def ping(self) -> None:
        """Do nothing: the store is always available."""

    async def close(self) -> None:
        """Do nothing: no writes are pending."""
