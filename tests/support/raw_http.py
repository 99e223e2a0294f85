"""Clients that speak HTTP byte by byte, as no library would."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse

from running_service import DEADLINE_S, Running

PING = b"GET /health/live HTTP/1.1\r\nHost: kshot\r\n\r\n"


@contextmanager
def connected(service: Running, *, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A connection; ``receive_buffer`` (bytes) makes it one that takes little before it is read."""
    url = service.client.base_url
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(DEADLINE_S)
        connection.connect((url.host, url.port))
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """Everything that still comes until the other side ends the connection, in whichever way."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionError:
        pass
    return received


def answered(connection: socket.socket) -> int:
    """Status of the one answer that comes next; its body is read, too."""
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def feedback(user_id: str, *item_ids: str) -> bytes:
    """A whole POST /feedback."""
    body = json.dumps({"user_id": user_id, "events": [{"item_id": each, "value": 5} for each in item_ids]}).encode()
    head = f"POST /feedback HTTP/1.1\r\nHost: kshot\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body
