"""The user store in Redis or Valkey: one record a user, atomic scripts to replace it, one round trip a tick."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as ConnectionTimeout

from service.batching import Ticks
from service.core.values import EMPTY, Held, Older, UserRecord
from service.errors import RecordDamaged, StoreUnavailable
from service.stores.records.archive import decode_older, encode_departed
from service.stores.records.codec import decode_record, decode_served, encode_record, encode_revision
from service.stores.redis import scripts
from service.stores.redis.breaker import Breaker
from service.stores.redis.catalogue import CatalogueMarking
from service.stores.redis.connection import connection_pool, without_secrets
from service.stores.redis.durability import Durability, barrier, check_connection, fault_of
from service.stores.redis.key_names import PREFIX, keys_of, older_key, record_key, served_key
from service.stores.redis.pipeline import Lines
from service.stores.redis.scripts import Command
from service.stores.redis.served import Notes

Answer = TypeVar("Answer")
Ending = tuple[Command, ...]

# Events that left the record and can still be unlearned one by one; of older ones only the items stay, as seen.
MAX_OLDER = 10_000
NOTES_WAIT_S = 0.01  # longest time until a served list is noted
PARTS = ("record", "older events", "served list")
BROKEN = (OSError, Disconnected, ConnectionTimeout)

log = structlog.get_logger()


class RedisStore:
    """A ``UserStore`` over the Redis protocol.

    All reads of one tick of the event loop share one MGET (11 µs a key instead of about 90), all writes one
    pipeline. Served lists are noted together, some time soon or by the next read that asks for one; other reads do not
    take them along, since a store that syncs before it answers would keep them waiting. What is acknowledged shares one
    WAITAOF at the end of its pipeline, since it speaks for the writes of its own connection only; those connections are
    others than the ones for reads, which so never queue behind an answer that is waited for. An MGET over users
    on several nodes is refused by Redis Cluster: the keys are ready for it, this class is not.
    """

    def __init__(
        self,
        reader: Redis,
        writer: Redis,
        address: str,
        *,
        timeout_s: float,
        disk_timeout_s: float,
        ttl_s: int,
        served_ttl_s: int,
        durability: Durability,
        prefix: str = PREFIX,
        marking: CatalogueMarking | None = None,
    ) -> None:
        """Take over both clients; :meth:`connect` makes them."""
        self.address = address
        self._prefix, self._marking = prefix, marking
        self._reader, self._writer = reader, writer
        self._reading, self._writing = Lines(reader.connection_pool), Lines(writer.connection_pool)
        self._timeout_s, self._ttl_s = timeout_s, ttl_s
        self._notes = Notes(served_ttl_s, ttl_s, prefix)
        self._barrier = barrier(durability, disk_timeout_s)
        self._commit_timeout_s = timeout_s + disk_timeout_s * len(self._barrier)
        self._breaker = Breaker(time.monotonic)
        self._reads: Ticks[tuple[bytes, ...], list[bytes | None]] = Ticks(self._read_many)
        self._caches: Ticks[Command, Any] = Ticks(self._write_many)
        self._commits: Ticks[Command, Any] = Ticks(self._commit_many)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        password: str | None = None,
        ca_file: Path | None = None,
        timeout_s: float,
        disk_timeout_s: float = 0.5,
        ttl_s: int,
        served_ttl_s: int,
        durability: Durability = "durable",
        max_connections: int = 16,
        prefix: str = PREFIX,
        marking: CatalogueMarking | None = None,
    ) -> Self:
        """A store that connects when it is first used, and again whenever it has to.

        Args:
            url: redis://, rediss:// or unix:// address; may hold user, password and database.
            password: the password, where it is not in ``url``.
            ca_file: certificates, in PEM, of who may vouch for a rediss:// store; the system's if absent.
            timeout_s: longest time for any operation, connecting and waiting for a connection included.
            disk_timeout_s: longest time that a write may take beyond that until it is on disk.
            ttl_s: seconds after the last contact when all that is held about a user is dropped.
            served_ttl_s: seconds a served list is kept.
            durability: what is waited for before a write counts as kept.
            max_connections: connections kept at most for reads, and as many for writes; more ticks than that under way
                wait.
            prefix: beginning of every key.
            marking: says on every new connection whether the users belong to the catalogue that is served; None does
                not look.

        Raises:
            AddressInvalid: ``url`` is none of these; the message leaves out what might be a password.
            SettingInvalid: the certificates cannot be used.
        """
        connections = partial(connection_pool, url, password=password, ca_file=ca_file, max_connections=max_connections)
        begins = (partial(_begin, durability=each, marking=marking) for each in (None, durability))
        reader, writer = (Redis.from_pool(connections(begin=begin)) for begin in begins)
        address = without_secrets(url)
        return cls(
            reader,
            writer,
            address,
            timeout_s=timeout_s,
            disk_timeout_s=disk_timeout_s,
            ttl_s=ttl_s,
            served_ttl_s=served_ttl_s,
            durability=durability,
            prefix=prefix,
            marking=marking,
        )

    async def read(self, user_id: str) -> UserRecord:
        """See ``UserStore``."""
        (stored,) = await self._answer(self._reads.submit((record_key(user_id, self._prefix),)))
        return _record(stored)

    async def read_with_served(self, user_id: str) -> tuple[UserRecord, tuple[str, ...]]:
        """See ``UserStore``."""
        keys = record_key(user_id, self._prefix), served_key(user_id, self._prefix)
        stored, served = await self._answer(self._reads.submit(keys))
        return _record(stored), _served(served)

    async def held(self, user_id: str) -> Held:
        """See ``UserStore``."""
        record, older, served = keys_of(user_id, self._prefix)
        commands: list[Command] = [("GET", record), ("LRANGE", older, 0, -1), ("GET", served), ("TTL", record)]
        asked = self._asked(lambda: _at_once(self._reader, commands), self._timeout_s)
        stored, entries, listed, ttl_s = await self._answer(asked)
        return Held(_record(stored), decode_older(entries), _served(listed), ttl_s if ttl_s >= 0 else None)

    async def replace(
        self,
        user_id: str,
        record: UserRecord,
        expected_revision: int,
        departed: Older = (),
        *,
        is_cache: bool = False,
    ) -> bool:
        """See ``UserStore``."""
        same_events = record.revision == expected_revision > 0
        expected, ttl_s = encode_revision(expected_revision), 0 if same_events else self._ttl_s
        command = scripts.call(
            scripts.REPLACE,
            (record_key(user_id, self._prefix), older_key(user_id, self._prefix)),
            expected,
            encode_record(record),
            ttl_s,
            MAX_OLDER,
            *map(encode_departed, departed),
        )
        return bool(await self._answer((self._caches if is_cache else self._commits).submit(command)))

    async def rewrite(self, user_id: str, record: UserRecord, older: Older, expected_revision: int) -> bool:
        """See ``UserStore``."""
        self._notes.drop(user_id)
        stored = b"" if record.is_empty else encode_record(record)
        expected = encode_revision(expected_revision)
        keys = keys_of(user_id, self._prefix)
        command = scripts.call(scripts.REWRITE, keys, expected, stored, *map(encode_departed, older))
        return bool(await self._answer(self._commits.submit(command)))

    async def erase(self, user_id: str) -> tuple[str, ...]:
        """See ``UserStore``."""
        self._notes.drop(user_id)
        command = scripts.call(scripts.ERASE, keys_of(user_id, self._prefix))
        found = await self._answer(self._commits.submit(command))
        return tuple(part for part, was_there in zip(PARTS, found, strict=True) if was_there)

    def note_served(self, user_id: str, item_ids: Sequence[str], revision: int) -> None:
        """See ``UserStore``."""
        if not self._notes:
            asyncio.get_running_loop().call_later(NOTES_WAIT_S, self._send_notes)
        self._notes.add(user_id, item_ids, revision)

    async def ping(self) -> None:
        """See ``UserStore``."""
        await self._answer(self._asked(self._reader.ping, self._timeout_s))

    async def mark_catalogue(self) -> None:
        """Say in the store that the users now belong to the catalogue that is served; a failure is logged."""
        if self._marking is not None:
            await self._marking.renew(self._writer, self._timeout_s)

    async def close(self) -> None:
        """See ``UserStore``."""
        self._send_notes()
        for ticks in (self._reads, self._caches, self._commits):
            await ticks.drain()
        await self._reader.aclose()
        await self._writer.aclose()

    async def _read_many(self, asked: list[tuple[bytes, ...]]) -> list[list[bytes | None]]:
        keys = [key for keys in asked for key in keys]
        read: Command = ("MGET", *keys)
        notes = self._notes.take() if any(len(keys) > 1 for keys in asked) else ()
        *noted, values = await self._asked(lambda: self._reading.ask([*notes, read]), self._timeout_s)
        if any(isinstance(reply, NoScriptError) for reply in noted):
            again = [*map(scripts.with_text, notes), read]
            *noted, values = await self._asked(lambda: self._reading.ask(again), self._timeout_s)
        await self._look_at(noted)
        if isinstance(values, Exception):
            raise values
        found: Iterator[bytes | None] = iter(values)
        return [[next(found) for _ in keys] for keys in asked]

    def _send_notes(self) -> None:
        """Note what was served of late and no read has taken along; it may be lost."""
        for command in self._notes.take():
            self._caches.submit(command).add_done_callback(_let_go)

    async def _write_many(self, commands: list[Command]) -> list[Any]:
        return await self._write(self._reading, commands, (), self._timeout_s)

    async def _commit_many(self, commands: list[Command]) -> list[Any]:
        return await self._write(self._writing, commands, self._barrier, self._commit_timeout_s)

    async def _write(self, lines: Lines, commands: list[Command], ending: Ending, limit_s: float) -> list[Any]:
        """Write all; again where the server does not know a script, since it was restarted or flushed."""
        replies = await self._write_once(lines, commands, ending, limit_s)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = [scripts.with_text(commands[place]) for place in unknown]
            for place, reply in zip(unknown, await self._write_once(lines, again, ending, limit_s), strict=True):
                replies[place] = reply
        return replies

    async def _write_once(self, lines: Lines, commands: list[Command], ending: Ending, limit_s: float) -> list[Any]:
        """One pipeline and, on the same connection, what has to come true before any of it counts."""
        answers = await self._asked(lambda: lines.ask([*commands, *ending]), limit_s)
        replies, endings = answers[: len(commands)], answers[len(commands) :]
        await self._look_at(replies)
        fault = next(filter(None, map(fault_of, endings)), None)
        if fault is None:
            return replies
        refusal = self._unavailable(fault)
        return [reply if isinstance(reply, Exception) else refusal for reply in replies]

    async def _look_at(self, replies: Sequence[Any]) -> None:
        """Let go of all connections where a write was refused because the primary has become a replica.

        Reads from it are stale; whoever took its place is at the same address for new connections.
        """
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            for each in (self._reader, self._writer):
                await each.connection_pool.disconnect(inuse_connections=True)

    async def _asked(self, operation: Callable[[], Awaitable[Answer]], limit_s: float) -> Answer:
        """One round trip within its limit, unless the store has been given up for the moment."""
        if not self._breaker.allows():
            raise self._unavailable("did not answer lately, so it was not asked")
        try:
            async with asyncio.timeout(limit_s):
                answer = await operation()
        except TimeoutError as exc:
            self._breaker.failed()
            raise self._unavailable(f"no answer within {limit_s:g} s") from exc
        except BROKEN:
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        return answer

    async def _answer(self, answer: Awaitable[Answer]) -> Answer:
        """Wait for an answer; the one place where the library's exceptions become ours."""
        try:
            return await answer
        except OutOfMemoryError as exc:
            told = "user store: its memory is full, so nothing was kept; send it again once it has room"
            raise StoreUnavailable(f"user store {self.address}: {exc}", told) from exc
        except (RedisError, OSError) as exc:
            # What the library says may name the address: for the log alone.
            raise StoreUnavailable(f"user store {self.address}: {exc}") from exc

    def _unavailable(self, fault: str) -> StoreUnavailable:
        return StoreUnavailable(f"user store {self.address}: {fault}", f"user store: {fault}; send it again")


async def _begin(
    connection: AbstractConnection, *, durability: Durability | None, marking: CatalogueMarking | None
) -> None:
    """Begin a connection, as redis-py's ``redis_connect_func``: for writes that count only if ``durability`` is kept.

    Raises:
        RedisError: the store does not keep what it confirms, or its users belong to another catalogue.
    """
    await connection.on_connect()
    if durability is not None:
        await check_connection(connection, durability)
    if marking is not None:
        await marking.check_connection(connection)


async def _at_once(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """Replies to commands that let nobody in between."""
    pipeline = client.pipeline(transaction=True)
    for command in commands:
        pipeline.execute_command(*command)
    return await pipeline.execute()


def _record(stored: bytes | None) -> UserRecord:
    return EMPTY if stored is None else decode_record(stored)


def _served(stored: bytes | None) -> tuple[str, ...]:
    """The last list served; a damaged one costs a hit in a metric and no feedback, and the next list replaces it."""
    try:
        return () if stored is None else decode_served(stored)
    except RecordDamaged as exc:
        log.warning("served list damaged", reason=str(exc))
        return ()


def _let_go(answer: asyncio.Future[Any]) -> None:
    """Take a failure off a future that nobody waits for, so that the loop does not report it."""
    if not answer.cancelled():
        answer.exception()
