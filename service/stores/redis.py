"""The user store in Redis or Valkey: one record a user, one script to replace it, one round trip a tick."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from service.core.values import EMPTY, UserRecord
from service.errors import StoreUnavailable
from service.stores.codec import decode_record, decode_served, encode_record, encode_revision, encode_served
from service.stores.connection import connection_pool, without_secrets
from service.ticks import Ticks

Answer = TypeVar("Answer")
Command = tuple[bytes | str | int, ...]

# KEYS: record. ARGV: expected revision (8 bytes), new record, then how SET treats the time to live.
REPLACE = """
local revision = redis.call('GETRANGE', KEYS[1], 0, 7)
if revision == '' then revision = string.rep('\\0', 8) end
if revision ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], unpack(ARGV, 3))
return 1
"""
REPLACE_SHA = hashlib.sha1(REPLACE.encode(), usedforsecurity=False).hexdigest()


def record_key(user_id: str) -> bytes:
    """Key of a user's record."""
    return b"kshot:{%b}:user" % _tag(user_id)


def served_key(user_id: str) -> bytes:
    """Key of the last list served to a user."""
    return b"kshot:{%b}:served" % _tag(user_id)


def _tag(user_id: str) -> bytes:
    """A user id as a hash tag, which keeps a user's keys on one node of a cluster; no id may end it early."""
    return user_id.replace("%", "%25").replace("}", "%7D").encode("utf-8", "surrogatepass")


class RedisStore:
    """A ``UserStore`` over the Redis protocol.

    All reads of one tick of the event loop share one MGET (11 µs a key instead of about 90), all writes one
    pipeline. An MGET over users on several nodes is refused by Redis Cluster: the keys are ready for it, this
    class is not.
    """

    def __init__(self, client: Redis, address: str, *, timeout_s: float, ttl_s: int, served_ttl_s: int) -> None:
        """Take over ``client``; :meth:`connect` makes one that suits."""
        self.address = address
        self._client = client
        self._timeout_s, self._ttl_s, self._served_ttl_s = timeout_s, ttl_s, served_ttl_s
        self._reads: Ticks[tuple[bytes, ...], list[bytes | None]] = Ticks(self._read_many)
        self._writes: Ticks[Command, Any] = Ticks(self._write_many)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        password: str | None = None,
        ca_file: Path | None = None,
        timeout_s: float,
        ttl_s: int,
        served_ttl_s: int,
        max_connections: int = 16,
    ) -> Self:
        """A store that connects when it is first used, and again whenever it has to.

        Args:
            url: redis://, rediss:// or unix:// address; may hold user, password and database.
            password: the password, where it is not in ``url``.
            ca_file: certificates, in PEM, of who may vouch for a rediss:// store; the system's if absent.
            timeout_s: longest time for any operation, connecting and waiting for a connection included.
            ttl_s: seconds after the last append when a record is dropped.
            served_ttl_s: seconds a served list is kept.
            max_connections: connections kept at most; more ticks than that under way wait.

        Raises:
            AddressInvalid: ``url`` is none of these; the message leaves out what might be a password.
            SettingInvalid: the certificates cannot be used.
        """
        pool = connection_pool(url, password=password, ca_file=ca_file, max_connections=max_connections)
        address = without_secrets(url)
        client = Redis.from_pool(pool)
        return cls(client, address, timeout_s=timeout_s, ttl_s=ttl_s, served_ttl_s=served_ttl_s)

    async def read(self, user_id: str) -> UserRecord:
        """See ``UserStore``."""
        (stored,) = await self._answer(self._reads.submit((record_key(user_id),)))
        return EMPTY if stored is None else decode_record(stored)

    async def read_with_served(self, user_id: str) -> tuple[UserRecord, tuple[str, ...]]:
        """See ``UserStore``."""
        stored, served = await self._answer(self._reads.submit((record_key(user_id), served_key(user_id))))
        record = EMPTY if stored is None else decode_record(stored)
        return record, () if served is None else decode_served(served)

    async def replace(self, user_id: str, record: UserRecord, expected_revision: int) -> bool:
        """See ``UserStore``."""
        same_events = record.revision == expected_revision > 0
        expiry = ("KEEPTTL",) if same_events else ("EX", self._ttl_s)
        expected = encode_revision(expected_revision)
        command = ("EVALSHA", REPLACE_SHA, 1, record_key(user_id), expected, encode_record(record), *expiry)
        return bool(await self._answer(self._writes.submit(command)))

    def note_served(self, user_id: str, item_ids: Sequence[str]) -> None:
        """See ``UserStore``."""
        command = ("SET", served_key(user_id), encode_served(item_ids), "EX", self._served_ttl_s)
        self._writes.submit(command).add_done_callback(_let_go)

    async def ping(self) -> None:
        """See ``UserStore``."""
        await self._answer(self._limited(self._client.ping()))

    async def close(self) -> None:
        """See ``UserStore``."""
        await self._reads.drain()
        await self._writes.drain()
        await self._client.aclose()

    async def _read_many(self, asked: list[tuple[bytes, ...]]) -> list[list[bytes | None]]:
        keys = [key for keys in asked for key in keys]
        values: Iterator[Any] = iter(await self._limited(self._client.mget(keys)))
        return [[next(values) for _ in keys] for keys in asked]

    async def _write_many(self, commands: list[Command]) -> list[Any]:
        replies = await self._limited(self._pipeline(commands))
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:  # a server that was restarted or flushed; EVAL brings the script along and leaves it there
            again = [("EVAL", REPLACE, *commands[place][2:]) for place in unknown]
            for place, reply in zip(unknown, await self._limited(self._pipeline(again)), strict=True):
                replies[place] = reply
        return replies

    async def _pipeline(self, commands: list[Command]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)

    async def _limited(self, operation: Awaitable[Answer]) -> Answer:
        async with asyncio.timeout(self._timeout_s):
            return await operation

    async def _answer(self, answer: Awaitable[Answer]) -> Answer:
        """Wait for an answer; the one place where the library's exceptions become ours."""
        try:
            return await answer
        except TimeoutError as exc:
            raise StoreUnavailable(f"user store {self.address}: no answer within {self._timeout_s:g} s") from exc
        except (RedisError, OSError) as exc:
            raise StoreUnavailable(f"user store {self.address}: {exc}") from exc


def _let_go(answer: asyncio.Future[Any]) -> None:
    """Take a failure off a future that nobody waits for, so that the loop does not report it."""
    if not answer.cancelled():
        answer.exception()
