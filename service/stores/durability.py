"""What has to be on the store's disk before a write is acknowledged."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Literal

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from service.errors import StoreUnsuitable
from service.stores.scripts import Command

Durability = Literal["durable", "always", "replicated", "fast"]
"""When a write is acknowledged: once the store has synced it to disk, where its append-only file is synced in the
background (``durable``) or before every answer (``always``); once a replica has it, too (``replicated``), so that it
outlives the store's machine; or at once, and the last second may be lost (``fast``)."""

log = structlog.get_logger()


def barrier(durability: Durability, timeout_s: float) -> tuple[Command, ...]:
    """What follows the writes of a pipeline: nothing, or a wait for all that its connection has written so far.

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
    """Refuse a store that can never keep the promise; one that does not answer yet is given the benefit of the doubt.

    Raises:
        StoreUnsuitable: it has no WAITAOF or no append-only file, or does not sync before every answer as asked.
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
    if durability == "always":
        _check_synced_before_answers(client)


def _check_synced_before_answers(client: Redis) -> None:
    try:
        found = client.config_get("appendfsync").get("appendfsync")
    except ResponseError:  # hidden by whoever runs it; WAITAOF keeps the promise all the same
        return
    if found != "always":
        raise StoreUnsuitable(
            f"durability: always, but the user store has appendfsync {found}; expected appendfsync always, "
            "or --durability durable"
        )
