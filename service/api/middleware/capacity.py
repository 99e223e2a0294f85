"""A bound on the requests under way: one more is refused at once, where it would make the queue longer. Plain ASGI.

Who waits in a queue that grows gets a late answer, and everybody behind waits longer; a refusal costs a fraction of an
answer and tells the client, or the balancer before it, to go elsewhere.

A request is under way from when all of it is there: a client that takes its time to send a body keeps nobody out, and
what stands behind gets a body whole and decoded, in one message.
Bodies that are still arriving have a bound of their own, in bytes, since they take nothing but memory.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from service import telemetry
from service.api.middleware.body import decoded, encoding_of, told_first
from service.api.problems import problem, problem_of
from service.errors import Overloaded, RequestRefused

# Whoever looks after the service must see it most of all when it has too much to do.
ALWAYS_ANSWERED = frozenset({"/health/live", "/health/ready", "/metrics"})
MAX_ARRIVING_BYTES = 64 << 20  # as much as 64 of the longest bodies, or 60,000 of the usual ones


class Capacity:
    """Lets at most ``limit`` requests into ``app`` at once, and ``max_arriving_bytes`` of bodies wait before it."""

    def __init__(self, app: ASGIApp, *, limit: int, max_arriving_bytes: int = MAX_ARRIVING_BYTES) -> None:
        self._app, self._limit, self._under_way = app, limit, 0
        self._max_arriving_bytes, self._arriving_bytes = max_arriving_bytes, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in or refuse it; what is no request passes through."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        try:
            # The first look saves reading what would be refused after all; bodies of other methods nobody reads.
            self._must_have_room()
            if scope["method"] == "POST":
                encoding = encoding_of(scope)
                body = await self._arrived(receive)
                if body is None:  # told to nobody, but counted
                    await problem(HTTPStatus.BAD_REQUEST, "body: ended early, expected all of it")(scope, receive, send)
                    return
                self._must_have_room()
                whole = {"type": "http.request", "body": decoded(body, encoding), "more_body": False}
                receive = told_first(whole, receive)
        except (Overloaded, RequestRefused) as exc:
            await problem_of(exc)(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1

    def _must_have_room(self) -> None:
        if self._under_way >= self._limit:
            telemetry.overload_refusals.inc()
            raise Overloaded(f"requests: {self._under_way} under way, expected fewer than {self._limit}")

    async def _arrived(self, receive: Receive) -> bytes | None:
        """The whole body, None if the client leaves first; raises Overloaded, and BodyTooLarge as ``receive`` does."""
        body, more = bytearray(), True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part = message.get("body", b"")
                body += part
                self._arriving_bytes += len(part)
                self._must_have_memory()
                more = message.get("more_body", False)
        finally:
            self._arriving_bytes -= len(body)
        return bytes(body)

    def _must_have_memory(self) -> None:
        if self._arriving_bytes > self._max_arriving_bytes:
            telemetry.overload_refusals.inc()
            raise Overloaded(
                f"bodies: {self._arriving_bytes} bytes still arriving, expected at most {self._max_arriving_bytes}"
            )
