"""Rate limits in the store: shared by all workers, expiring, and without effect while the store is down."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from redis import Redis
from store_servers import free_port, server_pid

from service.errors import RateExceeded, SettingInvalid
from service.stores.embedded import EmbeddedStore
from service.stores.redis.connection import StoreAddress
from service.stores.redis.key_names import KeyNames
from service.stores.redis.rates import RateLimits, RateSettings

pytestmark = pytest.mark.anyio

KEYS = KeyNames()
Limits = Callable[..., RateLimits]


@pytest.fixture
async def limits() -> AsyncIterator[Limits]:
    """Makes rate limits and closes them after the test."""
    async with AsyncExitStack() as stack:

        def connect(
            url: str, key_rate: str | None = None, user_rate: str | None = None, timeout_s: float = 5
        ) -> RateLimits:
            settings = RateSettings(key_rate, user_rate)
            rates = RateLimits.connect(StoreAddress(url), settings, timeout_s=timeout_s, keys=KEYS)
            stack.push_async_callback(rates.close)
            return rates

        yield connect


async def let_through(rates: RateLimits, key_id: str, user_id: str, times: int) -> int:
    """Number of concurrent requests, of ``times``, that pass."""
    counts = [rates.count(key_id, user_id) for _ in range(times)]
    outcomes = await asyncio.gather(*counts, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, RateExceeded) for outcome in outcomes)
    return outcomes.count(None)


async def test_all_workers_share_a_count(embedded_url: str, limits: Limits) -> None:
    first, second = limits(embedded_url, "10/hour"), limits(embedded_url, "10/hour")
    key_id = uuid4().hex
    passed = await asyncio.gather(let_through(first, key_id, "ann", 9), let_through(second, key_id, "bob", 9))
    assert sum(passed) == 10
    assert await let_through(first, uuid4().hex, "ann", 1) == 1


async def test_a_refusal_says_whose_limit_it_is_and_how_long_it_lasts(embedded_url: str, limits: Limits) -> None:
    rates, key_id, user_id = limits(embedded_url, "4/minute", "2/minute"), uuid4().hex, uuid4().hex
    assert await let_through(rates, key_id, user_id, 2) == 2
    with pytest.raises(RateExceeded, match="of this user: over 2 per 1 minute") as refused:
        await rates.count(key_id, user_id)
    assert (refused.value.by, 0 <= refused.value.retry_after_s <= 60) == ("user", True)
    await rates.count(key_id, uuid4().hex)
    with pytest.raises(RateExceeded, match="of this key: over 4 per 1 minute"):
        await rates.count(key_id, uuid4().hex)


async def test_counters_expire_and_name_no_user(embedded: EmbeddedStore, limits: Limits) -> None:
    rates = limits(embedded.url, "10/second", "10/second")
    await rates.count("key", "somebody in particular")
    with Redis.from_url(embedded.url) as client:
        kept = client.keys()
        assert len(kept) == 2
        assert all(KEYS.rates.encode() in key and b"somebody" not in key for key in kept)
        assert all(0 < client.ttl(key) <= 3 for key in kept)


async def test_while_the_store_is_down_all_requests_pass_and_later_they_count_again(embedded: EmbeddedStore) -> None:
    now_s = 0.0
    settings, address = RateSettings(user_rate="1/hour"), StoreAddress(embedded.url)
    rates = RateLimits.connect(address, settings, timeout_s=0.2, clock=lambda: now_s, keys=KEYS)
    await rates.count(None, "ann")
    pid = server_pid(embedded.url)
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(50):  # at the time limit each, these would take ten seconds
            await rates.count(None, "ann")
    finally:
        os.kill(pid, signal.SIGCONT)
    await rates.count(None, "ann")
    now_s = 2.0
    with pytest.raises(RateExceeded):
        await rates.count(None, "ann")
    await rates.close()


async def test_without_a_store_all_requests_pass(limits: Limits) -> None:
    assert await let_through(limits(f"redis://127.0.0.1:{free_port()}", "1/hour"), "key", "ann", 20) == 20


def test_an_invalid_rate_is_named() -> None:
    with pytest.raises(SettingInvalid, match=r"user_rate \(KSHOT_USER_RATE\): often, expected a rate as 100/second"):
        RateLimits.connect(StoreAddress("redis://here"), RateSettings(user_rate="often"), timeout_s=1, keys=KEYS)
