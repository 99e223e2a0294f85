"""Connections before they are requests: whoever waits, drips or does not read is ended in time and keeps nobody out.

uvicorn bounds only the pause between two requests. Here a request has to arrive, and an answer to be taken, within
one time limit, a head may have only so many bytes, and where connections become too many the one that has waited
longest for nothing makes room for the next.
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
from service.api.schemas import Problem

MAX_HEAD_BYTES = 1 << 16
BENEFIT_OF_DOUBT_S = 0.05

log = structlog.get_logger()
# What uvicorn says of connections, without its warnings: they are about what clients send, a line for each time.
of_uvicorn = logging.getLogger("uvicorn.error.connection")
of_uvicorn.setLevel(logging.ERROR)


@dataclass(frozen=True)
class Patience:
    """How long the service bears with its clients.

    Attributes:
        client_timeout_s: seconds for a request to arrive from its first byte to its last, for a new connection to
            begin one, and for an answer to be taken.
        max_connections: connections open at once.
    """

    client_timeout_s: float
    max_connections: int


Waiting = dict["Connection", None]


def connections(patience: Patience) -> type[asyncio.Protocol]:
    """What makes the connections of one process, as uvicorn's ``http``; it calls it like a class."""
    waiting: Waiting = {}
    return cast(type[asyncio.Protocol], partial(Connection, patience=patience, waiting=waiting))


class Connection(HttpToolsProtocol):
    """One connection of a client.

    ``waiting`` holds the connections of the process that have no request under way, in the order in which they began
    to wait.
    """

    def __init__(self, *args: Any, patience: Patience, waiting: Waiting, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = of_uvicorn
        self._patience, self._waiting = patience, waiting
        self._in_head, self._head_bytes = True, 0
        self._parts_received = 0  # heads and whole requests
        self._under_way: deque[RequestResponseCycle] = deque()
        # Since when, on the loop's clock, the client has owed us something; None while it does not.
        self._arriving_since: float | None = None
        self._unread_since: float | None = None
        self._closing_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; where there are too many, the longest wait ends."""
        super().connection_made(transport)
        self._arriving_since = self.loop.time()
        self._look_again(self._patience.client_timeout_s)
        self._waiting[self] = None
        if len(self.connections) > self._patience.max_connections:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._look.cancel()
        self._waiting.pop(self, None)
        for cycle in self._under_way:  # uvicorn tells only the last of several requests sent at once
            cycle.disconnected = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; a head that does not end is refused."""
        if self._arriving_since is None:  # empty lines before a request, too: they hold off uvicorn's own timer
            self._arriving_since = self.loop.time()
        parts = self._parts_received
        super().data_received(data)
        if self._in_head and parts == self._parts_received:  # all of the data belongs to one head
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"head of the request: over {MAX_HEAD_BYTES} bytes, expected at most that",
                )

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and count it."""
        telemetry.malformed_requests.inc()
        super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Time the request from here."""
        self._in_head, self._head_bytes = True, 0
        self._arriving_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request over; from here on the connection does not wait."""
        self._in_head = False
        self._parts_received += 1
        self._waiting.pop(self, None)
        super().on_headers_complete()
        self._under_way.append(self.cycle)

    def on_message_complete(self) -> None:
        """The client owes nothing any more."""
        self._arriving_since = None
        self._parts_received += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request unless one is here already."""
        self._under_way.popleft()
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._waiting[self] = None

    def pause_writing(self) -> None:
        """Time how long the client lets its answer lie."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads."""
        self._unread_since = None
        super().resume_writing()

    def _look_again(self, in_s: float) -> None:
        # One timer that looks now and then: setting and cancelling one a request would cost every request.
        self._look = self.loop.call_later(in_s, self._end_if_overdue)

    def _end_if_overdue(self, *, sure: bool = False) -> None:
        now = self.loop.time()
        if self._closing_since is None and self.transport.is_closing():
            self._closing_since = now
        owed = [since for since in (self._arriving_since, self._unread_since, self._closing_since) if since is not None]
        left_s = self._patience.client_timeout_s - (now - min(owed, default=now))
        if left_s > 0:
            self._look_again(left_s)
        elif not sure:  # perhaps it was us who did not look: read first what has arrived by now
            self._look = self.loop.call_later(BENEFIT_OF_DOUBT_S, partial(self._end_if_overdue, sure=True))
        elif self._unread_since is not None or self.transport.is_closing():
            self.transport.abort()  # closing would first wait until the client has read
        else:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                f"request: not complete after {self._patience.client_timeout_s:g} s, expected all of it until then",
            )
            self._look_again(self._patience.client_timeout_s)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """End the connection, with a problem where the client has begun a request that has no answer yet."""
        log.debug("connection ended", status=status.value, reason=detail)
        if self._awaits_answer():
            body = orjson.dumps(Problem(title=status.phrase, status=status, detail=detail).model_dump())
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {PROBLEM_JSON}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _awaits_answer(self) -> bool:
        if self._in_head:  # of the first request, or of one after requests that may still be under way
            return self._head_bytes > 0 and (self.cycle is None or self.cycle.response_complete)
        return not self.pipeline and not self.cycle.response_started
