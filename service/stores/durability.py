"""What has to be on the store's disk before a write is acknowledged.

That is for the store to do: with ``appendfsync always`` it syncs before it answers anything that followed a write, all
writes of one turn of its loop together. With ``everysec`` no barrier helps. WAITAOF should wait there, too, but Valkey
9.1 and Redis 7.4 answer it as soon as they next look, with nothing synced: 1,133 writes were confirmed in three seconds
with 3 calls of fdatasync (https://github.com/redis/redis/pull/13793). Where that is mended it takes up to a second.
"""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from typing import Any, Literal

import structlog
from redis import Redis
from redis.asyncio.connection import AbstractConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from service.errors import StoreUnsuitable
from service.stores.scripts import Command

Durability = Literal["durable", "replicated", "fast"]
"""When a write is acknowledged: once the store has synced it to disk (``durable``); once a replica has it, too
(``replicated``), so that it outlives the store's machine; or at once, and what the store had not synced may be lost
(``fast``)."""

SYNCED = "always"  # the value of appendfsync with which confirmed means on disk

log = structlog.get_logger()


def barrier(durability: Durability, timeout_s: float) -> tuple[Command, ...]:
    """What follows the writes of a pipeline: nothing, or a wait for all that its connection has written so far.

    WAITAOF tells whether there is an append-only file at all that is written and synced.
    A replica is waited for by WAIT, which asks it: of what is on its disk, which WAITAOF would wait for, it tells once
    a second (1.1 s an answer, measured with Valkey 9.1).
    """
    timeout_ms = max(1, round(timeout_s * 1000))
    on_disk, on_a_replica = ("WAITAOF", 1, 0, timeout_ms), ("WAIT", 1, timeout_ms)
    match durability:
        case "fast":
            return ()
        case "replicated":
            return on_disk, on_a_replica
        case _:
            return (on_disk,)


def fault_of(reply: Any) -> str | None:
    """Why what stood before a barrier is not where it should be, by the barrier's reply; None if it is."""
    if isinstance(reply, Exception):
        return f"cannot confirm that it is on disk ({reply})"
    if isinstance(reply, int):  # of WAIT: how many replicas have it
        return None if reply >= 1 else "not on a replica in time"
    return None if reply[0] >= 1 else "not on disk in time"


def check(url: str, credentials: dict[str, Any], durability: Durability, timeout_s: float) -> None:
    """Refuse a store that can never keep the promise; one that does not answer yet is looked at when it does.

    Raises:
        StoreUnsuitable: it has no WAITAOF or no append-only file, or does not sync that before it answers.
    """
    if durability == "fast":
        return
    limits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}
    try:
        with closing(Redis.from_url(url, **limits, **credentials)) as client:
            _check(client, durability)
    except (RedisError, OSError, ValueError) as exc:
        # Its address stays out, which may hold a password; the store itself says in time what is wrong.
        log.warning("user store not checked", durability=durability, reason=type(exc).__name__)


def _check(client: Redis, durability: Durability) -> None:
    try:
        client.waitaof(1, 0, 1)
    except ResponseError as exc:
        if "WAITAOF" not in str(exc) or "replica" in str(exc):  # a replica now may be the primary when it matters
            raise
        raise StoreUnsuitable(
            f"durability: {durability}, but the user store refuses WAITAOF ({exc}); expected Valkey, or Redis from 7.2 "
            "on, with appendonly yes; or --durability fast, which may lose the last second of feedback"
        ) from exc
    _check_synced_before_answers(client, durability)


def _check_synced_before_answers(client: Redis, durability: Durability) -> None:
    try:
        found = client.config_get("appendfsync").get("appendfsync")
    except ResponseError as exc:
        log.warning("user store hides when it syncs", expected=f"appendfsync {SYNCED}", reason=str(exc))
        return
    if found != SYNCED:
        raise StoreUnsuitable(
            f"durability: {durability}, but the user store has {_unsynced(found)}; or --durability fast, which may "
            "lose the last second of feedback"
        )


async def begin(connection: AbstractConnection) -> None:
    """Begin a connection for writes that are to be on disk, as redis-py's ``redis_connect_func``.

    A store may be away when :func:`check` asks, and a replica that is promoted has settings of its own.

    Raises:
        RedisError: the store does not sync what it confirms.
    """
    await connection.on_connect()
    await connection.send_command("CONFIG", "GET", "appendfsync")
    try:
        reply = await connection.read_response()
    except ResponseError:  # hidden by whoever runs it
        return
    _, found = chain.from_iterable(reply.items()) if isinstance(reply, dict) else reply
    if found.decode() != SYNCED:
        raise RedisError(_unsynced(found.decode()))


def _unsynced(found: str | None) -> str:
    return f"appendfsync {found}, with which it confirms what is not on disk; expected appendfsync {SYNCED}"
