"""A UserStore in memory, for tests of what stands above the store."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.values import EMPTY, VERSION_BITS, Held, Older, UserRecord


class MemoryStore:
    """Keeps users in dicts; the conformance suite holds it to the real one's behaviour."""

    def __init__(self) -> None:
        self.records: dict[str, UserRecord] = {}
        self.older: dict[str, Older] = {}
        self.served: dict[str, tuple[str, ...]] = {}

    async def read(self, user_id: str) -> UserRecord:
        return self.records.get(user_id, EMPTY)

    async def read_with_served(self, user_id: str) -> tuple[UserRecord, tuple[str, ...]]:
        return await self.read(user_id), self.served.get(user_id, ())

    async def held(self, user_id: str) -> Held:
        record, served = await self.read_with_served(user_id)
        return Held(record, self.older.get(user_id, ()), served, 1000 if record.revision else None)

    async def replace(
        self,
        user_id: str,
        record: UserRecord,
        expected_revision: int,
        departed: Older = (),
        *,
        is_cache: bool = False,  # noqa: ARG002 - there is no disk
    ) -> bool:
        if (await self.read(user_id)).revision != expected_revision:
            return False
        self.records[user_id] = record
        self.older[user_id] = self.older.get(user_id, ()) + departed
        return True

    async def rewrite(self, user_id: str, record: UserRecord, older: Older, expected_revision: int) -> bool:
        if (await self.read(user_id)).revision != expected_revision:
            return False
        await self.erase(user_id)
        if not record.is_empty:
            self.records[user_id], self.older[user_id] = record, older
        return True

    async def erase(self, user_id: str) -> tuple[str, ...]:
        parts = {"record": self.records, "older events": self.older, "served list": self.served}
        return tuple(name for name, part in parts.items() if part.pop(user_id, None))

    def note_served(self, user_id: str, item_ids: Sequence[str], revision: int) -> None:
        if self.records.get(user_id, EMPTY).revision >> VERSION_BITS == revision >> VERSION_BITS:
            self.served[user_id] = tuple(item_ids)

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to let go of."""
