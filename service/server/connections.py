"""HTTP connections with deadlines: idle, slow-sending and slow-reading clients are disconnected.

uvicorn limits only the pause between two requests. Here a request has to arrive, and a response to be read, within one
time limit; the head of a request has a limit in bytes; and beyond a number of connections a new one closes the one that
has been idle for longest.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import orjson
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service import telemetry
from service.api.problems import PROBLEM_JSON
from service.api.schemas.problem import Problem

MAX_HEAD_BYTES = 1 << 16
GRACE_S = 0.05  # to read what has arrived while this process was busy

log = structlog.get_logger()
# uvicorn's log of connections without its warnings: each is about bytes that a client sent, and would be one line.
uvicorn_log = logging.getLogger("uvicorn.error.connection")
uvicorn_log.setLevel(logging.ERROR)


@dataclass(frozen=True)
class ClientLimits:
    """Limits on the connections of clients.

    Attributes:
        client_timeout_s: seconds for a request to arrive from its first byte to its last, for a new connection to
            begin one, and for a response to be read.
        max_connections: open connections per process.
    """

    client_timeout_s: float
    max_connections: int


Idle = dict["Connection", None]


def connections(limits: ClientLimits) -> type[asyncio.Protocol]:
    """A factory of the connections of one process; uvicorn takes it as ``http`` and calls it like a class."""
    idle: Idle = {}
    return cast(type[asyncio.Protocol], partial(Connection, limits=limits, idle=idle))


class Connection(HttpToolsProtocol):
    """One connection of a client.

    ``idle`` holds the connections of the process without a request in progress, in the order in which they became idle.
    """

    def __init__(self, *args: Any, limits: ClientLimits, idle: Idle, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = uvicorn_log
        self._limits, self._idle = limits, idle
        self._in_head, self._head_bytes = True, 0
        self._parts_received = 0  # heads and whole requests
        self._in_progress: deque[RequestResponseCycle] = deque()
        # Times on the loop's clock since which the client has to act; None while it does not have to.
        self._arriving_since: float | None = None
        self._unread_since: float | None = None
        self._closing_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; close the connection idle for longest if there are too many."""
        super().connection_made(transport)
        self._arriving_since = self.loop.time()
        self._check_later(self._limits.client_timeout_s)
        self._idle[self] = None
        if len(self.connections) > self._limits.max_connections:
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        self._check.cancel()
        self._idle.pop(self, None)
        for cycle in self._in_progress:  # uvicorn marks only the last of several requests sent at once
            cycle.disconnected = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data; refuse a head that exceeds its limit."""
        if self._arriving_since is None:  # empty lines before a request count, because they reset uvicorn's timer
            self._arriving_since = self.loop.time()
        parts = self._parts_received
        super().data_received(data)
        if self._in_head and parts == self._parts_received:  # the whole data belongs to one head
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"head of the request: over {MAX_HEAD_BYTES} bytes, expected at most that",
                )

    def send_400_response(self, msg: str) -> None:
        """Refuse data that is not HTTP, and count it."""
        telemetry.malformed_requests.inc()
        super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Start the time limit of the request."""
        self._in_head, self._head_bytes = True, 0
        self._arriving_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request; the connection is no longer idle."""
        self._in_head = False
        self._parts_received += 1
        self._idle.pop(self, None)
        super().on_headers_complete()
        self._in_progress.append(self.cycle)

    def on_message_complete(self) -> None:
        """End the time limit of the request."""
        self._arriving_since = None
        self._parts_received += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Become idle, unless the next request has arrived."""
        self._in_progress.popleft()
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._idle[self] = None

    def pause_writing(self) -> None:
        """Start the time limit for reading the response."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """End the time limit for reading the response."""
        self._unread_since = None
        super().resume_writing()

    def _check_later(self, in_s: float) -> None:
        # One timer that checks from time to time: setting and cancelling one per request would cost every request.
        self._check = self.loop.call_later(in_s, self._end_if_overdue)

    def _end_if_overdue(self, *, sure: bool = False) -> None:
        now = self.loop.time()
        if self._closing_since is None and self.transport.is_closing():
            self._closing_since = now
        pending = (self._arriving_since, self._unread_since, self._closing_since)
        first = min((since for since in pending if since is not None), default=now)
        remaining_s = self._limits.client_timeout_s - (now - first)
        if remaining_s > 0:
            self._check_later(remaining_s)
        elif not sure:  # the data may have arrived while this process was busy, so that has to be read first
            self._check = self.loop.call_later(GRACE_S, partial(self._end_if_overdue, sure=True))
        elif self._unread_since is not None or self.transport.is_closing():
            self.transport.abort()  # closing would wait until the client has read
        else:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                f"request: incomplete after {self._limits.client_timeout_s:g} s, expected all of it within that time",
            )
            self._check_later(self._limits.client_timeout_s)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Close the connection, after a problem if the client has begun a request without a response yet."""
        log.debug("connection closed", status=status.value, reason=detail)
        if self._awaits_response():
            body = orjson.dumps(Problem(title=status.phrase, status=status, detail=detail).model_dump())
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {PROBLEM_JSON}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _awaits_response(self) -> bool:
        if self._in_head:  # the head of the first request, or of one after requests that may be in progress
            return self._head_bytes > 0 and (self.cycle is None or self.cycle.response_complete)
        return not self.pipeline and not self.cycle.response_started
