"""Batching: the requests that many tasks submit in one tick of the event loop are answered by one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class TickBatcher(Generic[Request, Answer]):
    """Collects the requests of one tick and answers them in one call.

    Every request has its own future, so cancelling one waiter does not affect the others.
    """

    def __init__(self, answer: Callable[[list[Request]], Awaitable[Sequence[Answer | Exception]]]) -> None:
        """Take a function that answers a list of requests in order; an exception may be an answer."""
        self._answer = answer
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, request: Request) -> asyncio.Future[Answer]:
        """Add a request to the batch of this tick; the future gets the answer or the exception."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, future))
        return future

    async def drain(self) -> None:
        """Wait until every request submitted so far is answered."""
        self._flush()
        await asyncio.gather(*self._tasks)

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        if batch:
            task = asyncio.get_running_loop().create_task(self._settle(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _settle(self, batch: list[tuple[Request, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._answer([request for request, _ in batch])
        except Exception as exc:  # noqa: BLE001 - every waiter gets it, whatever it is
            answers = [exc] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
