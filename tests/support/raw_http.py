"""Clients that send HTTP byte by byte."""

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
    """A connection; ``receive_buffer`` limits the bytes that it receives before they are read."""
    url = service.client.base_url
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(DEADLINE_S)
        connection.connect((url.host, url.port))
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """All bytes until the other side closes or resets the connection."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionError:
        pass
    return received


def answered(connection: socket.socket) -> int:
    """Status of the next response, after its body was read."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def feedback(user_id: str, *item_ids: str) -> bytes:
    """A whole POST /feedback."""
    body = json.dumps(
        {"user_id": user_id, "events": [{"item_id": item_id, "value": 5} for item_id in item_ids]}
    ).encode()
    head = f"POST /feedback HTTP/1.1\r\nHost: kshot\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body
