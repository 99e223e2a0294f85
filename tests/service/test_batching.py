from __future__ import annotations

import asyncio

import pytest

from service.batching import TickBatcher

pytestmark = pytest.mark.anyio


class Doubling:
    """Doubles numbers in batches, and remembers the batches; negative numbers are refused one by one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def __call__(self, numbers: list[int]) -> list[int | Exception]:
        self.batches.append(numbers)
        await asyncio.sleep(0)
        return [ValueError(number) if number < 0 else 2 * number for number in numbers]


async def test_the_requests_of_one_tick_are_one_batch_in_order() -> None:
    doubling = Doubling()
    batcher: TickBatcher[int, int] = TickBatcher(doubling)
    assert await asyncio.gather(*(batcher.submit(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert await batcher.submit(7) == 14
    assert doubling.batches == [[0, 1, 2, 3, 4], [7]]


async def test_a_refused_request_does_not_affect_the_rest_of_its_batch() -> None:
    batcher: TickBatcher[int, int] = TickBatcher(Doubling())
    outcomes = await asyncio.gather(*(batcher.submit(number) for number in (1, -1, 2)), return_exceptions=True)
    assert (outcomes[0], type(outcomes[1]), outcomes[2]) == (2, ValueError, 4)


async def test_a_failed_batch_reaches_every_waiter() -> None:
    async def fail(_: list[int]) -> list[int | Exception]:
        raise RuntimeError("down")

    batcher: TickBatcher[int, int] = TickBatcher(fail)
    outcomes = await asyncio.gather(*(batcher.submit(number) for number in range(3)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == 3 * ["down"]


async def test_a_cancelled_waiter_does_not_affect_the_rest_of_its_batch() -> None:
    batcher: TickBatcher[int, int] = TickBatcher(Doubling())
    cancelled, waiting = batcher.submit(1), batcher.submit(2)
    cancelled.cancel()
    assert await waiting == 4


async def test_draining_waits_for_everything_submitted() -> None:
    batcher: TickBatcher[int, int] = TickBatcher(Doubling())
    futures = [batcher.submit(number) for number in range(3)]
    await batcher.drain()
    assert all(future.done() for future in futures)
