"""Rate limits counted in the user store, for all workers together."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from service import telemetry
from service.errors import RateExceeded, SettingInvalid
from service.stores.redis.connection import connection_pool
from service.stores.redis.key_names import PREFIX, rates_prefix

PAUSE_S = 1.0
MAX_CONNECTIONS = 16

log = structlog.get_logger()


@dataclass(frozen=True)
class RateSettings:
    """Limits as they are written, e.g. "1000/second"; None sets none."""

    key_rate: str | None = None
    user_rate: str | None = None


class RateLimits:
    """Counts by a sliding window of two counters, which is what ``limits`` offers without a burst at a window's edge.

    A store that does not answer refuses nobody: it is left alone for a second, and what it missed is counted.
    """

    def __init__(
        self,
        pool: BlockingConnectionPool,
        settings: RateSettings,
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
        prefix: str = PREFIX,
    ) -> None:
        """Take over ``pool``; :meth:`connect` makes one that suits.

        ``clock`` counts seconds since 1970, and ``prefix`` begins every key of the service.
        """
        # The address that ``limits`` wants is of no effect beside a pool.
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=rates_prefix(prefix),
            connection_pool=pool,  # type: ignore[arg-type]
        )
        self._pool, self._limiter = pool, SlidingWindowCounterRateLimiter(storage)
        self._key_rate = _rate("key_rate", settings.key_rate)
        self._user_rate = _rate("user_rate", settings.user_rate)
        self._timeout_s, self._clock = timeout_s, clock
        self._asks_again_at = 0.0

    @classmethod
    def connect(
        cls,
        url: str,
        settings: RateSettings,
        *,
        password: str | None = None,
        ca_file: Path | None = None,
        timeout_s: float,
        prefix: str = PREFIX,
    ) -> Self:
        """Limits that connect when they are first asked; see ``RedisStore.connect`` for the arguments.

        Raises:
            AddressInvalid: ``url`` is not the address of a store.
            SettingInvalid: a limit is not one.
        """
        pool = connection_pool(url, password=password, ca_file=ca_file, max_connections=MAX_CONNECTIONS)
        return cls(pool, settings, timeout_s=timeout_s, prefix=prefix)

    @property
    def by_user(self) -> bool:
        """Whether users have a limit."""
        return self._user_rate is not None

    async def count(self, key_id: str | None, user_id: str | None) -> None:
        """Count one request; raises RateExceeded. What the user's limit refuses has counted for the key."""
        if self._clock() < self._asks_again_at:
            telemetry.rate_misses.inc()
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._count(self._key_rate, "key", key_id)
                # Hashed: a counter lives for two windows, and no user id stays behind in it.
                await self._count(self._user_rate, "user", None if user_id is None else _hashed(user_id))
        except (RedisError, OSError) as exc:  # a TimeoutError is one
            self._asks_again_at = self._clock() + PAUSE_S
            telemetry.rate_misses.inc()
            log.warning("rate limits not counted", reason=str(exc) or type(exc).__name__, pause_s=PAUSE_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _count(self, rate: RateLimitItem | None, by: str, name: str | None) -> None:
        if rate is None or name is None or await self._limiter.hit(rate, by, name):
            return
        stats = await self._limiter.get_window_stats(rate, by, name)
        left_s = max(0.0, stats.reset_time - self._clock())
        raise RateExceeded(f"requests of this {by}: over {rate}, expected at most that", by, left_s)


def _rate(name: str, text: str | None) -> RateLimitItem | None:
    try:
        return None if text is None else parse(text)
    except ValueError as exc:
        raise SettingInvalid(
            f"{name} (KSHOT_{name.upper()}): {text}, expected a rate as 100/second or 50/minute"
        ) from exc


def _hashed(user_id: str) -> str:
    return hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
