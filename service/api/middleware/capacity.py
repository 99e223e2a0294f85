"""A limit on requests in progress: one more is refused at once.

A growing queue delays every request in it. Refusing early costs a fraction of an answer and tells the client, or the
load balancer, to go elsewhere.

A request counts from when its whole body has arrived, so that slow senders take up no capacity. The layers below get
the body whole and decoded, in one message. Bodies still arriving have a limit in bytes, because they only use memory.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from service import telemetry
from service.api.middleware.body import decoded, encoding_of, replaying
from service.api.problems import problem, problem_of
from service.errors import Overloaded, RequestRefused

# Monitoring has to work most of all when the service is overloaded.
EXEMPT = frozenset({"/health/live", "/health/ready", "/metrics"})
MAX_ARRIVING_BYTES = 64 << 20  # 64 of the longest bodies, or 60,000 of usual length


class Capacity:
    """Lets at most ``limit`` requests into ``app`` at once, and buffers ``max_arriving_bytes`` of bodies at most."""

    def __init__(self, app: ASGIApp, *, limit: int, max_arriving_bytes: int = MAX_ARRIVING_BYTES) -> None:
        self._app, self._limit, self._in_progress = app, limit, 0
        self._max_arriving_bytes, self._arriving_bytes = max_arriving_bytes, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in EXEMPT:
            await self._app(scope, receive, send)
            return
        try:
            # This first check saves reading a body that would be refused afterwards. Only POST has a body to read.
            self._require_capacity()
            if scope["method"] == "POST":
                encoding = encoding_of(scope)
                body = await self._read(receive)
                if body is None:  # the client is gone; the response only counts in the metrics
                    await problem(HTTPStatus.BAD_REQUEST, "body: ended early, expected all of it")(scope, receive, send)
                    return
                self._require_capacity()
                whole = {"type": "http.request", "body": decoded(body, encoding), "more_body": False}
                receive = replaying(whole, receive)
        except (Overloaded, RequestRefused) as exc:
            await problem_of(exc)(scope, receive, send)
            return
        self._in_progress += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_progress -= 1

    def _require_capacity(self) -> None:
        if self._in_progress >= self._limit:
            telemetry.overload_refusals.inc()
            raise Overloaded(f"requests: {self._in_progress} in progress, expected fewer than {self._limit}")

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body; None if the client disconnects before.

        Raises:
            Overloaded: the bodies still arriving exceed their limit.
            BodyTooLarge: raised by ``receive``.
        """
        body, more = bytearray(), True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part = message.get("body", b"")
                body += part
                self._arriving_bytes += len(part)
                self._require_memory()
                more = message.get("more_body", False)
        finally:
            self._arriving_bytes -= len(body)
        return bytes(body)

    def _require_memory(self) -> None:
        if self._arriving_bytes > self._max_arriving_bytes:
            telemetry.overload_refusals.inc()
            raise Overloaded(
                f"bodies: {self._arriving_bytes} bytes still arriving, expected at most {self._max_arriving_bytes}"
            )
