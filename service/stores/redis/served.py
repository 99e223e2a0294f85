"""The lists served lately and not yet noted in the store: all users' in one command, which rides with the next read."""

from __future__ import annotations

from collections.abc import Sequence

from service.stores.records.codec import encode_revision, encode_served
from service.stores.redis import scripts
from service.stores.redis.key_names import PREFIX, keys_of
from service.stores.redis.scripts import Command

RENEWED_EVERY_S = 86_400  # contact is noted in the time to live this often at most; each time is a write to disk
LINEAGE = slice(4, 8)  # of the bytes of a revision


class Notes:
    """Collects lists, the last one of each user, until somebody takes them to the store."""

    def __init__(self, served_ttl_s: int, ttl_s: int, prefix: str = PREFIX) -> None:
        """Take the seconds that a list is kept, and a user after the last contact; ``prefix`` begins every key."""
        self._prefix = prefix
        self._ttls = served_ttl_s, ttl_s, ttl_s - min(RENEWED_EVERY_S, ttl_s // 10)
        self._lists: dict[str, tuple[bytes, bytes]] = {}

    def __len__(self) -> int:
        return len(self._lists)

    def add(self, user_id: str, item_ids: Sequence[str], revision: int) -> None:
        """Note the list just served to a user, made from the record of ``revision``."""
        lineage = encode_revision(revision)[LINEAGE] if revision else b""
        self._lists[user_id] = lineage, encode_served(item_ids)

    def drop(self, user_id: str) -> None:
        """Forget what was noted of a user."""
        self._lists.pop(user_id, None)

    def take(self) -> tuple[Command, ...]:
        """The command that keeps all that was noted; none if nothing was."""
        if not self._lists:
            return ()
        noted, self._lists = self._lists, {}
        keys = tuple(key for user_id in noted for key in keys_of(user_id, self._prefix))
        lists = (part for each in noted.values() for part in each)
        return (scripts.call(scripts.NOTE_SERVED, keys, *self._ttls, *lists),)
