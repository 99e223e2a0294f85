"""Checks that a store keeps what it acknowledges: it syncs to disk before it answers, and never evicts.

With ``appendfsync always`` the store syncs before it answers any command that followed a write, once per turn of its
loop. With ``everysec`` no barrier helps: WAITAOF should wait, but Valkey 9.1 and Redis 7.4 answer it at their next turn
with nothing synced. 1,133 writes were confirmed in three seconds with 3 calls of fdatasync
(https://github.com/redis/redis/pull/13793). Versions with the fix take up to a second.

A store with an eviction policy drops users when its memory is full, with ``volatile-*`` too, because every record has a
time to live. The policy is refused whatever ``maxmemory`` is now, because it can change while connections are open.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import structlog
from redis import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from service.core.ports import Durability
from service.errors import AddressInvalid, StoreUnsuitable
from service.stores.redis.connection import StoreAddress
from service.stores.redis.scripts import Command


@dataclass(frozen=True)
class _Setting:
    """A setting of the store with its required value.

    Attributes:
        name: its name in CONFIG.
        value: the required value.
        otherwise: the effect of any other value.
        in_memory_info: its name in INFO memory, for hosted stores, which hide CONFIG.
    """

    name: str
    value: str
    otherwise: str
    in_memory_info: str | None = None

    def commands(self) -> tuple[Command, ...]:
        """The commands that read it; the second is for a store that refuses the first."""
        config: Command = ("CONFIG", "GET", self.name)
        return (config, ("INFO", "memory")) if self.in_memory_info else (config,)

    def fault(self, value: str) -> str:
        """The message about another ``value``, with the required one."""
        return f"{self.name} {value}, {self.otherwise}; expected {self.name} {self.value}"


NEVER_EVICTED = _Setting(
    "maxmemory-policy",
    "noeviction",
    "so it drops acknowledged users once its memory is full (with noeviction it refuses new feedback instead)",
    in_memory_info="maxmemory_policy",
)
SYNCED = (
    _Setting("appendfsync", "always", "so it confirms writes that are not on disk"),
    _Setting(
        "no-appendfsync-on-rewrite", "no", "so it confirms writes that are not on disk while it rewrites its file"
    ),
)

log = structlog.get_logger()


def barrier(durability: Durability, timeout_s: float) -> tuple[Command, ...]:
    """Commands that end a pipeline of writes: they wait until the connection's writes are as durable as promised.

    WAITAOF confirms that an append-only file exists and is synced. WAIT makes a replica answer at once. WAITAOF for a
    replica would take 1.1 s (measured with Valkey 9.1), because replicas report their disk only once a second.
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
    """The reason why the writes before a barrier are not durable, from the barrier's reply; None if they are."""
    if isinstance(reply, Exception):
        return f"cannot confirm that it is on disk ({reply})"
    if isinstance(reply, int):  # WAIT's number of replicas
        return None if reply >= 1 else "not on a replica in time"
    return None if reply[0] >= 1 else "not on disk in time"


def check(address: StoreAddress, durability: Durability, timeout_s: float) -> None:
    """Refuse a store that cannot keep the promise; a store that does not answer yet is checked on connection.

    Raises:
        StoreUnsuitable: the store evicts; or, unless ``durability`` is ``fast``, it lacks WAITAOF or an append-only
            file, or answers before it syncs.
        AddressInvalid: the store has no database of the address's number.
    """
    try:
        with closing(address.blocking_client(timeout_s)) as client:
            _check(client, durability)
    except (RedisError, OSError, ValueError) as exc:
        if "DB index is out of range" in str(exc):
            raise AddressInvalid(
                "the user store's address names a database that the store does not have; expected a number below its "
                "setting `databases` (16 unless set), or 0"
            ) from exc
        # Without the address, which may hold a password; the first request reports the store's own error.
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
    """The value of a setting; or None, and the reason why the store hides it."""
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
        if "WAITAOF" not in str(exc) or "replica" in str(exc):  # a replica may be the primary by the first write
            raise
        raise StoreUnsuitable(
            f"durability: {durability}, but the user store refuses WAITAOF ({exc}); expected Valkey, or Redis from 7.2 "
            "on, with appendonly yes; or --durability fast, which may lose the last second of feedback"
        ) from exc


def _settings(durability: Durability) -> tuple[_Setting, ...]:
    """The settings that a durability requires; none allows eviction."""
    return (NEVER_EVICTED,) if durability == "fast" else (NEVER_EVICTED, *SYNCED)


def _refusal(setting: _Setting, value: str, durability: Durability) -> str:
    if setting is NEVER_EVICTED:
        return (
            f"the user store has {setting.fault(value)}: redis-cli CONFIG SET {setting.name} {setting.value}, and the "
            "same in its configuration file"
        )
    return (
        f"durability: {durability}, but the user store has {setting.fault(value)}; or --durability fast, which may "
        "lose the last second of feedback"
    )


async def check_connection(connection: AbstractConnection, durability: Durability) -> None:
    """Check the settings on a new connection.

    The store may have been unreachable for :func:`check`, and a promoted replica has its own settings.

    Raises:
        RedisError: the store evicts, or answers before it syncs.
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
        except ResponseError:  # the store hides it
            continue
        if value is not None:
            return value
    return None


def _value(reply: Any, setting: _Setting) -> str | None:
    """The value of a setting from a reply to one of its commands, parsed or raw; None if the reply lacks it."""
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
