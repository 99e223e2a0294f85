"""Which stores keep what they acknowledge: synced to disk before the answer, and never evicted.

That is for the store to do: with ``appendfsync always`` it syncs before it answers anything that followed a write, all
writes of one turn of its loop together. With ``everysec`` no barrier helps. WAITAOF should wait there, too, but Valkey
9.1 and Redis 7.4 answer it as soon as they next look, with nothing synced: 1,133 writes were confirmed in three seconds
with 3 calls of fdatasync (https://github.com/redis/redis/pull/13793). Where that is mended it takes up to a second.

A store with a policy of eviction drops users when its memory is full: ``volatile-*`` too, since every record has a time
to live. The policy is refused whatever ``maxmemory`` is now, because that can be set while connections are open.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from redis import Redis
from redis.asyncio.connection import AbstractConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from service.errors import AddressInvalid, StoreUnsuitable
from service.stores.redis.scripts import Command

Durability = Literal["durable", "replicated", "fast"]
"""When a write is acknowledged: once the store has synced it to disk (``durable``); once a replica has it, too
(``replicated``), so that it outlives the store's machine; or at once, and what the store had not synced may be lost
(``fast``)."""


@dataclass(frozen=True)
class _Setting:
    """A setting of the store, the one value that keeps the promise, and what any other value leads to."""

    name: str
    value: str
    otherwise: str
    in_memory_info: str | None = None
    """The name in INFO memory, which stores tell that hide CONFIG, as hosted ones do."""

    def commands(self) -> tuple[Command, ...]:
        """The commands that read it, the second for a store that refuses the first."""
        config: Command = ("CONFIG", "GET", self.name)
        return (config, ("INFO", "memory")) if self.in_memory_info else (config,)

    def fault(self, found: str) -> str:
        """The complaint about another value, with what to set."""
        return f"{self.name} {found}, {self.otherwise}; expected {self.name} {self.value}"


NEVER_EVICTED = _Setting(
    "maxmemory-policy",
    "noeviction",
    "with which it drops users whom it has acknowledged once its memory is full (with noeviction it refuses new "
    "feedback instead)",
    in_memory_info="maxmemory_policy",
)
SYNCED = (
    _Setting("appendfsync", "always", "with which it confirms what is not on disk"),
    _Setting(
        "no-appendfsync-on-rewrite", "no", "with which it confirms what is not on disk while it rewrites its file"
    ),
)

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
        StoreUnsuitable: it evicts; or, unless ``durability`` is ``fast``, it has no WAITAOF or no append-only file, or
            does not sync that before it answers.
        AddressInvalid: it has no database of the address's number.
    """
    limits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}
    try:
        with closing(Redis.from_url(url, **limits, **credentials)) as client:
            _check(client, durability)
    except (RedisError, OSError, ValueError) as exc:
        if "DB index is out of range" in str(exc):
            raise AddressInvalid(
                "the user store's address names a database that the store does not have; expected a number below its "
                "setting `databases` (16 unless set), or 0"
            ) from exc
        # Its address stays out, which may hold a password; the store itself says in time what is wrong.
        log.warning("user store not checked", durability=durability, reason=type(exc).__name__)


def _check(client: Redis, durability: Durability) -> None:
    if durability != "fast":
        _check_append_only_file(client, durability)
    for setting in _settings(durability):
        value, reason = _read(client, setting)
        if value is None:
            log.warning("user store hides a setting", expected=f"{setting.name} {setting.value}", reason=reason)
        elif value != setting.value:
            raise StoreUnsuitable(_refusal(setting, value, durability))


def _read(client: Redis, setting: _Setting) -> tuple[str | None, str]:
    """The value of a setting, or None and the reason why the store does not tell it."""
    reason = "no such setting"
    for command in setting.commands():
        try:
            value = _value(client.execute_command(*command), setting)  # type: ignore[no-untyped-call]
        except ResponseError as exc:
            reason = str(exc)
        else:
            if value is not None:
                return value, ""
    return None, reason


def _check_append_only_file(client: Redis, durability: Durability) -> None:
    try:
        client.waitaof(1, 0, 1)
    except ResponseError as exc:
        if "WAITAOF" not in str(exc) or "replica" in str(exc):  # a replica now may be the primary when it matters
            raise
        raise StoreUnsuitable(
            f"durability: {durability}, but the user store refuses WAITAOF ({exc}); expected Valkey, or Redis from 7.2 "
            "on, with appendonly yes; or --durability fast, which may lose the last second of feedback"
        ) from exc


def _settings(durability: Durability) -> tuple[_Setting, ...]:
    """Settings that the promise depends on: eviction breaks even the weakest."""
    return (NEVER_EVICTED,) if durability == "fast" else (NEVER_EVICTED, *SYNCED)


def _refusal(setting: _Setting, found: str, durability: Durability) -> str:
    if setting is NEVER_EVICTED:
        return (
            f"the user store has {setting.fault(found)}: redis-cli CONFIG SET {setting.name} {setting.value}, and the "
            "same in its configuration file"
        )
    return (
        f"durability: {durability}, but the user store has {setting.fault(found)}; or --durability fast, which may "
        "lose the last second of feedback"
    )


async def check_connection(connection: AbstractConnection, durability: Durability) -> None:
    """Look at the settings again on a new connection.

    A store may be away when :func:`check` asks, and a replica that is promoted has settings of its own.

    Raises:
        RedisError: the store evicts, or does not sync what it confirms.
    """
    for setting in _settings(durability):
        value = await _read_on(connection, setting)
        if value not in (None, setting.value):
            raise RedisError(setting.fault(str(value)))


async def _read_on(connection: AbstractConnection, setting: _Setting) -> str | None:
    for command in setting.commands():
        await connection.send_command(*command)
        try:
            value = _value(await connection.read_response(), setting)
        except ResponseError:  # hidden by whoever runs it
            continue
        if value is not None:
            return value
    return None


def _value(reply: Any, setting: _Setting) -> str | None:
    """The value of a setting in a reply to one of its commands, parsed by redis-py or not; None in an empty one."""
    if isinstance(reply, bytes):
        lines = (line.partition(":") for line in reply.decode().splitlines())
        return next((value for name, _, value in lines if name == setting.in_memory_info), None)
    if isinstance(reply, dict):
        return next(
            (_text(value) for name, value in reply.items() if _text(name) in (setting.name, setting.in_memory_info)),
            None,
        )
    return _text(reply[1]) if reply else None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
