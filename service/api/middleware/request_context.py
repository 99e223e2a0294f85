"""What stands around every route: a request id, a bounded body, a measured latency, an answer to bugs. Plain ASGI."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from http import HTTPStatus

import structlog
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import telemetry
from service.api.middleware.body import MAX_BODY_BYTES
from service.api.problems import problem
from service.errors import BodyTooLarge

REQUEST_ID_HEADER = b"x-request-id"
ACCEPTABLE_REQUEST_ID = re.compile(rb"[\w.-]{1,64}")

log = structlog.get_logger()


class Guard:
    """Wraps the application; the request id of the client is kept if it is harmless in a log."""

    def __init__(self, app: ASGIApp, *, access_log: bool) -> None:
        self.app, self.access_log = app, access_log
        self._own_ids = map(f"{secrets.token_hex(8)}{{:016x}}".format, itertools.count())
        self._latencies: dict[tuple[str, str, int | None], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is no request passes through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope) or next(self._own_ids)
        token = telemetry.request_id.set(request_id)
        answer = _Answer(send, request_id)
        try:
            await self.app(scope, _bounded(receive), answer)
        except Exception as exc:
            log.error("unexpected error", exc_info=exc)  # noqa: TRY400 - structlog's way to say the same
            if answer.status is not None:
                raise
            detail = "an error of the service; the log has it under the request id"
            await problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)(scope, receive, answer)
        finally:
            self._note(scope, answer.status, time.perf_counter() - started)
            telemetry.request_id.reset(token)

    def _note(self, scope: Scope, status: int | None, took_s: float) -> None:
        # The route's pattern, and only methods that it has: a label must not grow with what clients ask for.
        route = scope.get("route")
        method, path = scope["method"], getattr(route, "path", "none")
        if method == "HEAD":
            method = "GET"
        if method not in (getattr(route, "methods", None) or ()):
            method = path = "none"
        self._latency(method, path, status).observe(took_s)
        if self.access_log:
            log.info("request", method=method, route=path, status=status, took_ms=round(took_s * 1e3, 3))

    def _latency(self, method: str, path: str, status: int | None) -> Histogram:
        """The series of these labels; looking it up in prometheus-client takes longer than observing."""
        labels = (method, path, status)
        found = self._latencies.get(labels)
        if found is None:
            found = self._latencies[labels] = telemetry.requests.labels(*labels)
        return found


class _Answer:
    """Sends an answer under the request's id and remembers its status; None until there is one."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.status: int | None = None
        self._send, self._header = send, (REQUEST_ID_HEADER, request_id.encode())

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), self._header]
        await self._send(message)


def _request_id(scope: Scope) -> str | None:
    """The client's own id for the request, if it is harmless in a log."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER and ACCEPTABLE_REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return None


def _bounded(receive: Receive) -> Receive:
    """A ``receive`` that stops reading a body past the limit, whatever its headers promised."""
    read = 0

    async def receive_bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY_BYTES:
            raise BodyTooLarge(f"body: over {MAX_BODY_BYTES} bytes, expected at most that; send fewer events")
        return message

    return receive_bounded
