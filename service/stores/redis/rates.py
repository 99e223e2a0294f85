"""Rate limits, counted in the user store for all workers."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from service import telemetry
from service.errors import RateExceeded, SettingInvalid
from service.stores.redis.connection import StoreAddress
from service.stores.redis.key_names import KeyNames

PAUSE_S = 1.0
MAX_CONNECTIONS = 16

log = structlog.get_logger()


@dataclass(frozen=True)
class RateSettings:
    """Limits as text, e.g. "1000/second"; None is unlimited."""

    key_rate: str | None = None
    user_rate: str | None = None


class RateLimits:
    """Counts requests in a sliding window of two counters, which allows no burst at the edge of a window.

    While the store does not answer, every request passes: the store is not asked for a second, and the metric of missed
    counts grows.
    """

    def __init__(
        self,
        pool: BlockingConnectionPool,
        settings: RateSettings,
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
        keys: KeyNames,
    ) -> None:
        """Take over ``pool``; ``clock`` counts seconds since 1970. :meth:`connect` makes the pool."""
        # ``limits`` requires an address, and ignores it beside a pool.
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=keys.rates,
            connection_pool=pool,  # type: ignore[arg-type]
        )
        self._pool, self._limiter = pool, SlidingWindowCounterRateLimiter(storage)
        self._key_rate = _rate("key_rate", settings.key_rate)
        self._user_rate = _rate("user_rate", settings.user_rate)
        self._timeout_s, self._clock = timeout_s, clock
        self._paused_until = 0.0

    @classmethod
    def connect(
        cls,
        address: StoreAddress,
        settings: RateSettings,
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
        keys: KeyNames,
    ) -> Self:
        """Limits that connect at the first request.

        Raises:
            AddressInvalid: ``address`` is not the address of a store.
            SettingInvalid: a limit cannot be parsed.
        """
        return cls(address.pool(MAX_CONNECTIONS), settings, timeout_s=timeout_s, clock=clock, keys=keys)

    @property
    def by_user(self) -> bool:
        """True if users have a limit."""
        return self._user_rate is not None

    async def count(self, key_id: str | None, user_id: str | None) -> None:
        """Count one request for its key, then for its user; raises RateExceeded at the first exceeded limit."""
        if self._clock() < self._paused_until:
            telemetry.rate_misses.inc()
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._count(self._key_rate, "key", key_id)
                # Hashed: a counter outlives the user's data by up to two windows, so it must not name the user.
                await self._count(self._user_rate, "user", None if user_id is None else _hashed(user_id))
        except (RedisError, OSError) as exc:  # TimeoutError included
            self._paused_until = self._clock() + PAUSE_S
            telemetry.rate_misses.inc()
            log.warning("rate limits not counted", reason=str(exc) or type(exc).__name__, pause_s=PAUSE_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _count(self, rate: RateLimitItem | None, by: str, name: str | None) -> None:
        if rate is None or name is None or await self._limiter.hit(rate, by, name):
            return
        stats = await self._limiter.get_window_stats(rate, by, name)
        retry_after_s = max(0.0, stats.reset_time - self._clock())
        raise RateExceeded(f"requests of this {by}: over {rate}, expected at most that", by, retry_after_s)


def _rate(name: str, text: str | None) -> RateLimitItem | None:
    try:
        return None if text is None else parse(text)
    except ValueError as exc:
        raise SettingInvalid(
            f"{name} (KSHOT_{name.upper()}): {text}, expected a rate as 100/second or 50/minute"
        ) from exc


def _hashed(user_id: str) -> str:
    return hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
