"""The limits on requests in progress and on arriving bodies, around an application of one route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from service.api.middleware.capacity import Capacity

pytestmark = pytest.mark.anyio

LIMIT, MAX_ARRIVING_BYTES = 2, 1000


class Service:
    """Responds with the length of a body once it is allowed to."""

    def __init__(self) -> None:
        self.may_respond = asyncio.Event()
        self.entered = asyncio.Semaphore(0)
        routes = [Route("/feedback", self._respond, methods=["GET", "POST"])]
        guarded = Capacity(Starlette(routes=routes), limit=LIMIT, max_arriving_bytes=MAX_ARRIVING_BYTES)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://kshot")

    async def _respond(self, request: Request) -> Response:
        self.entered.release()
        await self.may_respond.wait()
        return Response(str(len(await request.body())))

    def post(self, body: AsyncIterator[bytes] | bytes) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(self.client.post("/feedback", content=body))


class SlowBody:
    """A body of one part at once, and one after ``may_end``."""

    def __init__(self, first: bytes, last: bytes = b"last") -> None:
        self.first, self.last = first, last
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.first
        self.begun.set()
        await self.may_end.wait()
        yield self.last


async def arriving(service: Service, *bodies: SlowBody) -> list[asyncio.Task[httpx.Response]]:
    """Requests whose first part has arrived."""
    posts = [service.post(aiter(body)) for body in bodies]
    for body in bodies:
        await body.begun.wait()
    return posts


async def test_a_body_counts_only_after_it_has_arrived_and_is_passed_on_as_sent() -> None:
    service = Service()
    bodies = [SlowBody(b"first") for _ in range(3 * LIMIT)]
    posts = await arriving(service, *bodies)
    service.may_respond.set()
    assert (await service.client.get("/feedback")).status_code == 200
    for body, post in zip(bodies, posts, strict=True):
        body.may_end.set()
        assert (await post).text == str(len(b"firstlast"))


async def test_a_body_that_arrives_when_the_capacity_is_used_up_is_refused() -> None:
    service, body = Service(), SlowBody(b"first")
    (late,) = await arriving(service, body)
    whole = [service.post(b"whole") for _ in range(LIMIT)]
    for _ in whole:
        await service.entered.acquire()
    body.may_end.set()
    assert (await late).json()["detail"] == "requests: 2 in progress, expected fewer than 2"
    service.may_respond.set()
    assert [(await post).status_code for post in whole] == [200] * LIMIT


async def test_arriving_bodies_have_one_limit_and_free_their_memory() -> None:
    service, body = Service(), SlowBody(b"x" * (MAX_ARRIVING_BYTES - 10))
    service.may_respond.set()
    (large,) = await arriving(service, body)
    refused = await service.post(b"x" * 11)
    assert refused.status_code == 503
    assert refused.json()["detail"] == "bodies: 1001 bytes still arriving, expected at most 1000"
    assert (await service.post(b"x" * 10)).status_code == 200
    body.may_end.set()
    assert (await large).status_code == 200
    assert (await service.post(b"x" * MAX_ARRIVING_BYTES)).status_code == 200


async def test_a_client_that_disconnects_before_its_body_has_arrived_counts_as_a_bad_request() -> None:
    sent: list[Message] = []
    received = [{"type": "http.request", "body": b"first", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return received.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def never_reached(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pytest.fail("the application was called")

    scope = {"type": "http", "method": "POST", "path": "/feedback", "headers": []}
    await Capacity(never_reached, limit=1)(scope, receive, send)
    assert sent[0]["status"] == 400
