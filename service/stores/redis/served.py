"""Served lists that wait to be stored: the lists of all users in one command, which precedes the next read."""

from __future__ import annotations

from collections.abc import Sequence

from service.stores.records.codec import encode_revision, encode_served
from service.stores.redis import scripts
from service.stores.redis.key_names import KeyNames
from service.stores.redis.scripts import Command

RENEWED_EVERY_S = 86_400  # shortest time between renewals of a user's time to live, since each is a write to disk
LINEAGE = slice(4, 8)  # of the bytes of a revision


class ServedLists:
    """The last list served to each user since :meth:`take`."""

    def __init__(self, keys: KeyNames, *, served_ttl_s: int, ttl_s: int) -> None:
        """Take the seconds to live of a list, and of a user after the last contact."""
        self._keys = keys
        self._ttls = served_ttl_s, ttl_s, ttl_s - min(RENEWED_EVERY_S, ttl_s // 10)
        self._lists: dict[str, tuple[bytes, bytes]] = {}

    def __len__(self) -> int:
        return len(self._lists)

    def add(self, user_id: str, item_ids: Sequence[str], revision: int) -> None:
        """Add the list just served to a user, made from the record of ``revision``."""
        lineage = encode_revision(revision)[LINEAGE] if revision else b""
        self._lists[user_id] = lineage, encode_served(item_ids)

    def drop(self, user_id: str) -> None:
        """Drop a user's list."""
        self._lists.pop(user_id, None)

    def take(self) -> tuple[Command, ...]:
        """Remove all lists and return the one command that stores them; without lists, no command."""
        if not self._lists:
            return ()
        lists, self._lists = self._lists, {}
        keys = tuple(key for user_id in lists for key in self._keys.of_user(user_id))
        arguments = (part for lineage_and_list in lists.values() for part in lineage_and_list)
        return (scripts.call(scripts.NOTE_SERVED, keys, *self._ttls, *arguments),)
