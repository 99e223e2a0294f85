"""The client of a store in Redis or Valkey: connections, time limits, batches of writes, demoted primaries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as ConnectionTimeout

from service.batching import TickBatcher
from service.core.ports import Durability
from service.errors import StoreUnavailable
from service.stores.redis import scripts
from service.stores.redis.breaker import Breaker
from service.stores.redis.connection import ConnectionCheck, StoreAddress
from service.stores.redis.durability import barrier, check_connection, fault_of
from service.stores.redis.pipeline import PipelinedConnections
from service.stores.redis.scripts import Command

Answer = TypeVar("Answer")

CONNECTION_ERRORS = (OSError, Disconnected, ConnectionTimeout)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """The parameters of a :class:`RedisClient`.

    Attributes:
        address: the store.
        timeout_s: time limit of an operation, connecting and waiting for a connection included.
        disk_timeout_s: additional time limit for a write to be on disk, and once more to be on a replica.
        durability: when a committed write is acknowledged.
        max_connections: most connections for reads, and as many for commits; further batches wait.
    """

    address: StoreAddress
    timeout_s: float
    disk_timeout_s: float = 0.5
    durability: Durability = "durable"
    max_connections: int = 16


class RedisClient:
    """Runs commands within time limits; raises StoreUnavailable for every failure of the store.

    The commits of one tick of the event loop share one pipeline and one barrier at its end, because WAITAOF covers only
    the writes of its own connection. Commits have connections of their own, so that reads never queue behind a barrier.
    """

    def __init__(self, options: ClientOptions, check: ConnectionCheck | None = None) -> None:
        """Prepare the connections, which open at first use; ``check`` inspects every new one.

        Raises:
            AddressInvalid: the address cannot be used; the message leaves out what might be a password.
            SettingInvalid: the certificates cannot be used.
        """
        address, checks = options.address, () if check is None else (check,)
        check_writer = partial(check_connection, durability=options.durability)
        self._reader = Redis.from_pool(address.pool(options.max_connections, partial(_begin, checks=checks)))
        self._writer = Redis.from_pool(
            address.pool(options.max_connections, partial(_begin, checks=(check_writer, *checks)))
        )
        self._address = address.without_secrets
        self._reading = PipelinedConnections(self._reader.connection_pool)
        self._writing = PipelinedConnections(self._writer.connection_pool)
        self._timeout_s = options.timeout_s
        self._barrier = barrier(options.durability, options.disk_timeout_s)
        self._commit_timeout_s = options.timeout_s + options.disk_timeout_s * len(self._barrier)
        self._breaker = Breaker(time.monotonic)
        self._commits: TickBatcher[Command, Any] = TickBatcher(self._commit_batch)
        self._caches: TickBatcher[Command, Any] = TickBatcher(self._cache_batch)

    def commit(self, command: Command) -> asyncio.Future[Any]:
        """Run a write with the other commits of this tick; the future waits until it is as durable as promised."""
        return self._commits.submit(command)

    def cache(self, command: Command) -> asyncio.Future[Any]:
        """Run a write that may be lost with the others of this tick; the future does not wait for the disk."""
        return self._caches.submit(command)

    def send(self, command: Command) -> None:
        """Run a write that may be lost, and ignore its failure."""
        self._caches.submit(command).add_done_callback(_ignore_failure)

    async def read(self, commands: Sequence[Command]) -> list[Any]:
        """Replies to ``commands``, which run in order; a reply may be a StoreUnavailable.

        If the server does not know a script, all of them run again, so that later commands see the script's effect.
        """
        replies = await self._send(self._reading, commands, self._timeout_s)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            replies = await self._send(self._reading, [*map(scripts.with_text, commands)], self._timeout_s)
        return self._translate_errors(replies)

    async def transaction(self, commands: Sequence[Command]) -> list[Any]:
        """Replies to ``commands``, which run as one transaction."""
        return await self._within_deadline(lambda: _transaction(self._reader, commands), self._timeout_s)

    async def ping(self) -> None:
        """Return if the store answers."""
        await self._within_deadline(self._reader.ping, self._timeout_s)

    async def close(self) -> None:
        """Finish pending writes and close all connections."""
        await self._caches.drain()
        await self._commits.drain()
        await self._reader.aclose()
        await self._writer.aclose()

    async def _cache_batch(self, commands: list[Command]) -> list[Any]:
        return await self._write(self._reading, commands, (), self._timeout_s)

    async def _commit_batch(self, commands: list[Command]) -> list[Any]:
        return await self._write(self._writing, commands, self._barrier, self._commit_timeout_s)

    async def _write(
        self, connections: PipelinedConnections, commands: list[Command], ending: tuple[Command, ...], limit_s: float
    ) -> list[Any]:
        """Run all writes; those whose script the server does not know, after a restart or a flush, run again."""
        replies = await self._write_once(connections, commands, ending, limit_s)
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            repeated = [scripts.with_text(commands[index]) for index in unknown]
            repeated_replies = await self._write_once(connections, repeated, ending, limit_s)
            for index, reply in zip(unknown, repeated_replies, strict=True):
                replies[index] = reply
        return self._translate_errors(replies)

    async def _write_once(
        self, connections: PipelinedConnections, commands: list[Command], ending: tuple[Command, ...], limit_s: float
    ) -> list[Any]:
        """Run one pipeline with ``ending``, the barrier that must succeed before any write is acknowledged."""
        answers = await self._send(connections, [*commands, *ending], limit_s)
        replies, endings = answers[: len(commands)], answers[len(commands) :]
        fault = next(filter(None, map(fault_of, endings)), None)
        if fault is None:
            return replies
        refusal = self._unavailable(fault)
        return [reply if isinstance(reply, Exception) else refusal for reply in replies]

    async def _send(self, connections: PipelinedConnections, commands: Sequence[Command], limit_s: float) -> list[Any]:
        replies = await self._within_deadline(lambda: connections.send(commands), limit_s)
        await self._reconnect_if_demoted(replies)
        return replies

    async def _reconnect_if_demoted(self, replies: Sequence[Any]) -> None:
        """Drop all connections after a READONLY error: the primary was demoted.

        Its reads are stale, and new connections to the same address reach the new primary.
        """
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            for client in (self._reader, self._writer):
                await client.connection_pool.disconnect(inuse_connections=True)

    async def _within_deadline(self, operation: Callable[[], Awaitable[Answer]], limit_s: float) -> Answer:
        """Run one round trip within ``limit_s``; refuse it at once while the breaker is open."""
        if not self._breaker.allows():
            raise self._unavailable("did not answer lately, so it was not asked")
        try:
            async with asyncio.timeout(limit_s):
                answer = await operation()
        except TimeoutError as exc:
            self._breaker.failed()
            raise self._unavailable(f"no answer within {limit_s:g} s") from exc
        except CONNECTION_ERRORS as exc:
            self._breaker.failed()
            raise self._translated(exc) from exc
        except RedisError as exc:
            raise self._translated(exc) from exc
        self._breaker.succeeded()
        return answer

    def _translate_errors(self, replies: list[Any]) -> list[Any]:
        return [self._translated(reply) if isinstance(reply, RedisError) else reply for reply in replies]

    def _translated(self, error: Exception) -> StoreUnavailable:
        """Our error for an error of the library, whose text may name the address: it is for the log alone."""
        message = f"user store {self._address}: {error}"
        if isinstance(error, OutOfMemoryError):
            translated = StoreUnavailable(
                message, "user store: its memory is full, so nothing was stored; resend the request once it has room"
            )
        else:
            translated = StoreUnavailable(message)
        translated.__cause__ = error
        return translated

    def _unavailable(self, fault: str) -> StoreUnavailable:
        return StoreUnavailable(f"user store {self._address}: {fault}", f"user store: {fault}; resend the request")


async def _begin(connection: AbstractConnection, *, checks: Sequence[ConnectionCheck]) -> None:
    """Initialise and check a connection, as redis-py's ``redis_connect_func``.

    Raises:
        RedisError: a check refuses the store.
    """
    await connection.on_connect()
    for check in checks:
        await check(connection)


async def _transaction(client: Redis, commands: Sequence[Command]) -> list[Any]:
    pipeline = client.pipeline(transaction=True)
    for command in commands:
        pipeline.execute_command(*command)
    return await pipeline.execute()


def _ignore_failure(future: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a future without waiters, so that the event loop does not report it."""
    if not future.cancelled():
        future.exception()
