"""The context of a request: its id, a limit on its body, its latency, and a response even to a bug."""

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


class RequestContext:
    """Gives each request an id, measures it, and answers unexpected errors with status 500."""

    def __init__(self, app: ASGIApp, *, access_log: bool) -> None:
        self._app, self._access_log = app, access_log
        self._new_ids = map(f"{secrets.token_hex(8)}{{:016x}}".format, itertools.count())
        self._latencies: dict[tuple[str, str, int | None], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope) or next(self._new_ids)
        token = telemetry.request_id.set(request_id)
        response = _Response(send, request_id)
        try:
            await self._app(scope, _bounded(receive), response)
        except Exception as exc:
            log.error("unexpected error", exc_info=exc)  # noqa: TRY400 - structlog's way to say the same
            if response.status is not None:
                raise
            detail = "an error of the service; its log has the details under the request id"
            await problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)(scope, receive, response)
        finally:
            self._observe(scope, response.status, time.perf_counter() - started)
            telemetry.request_id.reset(token)

    def _observe(self, scope: Scope, status: int | None, took_s: float) -> None:
        # The route's pattern and its methods only: clients must not be able to create label values.
        route = scope.get("route")
        method, path = scope["method"], getattr(route, "path", "none")
        if method == "HEAD":
            method = "GET"
        if method not in (getattr(route, "methods", None) or ()):
            method = path = "none"
        self._latency(method, path, status).observe(took_s)
        if self._access_log:
            log.info("request", method=method, route=path, status=status, took_ms=round(took_s * 1e3, 3))

    def _latency(self, method: str, path: str, status: int | None) -> Histogram:
        """The series of these labels, cached because a lookup in prometheus-client takes longer than observing."""
        labels = (method, path, status)
        series = self._latencies.get(labels)
        if series is None:
            series = self._latencies[labels] = telemetry.requests.labels(*labels)
        return series


class _Response:
    """A ``send`` that adds the request id to a response and remembers its status, None until it starts."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.status: int | None = None
        self._send, self._header = send, (REQUEST_ID_HEADER, request_id.encode())

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), self._header]
        await self._send(message)


def _request_id(scope: Scope) -> str | None:
    """The client's id for the request, if it is safe to log."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER and ACCEPTABLE_REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return None


def _bounded(receive: Receive) -> Receive:
    """A ``receive`` that raises BodyTooLarge for a body over the limit, whatever its headers promised."""
    read = 0

    async def receive_bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY_BYTES:
            raise BodyTooLarge(f"body: over {MAX_BODY_BYTES} bytes, expected at most that; send fewer events")
        return message

    return receive_bounded
