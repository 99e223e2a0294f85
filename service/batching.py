"""Coalescing: what many tasks ask in one tick of the event loop goes out as one question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Ticks(Generic[Question, Answer]):
    """Collects the questions of a tick and asks them together.

    A future a question, so that a waiter that is cancelled takes nothing from the others.
    """

    def __init__(self, ask: Callable[[list[Question]], Awaitable[Sequence[Answer | Exception]]]) -> None:
        """Take what answers many questions at once, in their order; an exception may be an answer."""
        self._ask = ask
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    def submit(self, question: Question) -> asyncio.Future[Answer]:
        """Ask with everything else of this tick; the future gets the answer or the exception."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, future))
        return future

    async def drain(self) -> None:
        """Wait until everything submitted so far is answered."""
        self._flush()
        await asyncio.gather(*self._under_way)

    def _flush(self) -> None:
        asked, self._waiting = self._waiting, []
        if asked:
            task = asyncio.get_running_loop().create_task(self._settle(asked))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _settle(self, asked: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._ask([question for question, _ in asked])
        except Exception as exc:  # noqa: BLE001 - whatever it is, every waiter must hear of it
            answers = [exc] * len(asked)
        for (_, future), answer in zip(asked, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
